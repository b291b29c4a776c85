"""PostgreSQL and MySQL's protocol on real servers, made for the test; skipped where the programs are missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.text2sql.execution.database import Column, ForeignKey, Limits, open_database
from apps.text2sql.execution.server import ServerDatabase
from apps.text2sql.execution.statement import Statement, parse_query
from apps.text2sql.execution.workers import Judge
from apps.text2sql.verdicts.verdict import judge
from common.errors import DataError
from tests.apps.text2sql import servers

NUMBERS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 900) "
EVERYWHERE = {
    "SELECT price, sold FROM book ORDER BY id": "ok",
    "SELECT name FROM author WHERE name LIKE 'A%'": "ok",
    "DELETE FROM book": "rejected",
    "SELECT sneak()": "rejected",
    "SELECT * FROM book FOR UPDATE": "rejected",
    "SELECT 1; DROP TABLE book": "rejected",
    "SELECT FROM WHERE": "invalid",
    "SELECT nope FROM book": "error",
    "SELECT * FROM nope": "error",
    f"{NUMBERS}SELECT count(*) FROM n a, n b, n c, n d": "timeout",
    f"{NUMBERS}SELECT a.x FROM n a, n b": "limit",
}
ITS_OWN = {
    "postgres": {
        "VALUES (1), (2)": "ok",
        "WITH d AS (DELETE FROM book RETURNING *) SELECT * FROM d": "rejected",
        "SELECT * INTO copied FROM book": "rejected",
        "SELECT pg_sleep(10)": "rejected",
        "SELECT nextval('x')": "rejected",
        "COPY book TO '/tmp/x'": "rejected",
        "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b": "timeout",
        "SELECT * FROM generate_series(1, 5000)": "limit",
    },
    "mysql": {
        "SELECT `name` FROM author": "ok",
        "SELECT sleep(10)": "rejected",
        "SELECT load_file('/etc/passwd')": "rejected",
        "SELECT * FROM book INTO OUTFILE '/tmp/touchstone-x'": "invalid",
    },
}


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with getattr(servers, request.param)() as address:
        yield address


@pytest.fixture
def database(url: str) -> Iterator[ServerDatabase]:
    opened = open_database(url, Limits(seconds=1.0, rows=1000))
    assert isinstance(opened, ServerDatabase)
    yield opened
    opened.close()


def test_queries_run_and_nothing_else(database: ServerDatabase) -> None:
    statuses = EVERYWHERE | ITS_OWN[database.dialect]
    assert {sql: database.run(sql).status for sql in statuses} == statuses
    assert database.run("SELECT count(*) FROM book").rows == [(3,)]
    assert database.run("SELECT price FROM book WHERE id = 1").rows == [(2.5,)]


def test_the_transaction_is_read_only_where_the_gate_is_passed_by(database: ServerDatabase) -> None:
    for sql in ("DELETE FROM book", "CREATE TABLE x(y INT)", "INSERT INTO author VALUES (9, 'x') RETURNING id"):
        assert not database._run(Statement(sql, parse_query("SELECT 1").tree, database.dialect)).ok
    assert database.run("SELECT count(*) FROM book").rows == [(3,)]
    assert database.run("SELECT count(*) FROM author").rows == [(2,)]


def test_schema(database: ServerDatabase) -> None:
    integer, number = {"postgres": ("integer", "numeric"), "mysql": ("int", "decimal")}[database.dialect]
    schema = database.schema()
    assert schema.dialect == database.dialect
    assert [table.name for table in schema.tables] == ["author", "book"]
    assert schema.tables[0].columns == (Column("id", integer, True, True), Column("name", "text", False, True))
    assert [column.name for column in schema.tables[1].columns] == ["id", "author", "price", "sold"]
    assert schema.tables[1].columns[2] == Column("price", number, False, False, "in euros")
    assert schema.foreign_keys == (ForeignKey("book", "author", "author", "id"),)


def test_verdicts_and_ties(database: ServerDatabase) -> None:
    def verdict(gold: str, pred: str) -> str:
        return judge(database, gold, pred).verdict.value

    assert verdict("SELECT name FROM author", "SELECT a.name FROM author a ORDER BY 1 DESC") == "correct"
    assert verdict("SELECT id FROM book ORDER BY price DESC LIMIT 1", "SELECT 2") != "wrong"
    assert verdict("SELECT id FROM book ORDER BY price DESC LIMIT 1", "SELECT 3") != "wrong"
    assert verdict("SELECT id FROM book ORDER BY price DESC LIMIT 1", "SELECT 1") == "wrong"
    assert verdict("SELECT id FROM book ORDER BY price", "SELECT id FROM book ORDER BY price, id DESC") == "correct"
    assert verdict("SELECT nope", "SELECT 1") == "gold_error"


def test_workers_ask_servers_too(url: str) -> None:
    gold = "SELECT name FROM author ORDER BY id"
    preds = [gold, "SELECT name FROM author ORDER BY id DESC", "DROP TABLE book", "SELECT 1"]
    with Judge(1) as workers:
        got = workers([url] * 4, [gold] * 4, preds)
    assert [judgement.verdict.value for judgement in got] == ["correct", "wrong", "rejected", "wrong"]


def test_no_server_is_one_readable_error() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DataError, match="cannot be reached"):
        open_database("postgresql://nobody@127.0.0.1:1/none")
