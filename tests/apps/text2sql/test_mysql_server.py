"""A real MariaDB (MySQL) server on the loopback, made for the test; skipped where the programs are not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apps.text2sql.execution.database import ForeignKey, Limits, open_database
from apps.text2sql.execution.server import ServerDatabase
from apps.text2sql.execution.statement import Statement, parse_query
from apps.text2sql.execution.workers import Judge

SCRIPT = """
CREATE TABLE author(id INT PRIMARY KEY, name VARCHAR(40) NOT NULL);
CREATE TABLE book(id INT PRIMARY KEY, author INT, price DECIMAL(6,2) COMMENT 'in euros', sold DATE, FOREIGN KEY (author) REFERENCES author(id));
INSERT INTO author VALUES (1, 'Ada'), (2, 'Ben');
INSERT INTO book VALUES (1, 1, 2.50, '2020-01-02'), (2, 1, 3.00, NULL), (3, 2, 3.00, '2021-01-01');
CREATE FUNCTION sneak() RETURNS INT MODIFIES SQL DATA BEGIN DELETE FROM book; RETURN 1; END
"""  # noqa: E501


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pymysql = pytest.importorskip("pymysql")
    server, installer = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if server is None or installer is None:
        pytest.skip("no MariaDB server is installed (mariadbd, mariadb-install-db not found)")
    with tempfile.TemporaryDirectory(prefix="touchstone-my-") as name:
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        data = f"--datadir={name}/data"
        subprocess.run(
            [installer, "--no-defaults", data, "--auth-root-authentication-method=normal", *as_root],
            check=True, capture_output=True,
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={name}/socket", f"--pid-file={name}/pid"]
        process = subprocess.Popen(
            [server, "--no-defaults", data, *options, *as_root], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with closing(_first_connection(pymysql, process, f"{name}/socket")) as connection:
                cursor = connection.cursor()
                cursor.execute("CREATE DATABASE shop")
                cursor.execute("USE shop")
                for statement in SCRIPT.strip().split(";\n"):
                    cursor.execute(statement)
                cursor.execute("CREATE USER tester@'127.0.0.1' IDENTIFIED BY 'a b'")
                cursor.execute("GRANT ALL ON shop.* TO tester@'127.0.0.1'")
            yield f"mysql://tester:a%20b@127.0.0.1:{port}/shop"
        finally:
            process.terminate()
            process.wait()


def _first_connection(pymysql: Any, process: subprocess.Popen[bytes], path: str) -> Any:
    """Ask until the server answers or has ended."""
    while process.poll() is None:
        if Path(path).exists():
            try:
                return pymysql.connect(unix_socket=path, user="root", autocommit=True)
            except pymysql.Error:
                continue
    pytest.fail(f"the server ended with {process.returncode} before it answered")


@pytest.fixture
def database(url: str) -> Iterator[ServerDatabase]:
    opened = open_database(url, Limits(seconds=1.0, rows=1000))
    assert isinstance(opened, ServerDatabase)
    yield opened
    opened.close()


def test_queries_run_and_nothing_else(database: ServerDatabase) -> None:
    many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 900) "
    statuses = {
        "SELECT price, sold FROM book ORDER BY id": "ok",
        "SELECT `name` FROM author WHERE name LIKE 'A%'": "ok",
        "DELETE FROM book": "rejected",
        "SELECT sneak()": "rejected",
        "SELECT * FROM book FOR UPDATE": "rejected",
        "SELECT sleep(10)": "rejected",
        "SELECT load_file('/etc/passwd')": "rejected",
        "SELECT * FROM book INTO OUTFILE '/tmp/touchstone-x'": "invalid",
        "SELECT 1; DROP TABLE book": "rejected",
        "SELECT FROM WHERE": "invalid",
        "SELECT nope FROM book": "error",
        "SELECT * FROM nope": "error",
        f"{many}SELECT count(*) FROM n a, n b, n c, n d": "timeout",
        f"{many}SELECT a.x FROM n a, n b": "limit",
    }
    assert {sql: database.run(sql).status for sql in statuses} == statuses
    assert database.run("SELECT count(*) FROM book").rows == [(3,)]
    assert database.run("SELECT price FROM book WHERE id = 1").rows == [(2.5,)]


def test_the_transaction_is_read_only_where_the_gate_is_passed_by(database: ServerDatabase) -> None:
    for sql in ("DELETE FROM book", "CREATE TABLE x(y INT)", "INSERT INTO author VALUES (9, 'x') RETURNING id"):
        assert not database._run(Statement(sql, parse_query("SELECT 1").tree, "mysql")).ok
    assert database.run("SELECT count(*) FROM book").rows == [(3,)]
    assert database.run("SELECT count(*) FROM author").rows == [(2,)]


def test_schema(database: ServerDatabase) -> None:
    schema = database.schema()
    assert schema.dialect == "mysql"
    assert {table.name: [column.name for column in table.columns] for table in schema.tables} == {
        "author": ["id", "name"],
        "book": ["id", "author", "price", "sold"],
    }
    assert schema.foreign_keys == (ForeignKey("book", "author", "author", "id"),)
    price = next(column for table in schema.tables for column in table.columns if column.name == "price")
    assert price.description == "in euros"


def test_workers_judge_on_the_server(url: str) -> None:
    gold = "SELECT name FROM author ORDER BY id"
    preds = ["SELECT `name` FROM author ORDER BY 1", "SELECT name FROM author ORDER BY id DESC", "DROP TABLE author"]
    with Judge(1) as judge:
        found = [one.verdict.value for one in judge([url] * 3, [gold] * 3, preds)]
    assert found == ["correct", "wrong", "rejected"]
