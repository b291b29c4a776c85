"""Databases that model-written queries may be run on: what they hold, what a run returns, and how to open one.

Everything here opens read-only. A query that must not be able to hang or exhaust the calling process belongs in a
worker: use `apps.text2sql.execution.workers.Judge`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from apps.text2sql.execution.statement import Refused, Statement, parse_query, translate
from apps.text2sql.execution.values import Row
from common.errors import DataError

ROW_VALUE = 16  # bytes counted for a number or NULL


@dataclass(frozen=True)
class Limits:
    """What one query may use.

    Attributes:
        seconds: wall time; a run ends at the latest a few hundredths of a second later.
        rows: rows in a result.
        value_bytes: length of one text or blob, also inside the query (where Python has `setlimit`: 3.11).
        result_bytes: all values of a result together.
        memory_bytes: heap of a worker's database engine; in a worker only.
    """

    seconds: float = 2.0
    rows: int = 100_000
    value_bytes: int = 50_000_000
    result_bytes: int = 200_000_000
    memory_bytes: int = 1_000_000_000


@dataclass(frozen=True)
class Execution:
    """What came of running one query.

    Attributes:
        status: `ok`, `invalid` (no statement, or it does not parse), `rejected` (not allowed), `error` (the database
            refused to run it), `timeout`, `limit` (rows, bytes or memory).
        columns: names of the result's columns.
        rows: the result; may be cut by whoever passes an execution on, `count` may not.
        seconds: wall time.
        code: short machine-readable cause where the status is not `ok`.
        reason: one line for people.
        count: rows in the result.
    """

    status: str
    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    seconds: float = 0.0
    code: str = ""
    reason: str = ""
    count: int = 0

    @property
    def ok(self) -> bool:
        """Whether the query ran to its end."""
        return self.status == "ok"


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    primary_key: bool = False
    not_null: bool = False
    description: str = ""


@dataclass(frozen=True)
class ForeignKey:
    """`table.column` refers to `ref_table.ref_column`."""

    table: str
    column: str
    ref_table: str
    ref_column: str


@dataclass(frozen=True)
class Table:
    """One table and its columns, in the order they were declared."""

    name: str
    columns: tuple[Column, ...]
    description: str = ""


@dataclass(frozen=True)
class Schema:
    """The tables of a database and how they refer to each other.

    Attributes:
        dialect: sqlglot's name of the database's SQL dialect.
    """

    dialect: str
    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()


class Database(Protocol):
    """A read-only connection with limits."""

    dialect: str
    limits: Limits

    def run(self, sql: str | Statement) -> Execution:
        """Run one query; what is wrong with it comes back as a status, never as an exception."""
        ...

    def schema(self) -> Schema:
        """Tables, columns and foreign keys."""
        ...

    def knows(self, name: str) -> bool:
        """Whether a name in double quotes is a name here; SQLite takes unknown ones for text."""
        ...

    def reversed(self) -> Database | None:
        """The same database, visiting rows in reverse where a query leaves the order open, if the engine can do so."""
        ...

    def close(self) -> None:
        """Give back the connection and any temporary copy."""
        ...


def refusal(refused: Refused) -> Execution:
    """The execution of a text that the gate did not let through."""
    return Execution(status=refused.kind, code=refused.code, reason=str(refused))


def gated(run: Callable[[Statement], Execution], sql: str | Statement, dialect: str) -> Execution:
    """Pass `sql` through the gate, into `dialect`, and run it."""
    try:
        statement = parse_query(sql, dialect) if isinstance(sql, str) else translate(sql, dialect)
    except Refused as refused:
        return refusal(refused)
    if "huge_format" in statement.flags:
        # SQLite answers NULL, after seconds, where the width is above its own limit.
        return Execution("limit", code="value_bytes", reason="a printf width above the limit")
    return run(statement)


def cut(execution: Execution, rows: int) -> Execution:
    """The execution with at most `rows` rows kept."""
    return replace(execution, rows=execution.rows[:rows]) if len(execution.rows) > rows else execution


def collect(source: Iterable[Row], limits: Limits) -> tuple[list[Row], str]:
    """Take rows one by one until they end or a cap is met.

    Returns:
        The rows, and the code of the limit that was broken, or an empty string.
    """
    rows: list[Row] = []
    size = 0
    for row in source:
        rows.append(row)
        size += ROW_VALUE * len(row)
        for value in row:
            if isinstance(value, str | bytes):
                size += len(value)
                if len(value) > limits.value_bytes:
                    return rows, "value_bytes"
        if size > limits.result_bytes:
            return rows, "result_bytes"
        if len(rows) > limits.rows:
            return rows, "rows"
    return rows, ""


def open_database(path_or_url: str | Path, limits: Limits | None = None) -> Database:
    """Open a database for reading.

    Args:
        path_or_url: an SQLite or DuckDB file (told apart by their first bytes), or `postgresql://…` / `mysql://…`.
        limits: per query; the defaults of `Limits` if not given.

    Raises:
        DataError: no such file, or neither format.
        MissingDependency: the engine's package is not installed.
    """
    limits = limits or Limits()
    text = str(path_or_url)
    if text.startswith(("postgresql://", "postgres://", "mysql://")):
        from apps.text2sql.execution.server import ServerDatabase

        server: Database = ServerDatabase(text, limits)
        return server
    path = Path(path_or_url)
    if not path.is_file():
        raise DataError("no such database file", path=path)
    with path.open("rb") as file:
        head = file.read(16)
    if head[8:12] == b"DUCK":
        from apps.text2sql.execution.duck import DuckDbDatabase

        return DuckDbDatabase(path, limits)
    # SQLite takes an empty file for an empty database.
    if head == b"SQLite format 3\0" or not head:
        from apps.text2sql.execution.sqlite import SqliteDatabase

        return SqliteDatabase(path, limits)
    raise DataError("neither an SQLite nor a DuckDB database", path=path)


def fingerprint(path_or_url: str) -> tuple[Any, ...]:
    """A mark that changes when the database may hold something else.

    Made of the identity, size and times of its files and of SQLite's change counter.
    Empty for a server, whose content nobody can vouch for.
    """
    if "://" in path_or_url:
        return ()
    mark: list[Any] = []
    for name in (path_or_url, f"{path_or_url}-wal", f"{path_or_url}-journal"):
        try:
            stat = os.stat(name)
        except OSError:
            mark.append(None)
            continue
        mark.append((stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    try:
        with open(path_or_url, "rb", buffering=0) as file:
            mark.append(file.read(28)[24:])
    except OSError:
        mark.append(None)
    return tuple(mark)
