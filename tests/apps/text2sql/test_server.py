"""A real PostgreSQL server on the loopback, made for the test; skipped where the programs are not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.text2sql.execution.database import Column, ForeignKey, Limits, open_database
from apps.text2sql.execution.server import ServerDatabase
from apps.text2sql.execution.workers import Judge
from apps.text2sql.verdicts.verdict import judge
from common.errors import DataError

SCRIPT = """
CREATE TABLE author(id INT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE book(id INT PRIMARY KEY, author INT REFERENCES author(id), price NUMERIC(6,2), sold DATE);
COMMENT ON COLUMN book.price IS 'in euros';
INSERT INTO author VALUES (1, 'Ada'), (2, 'Ben');
INSERT INTO book VALUES (1, 1, 2.50, '2020-01-02'), (2, 1, 3.00, NULL), (3, 2, 3.00, '2021-01-01');
CREATE FUNCTION sneak() RETURNS INT LANGUAGE sql AS $$ DELETE FROM book; SELECT 1 $$;
"""


def programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    pytest.skip("no PostgreSQL server is installed (initdb not found)")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    psycopg = pytest.importorskip("psycopg")
    bin_folder = programs()
    prefix: list[str] = []
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="touchstone-pg-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            # The server does not run as root.
            if shutil.which("runuser") is None or subprocess.run(["id", "postgres"], capture_output=True).returncode:
                pytest.skip("root, and no user 'postgres' to run the server as")
            prefix = ["runuser", "-u", "postgres", "--"]
            shutil.chown(folder, "postgres")
        yield from serve(psycopg, prefix, bin_folder, folder)


def serve(psycopg: Any, prefix: list[str], bin_folder: Path, folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    quiet = {"check": True, "capture_output": True, "cwd": "/"}
    subprocess.run([*prefix, bin_folder / "initdb", "-D", data, "-A", "trust", "-U", "tester", "-N"], **quiet)
    options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
    log = folder / "log"
    subprocess.run(
        [*prefix, bin_folder / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start"],
        check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address = f"postgresql://tester@127.0.0.1:{port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(SCRIPT)
        yield address
    finally:
        subprocess.run(
            [*prefix, bin_folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"], capture_output=True, cwd="/"
        )


@pytest.fixture
def database(url: str) -> Iterator[ServerDatabase]:
    opened = open_database(url, Limits(seconds=1.0, rows=1000))
    assert isinstance(opened, ServerDatabase)
    yield opened
    opened.close()


def test_queries_run_and_nothing_else(database: ServerDatabase) -> None:
    statuses = {
        "SELECT price, sold FROM book ORDER BY id": "ok",
        "SELECT name FROM author WHERE name LIKE 'A%'": "ok",
        "VALUES (1), (2)": "ok",
        "DELETE FROM book": "rejected",
        "WITH d AS (DELETE FROM book RETURNING *) SELECT * FROM d": "rejected",
        "SELECT sneak()": "rejected",
        "SELECT * INTO copied FROM book": "rejected",
        "SELECT * FROM book FOR UPDATE": "rejected",
        "SELECT pg_sleep(10)": "rejected",
        "SELECT nextval('x')": "rejected",
        "COPY book TO '/tmp/x'": "rejected",
        "SELECT 1; DROP TABLE book": "rejected",
        "SELECT FROM WHERE": "invalid",
        "SELECT nope FROM book": "error",
        "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b": "timeout",
        "SELECT * FROM generate_series(1, 5000)": "limit",
    }
    assert {sql: database.run(sql).status for sql in statuses} == statuses
    assert database.run("SELECT count(*) FROM book").rows == [(3,)]
    assert database.run("SELECT price FROM book WHERE id = 1").rows == [(2.5,)]


def test_the_transaction_is_read_only_where_the_gate_is_passed_by(database: ServerDatabase) -> None:
    from apps.text2sql.execution.statement import Statement, parse_query

    for sql in ("DELETE FROM book", "CREATE TABLE x(y INT)", "INSERT INTO author VALUES (9, 'x') RETURNING id"):
        assert not database._run(Statement(sql, parse_query("SELECT 1").tree, "postgres")).ok
    assert database.run("SELECT count(*) FROM book").rows == [(3,)]


def test_schema(database: ServerDatabase) -> None:
    schema = database.schema()
    assert [table.name for table in schema.tables] == ["author", "book"]
    assert schema.tables[0].columns == (Column("id", "integer", True, True), Column("name", "text", False, True))
    assert schema.tables[1].columns[2] == Column("price", "numeric", False, False, "in euros")
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
    with Judge(1) as workers:
        got = workers(
            [url] * 3, ["SELECT name FROM author"] * 3, ["SELECT name FROM author", "DROP TABLE book", "SELECT 1"]
        )
    assert [judgement.verdict.value for judgement in got] == ["correct", "rejected", "wrong"]


def test_no_server_is_one_readable_error() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DataError, match="cannot be reached"):
        open_database("postgresql://nobody@127.0.0.1:1/none")
