"""Opening and running: what each engine refuses, what it leaves on disk, and what a schema holds."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from apps.text2sql.execution.database import (
    Column,
    Database,
    Execution,
    ForeignKey,
    Limits,
    Schema,
    Table,
    fingerprint,
    open_database,
)
from apps.text2sql.execution.sqlite import SqliteDatabase
from common.errors import DataError

SCRIPT = """
CREATE TABLE author(id INTEGER PRIMARY KEY, "full name" TEXT NOT NULL);
CREATE TABLE book(id INTEGER PRIMARY KEY, author INT REFERENCES author, year INT);
CREATE VIEW recent AS SELECT * FROM book WHERE year > 2000;
INSERT INTO author VALUES (1, 'Ada'), (2, 'Ben');
INSERT INTO book VALUES (1, 1, 1999), (2, 1, 2005);
"""


def build(path: Path, script: str = SCRIPT) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(execution: Execution) -> list[tuple]:
    assert execution.status == "ok", execution
    return execution.rows


def test_a_wal_database_is_read_without_side_files(tmp_path: Path) -> None:
    path = build(tmp_path / "w.sqlite", SCRIPT + "PRAGMA journal_mode = wal;")
    before = snapshot(tmp_path)
    database = open_database(path)
    assert rows(database.run("SELECT count(*) FROM book")) == [(2,)]
    assert snapshot(tmp_path) == before
    database.close()
    assert snapshot(tmp_path) == before


def test_a_wal_that_vanishes_is_an_error_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build(tmp_path / "w.sqlite")
    (tmp_path / "w.sqlite-wal").write_bytes(b"x")

    def vanished(source: Path, target: Path) -> None:
        raise FileNotFoundError(source)

    monkeypatch.setattr(shutil, "copyfile", vanished)
    with pytest.raises(DataError, match=r"w\.sqlite.*cannot open"):
        open_database(path)


def test_a_live_wal_is_seen_and_left_alone(tmp_path: Path) -> None:
    path = build(tmp_path / "w.sqlite", SCRIPT + "PRAGMA journal_mode = wal;")
    writer = sqlite3.connect(path)
    writer.execute("INSERT INTO book VALUES (3, 2, 2020)")
    writer.commit()
    before = snapshot(tmp_path)
    assert f"{path.name}-wal" in before
    database = SqliteDatabase(path)
    assert rows(database.run("SELECT count(*) FROM book")) == [(3,)]
    copy = database._folder
    assert copy is not None
    database.close()
    assert not os.path.exists(copy)
    assert snapshot(tmp_path) == before
    writer.close()


def test_a_hot_journal_is_rolled_back_in_a_copy_only(tmp_path: Path) -> None:
    """What a crashed writer left behind: the file holds half a transaction, the journal the way back."""
    path = build(tmp_path / "j.sqlite")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("BEGIN")
    writer.execute("UPDATE book SET year = 0")
    writer.execute(
        "CREATE TABLE filler AS WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 20000) SELECT x FROM c"
    )
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in (path.name, f"{path.name}-journal"):
        shutil.copy(tmp_path / name, crashed / name)
    writer.execute("ROLLBACK")
    writer.close()
    before = snapshot(crashed)
    database = open_database(crashed / path.name)
    assert rows(database.run("SELECT max(year) FROM book")) == [(2005,)]
    database.close()
    assert snapshot(crashed) == before


def test_a_read_only_folder_and_odd_names_do_not_matter(tmp_path: Path) -> None:
    path = build(tmp_path / "ä b?#%20.sqlite")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert rows(open_database(path).run("SELECT count(*) FROM author")) == [(2,)]
    finally:
        tmp_path.chmod(0o755)


def test_files_that_are_no_database(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such"):
        open_database(tmp_path / "none.sqlite")
    junk = tmp_path / "junk"
    junk.write_bytes(b"x" * 5000)
    with pytest.raises(DataError, match="neither"):
        open_database(junk)
    torn = tmp_path / "torn.sqlite"
    torn.write_bytes(build(tmp_path / "whole.sqlite").read_bytes()[:2000])
    assert open_database(torn).run("SELECT * FROM book").status == "error"
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert rows(open_database(empty).run("SELECT 1")) == [(1,)]


def test_schema(tmp_path: Path) -> None:
    assert open_database(build(tmp_path / "s.sqlite")).schema() == Schema(
        "sqlite",
        (
            Table("author", (Column("id", "INTEGER", True), Column("full name", "TEXT", False, True))),
            Table("book", (Column("id", "INTEGER", True), Column("author", "INT"), Column("year", "INT"))),
            Table("recent", (Column("id", "INTEGER"), Column("author", "INT"), Column("year", "INT"))),
        ),
        (ForeignKey("book", "author", "author", "id"),),
    )


def test_virtual_tables_are_read(tmp_path: Path) -> None:
    path = build(
        tmp_path / "v.sqlite",
        "CREATE VIRTUAL TABLE words USING fts5(t); INSERT INTO words VALUES ('hello world'), ('bye');",
    )
    before = snapshot(tmp_path)
    database = open_database(path)
    assert rows(database.run("SELECT t FROM words WHERE words MATCH 'hello'")) == [("hello world",)]
    assert rows(database.run("SELECT name FROM pragma_table_info('words')")) == [("t",)]
    assert snapshot(tmp_path) == before


def test_authorizer_stands_where_the_gate_is_passed_by(tmp_path: Path) -> None:
    """Texts handed straight to the connection, as if sqlglot had been fooled."""
    database = SqliteDatabase(build(tmp_path / "a.sqlite"))
    before = snapshot(tmp_path)
    for sql in (
        "DELETE FROM book",
        "WITH c AS (SELECT 1) DELETE FROM book",
        "INSERT INTO book VALUES (9, 1, 1) RETURNING id",
        "DROP TABLE book",
        "CREATE TEMP TABLE t AS SELECT 1",
        f"ATTACH '{tmp_path}/evil.db' AS e",
        f"VACUUM INTO '{tmp_path}/evil.db'",
        "PRAGMA user_version = 7",
        "PRAGMA query_only = off",
        "BEGIN IMMEDIATE",
        "SAVEPOINT s",
        "REINDEX",
        "ANALYZE",
        "SELECT load_extension('x')",
    ):
        assert not database._attempt(sql).ok, sql
        assert snapshot(tmp_path) == before
    assert rows(database.run("SELECT count(*) FROM book")) == [(2,)]


def test_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = build(tmp_path / "f.sqlite")
    first = fingerprint(str(path))
    stat = path.stat()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE book SET year = 1 WHERE id = 1")
    connection.commit()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time
    assert fingerprint(str(path)) != first
    assert fingerprint("postgresql://localhost/x") == ()


def test_without_setlimit_long_values_are_still_refused(tmp_path: Path) -> None:
    """Python 3.10 cannot set SQLite's limits; the collector looks at what comes out."""
    database = SqliteDatabase(build(tmp_path / "l.sqlite"), Limits(value_bytes=1000))
    if hasattr(database._connection, "setlimit"):
        database._connection.setlimit(0, 1_000_000)
    assert database.run("SELECT hex(zeroblob(1000))").code == "value_bytes"


@pytest.fixture
def duck(tmp_path: Path) -> Database:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "d.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE author(id INTEGER PRIMARY KEY, name VARCHAR);"
            "INSERT INTO author VALUES (1, 'Ada'), (2, NULL);"
            "CREATE TABLE book(id INT, author INT REFERENCES author(id), price DECIMAL(6,2), sold DATE);"
            "INSERT INTO book VALUES (1, 1, 2.50, DATE '2020-01-02'), (2, 1, 3.00, NULL)"
        )
    return open_database(path, Limits(seconds=0.5))


def test_duckdb_runs_queries_and_nothing_else(duck: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a\n1\n")
    before = snapshot(tmp_path)
    statuses = {
        "SELECT price FROM book ORDER BY id": "ok",
        "FROM author": "ok",
        "SELECT * FROM 'x.csv'": "rejected",
        "SELECT * FROM read_csv('x.csv')": "rejected",
        "SELECT * FROM glob('*')": "rejected",
        "COPY book TO 'y.csv'": "rejected",
        "ATTACH 'z.duckdb'": "rejected",
        "INSTALL httpfs": "rejected",
        "SET threads = 4": "rejected",
        "DROP TABLE book": "rejected",
        "CREATE TEMP TABLE t AS SELECT 1": "rejected",
        "INSERT INTO author VALUES (3, 'x') RETURNING 1": "rejected",
        "WITH c AS (SELECT 1) DELETE FROM book": "rejected",
        "SELECT 1; SELECT 2": "rejected",
        "EXPLAIN SELECT 1": "rejected",
        "": "invalid",
        "SELECT id FROM": "invalid",
        'SELECT "Ada" FROM author': "error",
        "SELECT x FROM nowhere": "error",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c": "timeout",
    }
    assert {sql: duck.run(sql).status for sql in statuses} == statuses
    assert snapshot(tmp_path) == before
    assert duck.run("SELECT price, sold FROM book ORDER BY id").rows[0][0] == 2.5
    assert duck.run("SELECT CAST('nan' AS DOUBLE), 7 / 2").rows[0][1] == 3.5


def test_duckdb_schema_and_verdicts(duck: Database) -> None:
    from apps.text2sql.verdicts.verdict import judge

    schema = duck.schema()
    assert [table.name for table in schema.tables] == ["author", "book"]
    assert schema.tables[0].columns[0] == Column("id", "INTEGER", True, True)
    assert schema.foreign_keys == (ForeignKey("book", "author", "author", "id"),)

    def verdict(gold: str, pred: str, dialect: str | None = None) -> str:
        return judge(duck, gold, pred, dialect=dialect).verdict.value

    assert verdict("SELECT price FROM book", "SELECT price::DOUBLE FROM book ORDER BY 1 DESC") == "correct"
    assert verdict("SELECT id FROM book ORDER BY author LIMIT 1", "SELECT 2") == "ambiguous"
    assert verdict("SELECT id FROM book ORDER BY author LIMIT 1", "SELECT 3") == "wrong"
    assert verdict("SELECT id FROM book ORDER BY author", "SELECT id FROM book ORDER BY id DESC") == "correct"
    assert verdict("SELECT CAST('nan' AS DOUBLE)", "SELECT CAST('nan' AS DOUBLE)") == "correct"
    assert (
        verdict("SELECT IFNULL(name, 'x') FROM author", "SELECT COALESCE(name, 'x') FROM author", "sqlite")
        == "correct"
    )
    assert verdict("SELECT sold FROM book", "SELECT DATE '2020-01-02' UNION ALL SELECT NULL") == "correct"
    assert verdict("SELECT nope FROM book", "SELECT 1") == "gold_error"
