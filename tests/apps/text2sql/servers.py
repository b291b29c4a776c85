"""Real servers on the loopback, made for a test and gone after it; the test skips where the programs are missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

AUTHORS = "INSERT INTO author VALUES (1, 'Ada'), (2, 'Ben')"
BOOKS = "INSERT INTO book VALUES (1, 1, 2.50, '2020-01-02'), (2, 1, 3.00, NULL), (3, 2, 3.00, '2021-01-01')"
POSTGRESQL = (
    "CREATE TABLE author(id INT PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE book(id INT PRIMARY KEY, author INT REFERENCES author(id), price NUMERIC(6,2), sold DATE)",
    "COMMENT ON COLUMN book.price IS 'in euros'",
    AUTHORS,
    BOOKS,
    "CREATE FUNCTION sneak() RETURNS INT LANGUAGE sql AS $$ DELETE FROM book; SELECT 1 $$",
)
MARIADB = (
    "CREATE DATABASE shop",
    "USE shop",
    "CREATE TABLE author(id INT PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE book(id INT PRIMARY KEY, author INT, price NUMERIC(6,2) COMMENT 'in euros', sold DATE, "
    "FOREIGN KEY (author) REFERENCES author(id))",
    AUTHORS,
    BOOKS,
    "CREATE FUNCTION sneak() RETURNS INT MODIFIES SQL DATA BEGIN DELETE FROM book; RETURN 1; END",
    "CREATE USER tester@'127.0.0.1' IDENTIFIED BY 'a b'",
    "GRANT ALL ON shop.* TO tester@'127.0.0.1'",
)


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server with the little shop; its URL."""
    psycopg = pytest.importorskip("psycopg")
    programs = _postgresql_programs()
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
        control = [*prefix, programs / "pg_ctl", "-D", folder / "data"]
        _run([*prefix, programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "tester", "-N"])
        port = _free_port()
        options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
        # The server keeps the outputs that it is given open, so it is given none that somebody waits for.
        subprocess.run(
            [*control, "-l", folder / "log", "-w", "-o", options, "start"],
            check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"postgresql://tester@127.0.0.1:{port}/postgres"
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in POSTGRESQL:
                    connection.execute(statement)
            yield url
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True, cwd="/")


def _postgresql_programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    pytest.skip("no PostgreSQL server is installed (initdb not found)")


@contextmanager
def mariadb() -> Iterator[str]:
    """A MariaDB server, which speaks MySQL's protocol, with the little shop; its URL."""
    pymysql = pytest.importorskip("pymysql")
    server, installer = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if server is None or installer is None:
        pytest.skip("no MariaDB server is installed (mariadbd, mariadb-install-db not found)")
    with tempfile.TemporaryDirectory(prefix="touchstone-my-") as name:
        own = ["--no-defaults", f"--datadir={name}/data", *(["--user=root"] if os.geteuid() == 0 else [])]
        _run([installer, *own, "--auth-root-authentication-method=normal"])
        port = _free_port()
        process = subprocess.Popen(
            [server, *own, "--bind-address=127.0.0.1", f"--port={port}", f"--socket={name}/socket"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with closing(_first_connection(pymysql, process, f"{name}/socket")) as connection:
                for statement in MARIADB:
                    connection.cursor().execute(statement)
            yield f"mysql://tester:a%20b@127.0.0.1:{port}/shop"
        finally:
            process.terminate()
            process.wait()


def _first_connection(pymysql: Any, process: subprocess.Popen[bytes], path: str) -> Any:
    """Ask until the server answers or has ended."""
    while process.poll() is None:
        try:
            return pymysql.connect(unix_socket=path, user="root", autocommit=True)
        except pymysql.Error:
            continue
    pytest.fail(f"the server ended with {process.returncode} before it answered")


def _run(command: list[Any]) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd="/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
