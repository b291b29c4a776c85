"""SQLite, opened so that nothing a query says can change a byte on disk or run on for ever."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

from apps.text2sql.execution.database import (
    Column,
    Execution,
    ForeignKey,
    Limits,
    Schema,
    Table,
    collect,
    gated,
)
from apps.text2sql.execution.sql_words import REFUSED_FUNCTIONS, quoted_always
from apps.text2sql.execution.statement import Statement
from common.errors import DataError

# Read-only table-valued pragmas; they say no more than sqlite_master does.
SCHEMA_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
)
_ALLOWED_PRAGMAS = SCHEMA_PRAGMAS | {"data_version"}  # full-text search asks for the latter
_PRAGMA, _READ, _SELECT, _FUNCTION, _RECURSIVE = 19, 20, 21, 31, 33  # SQLITE_… action codes (sqlite.org/c3ref)
_LIMIT_LENGTH, _LIMIT_ATTACHED, _LIMIT_WORKER_THREADS = 0, 7, 11
_CONFIG_DQS_DML = 1013
_STEPS = 1_000  # virtual machine steps between two looks at the clock


class SqliteDatabase:
    """One SQLite file behind `mode=ro`, `query_only`, an authorizer allow-list, limits and a deadline.

    A file that nobody is writing is opened `immutable`, so that not even the `-shm` file of a WAL database is made;
    one with a live `-wal` or `-journal` beside it is read from a temporary copy. Either way the content is that of
    the moment it was opened: `fingerprint` tells when to open again.

    Args:
        path: the file.
        limits: per query.
        reverse: let SQLite visit rows in reverse wherever the query leaves the order open
            (`PRAGMA reverse_unordered_selects`): another legal reading of the same query.

    Raises:
        DataError: the file cannot be opened.
    """

    dialect = "sqlite"

    def __init__(self, path: str | Path, limits: Limits | None = None, reverse: bool = False) -> None:
        self.path = Path(path).absolute()
        self.limits = limits or Limits()
        self._deadline = float("inf")
        self._trusted = True
        self._folder: str | None = None
        try:
            self._connection = self._open(reverse)
        except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
            raise DataError(f"SQLite cannot open this: {error}", path=path) from error
        self._names: frozenset[str] | None = None
        self._backwards: SqliteDatabase | None = None

    def _open(self, reverse: bool) -> sqlite3.Connection:
        journals = [Path(f"{self.path}{suffix}") for suffix in ("-wal", "-journal")]
        live = [journal for journal in journals if journal.is_file() and journal.stat().st_size]
        if live:
            self._folder = tempfile.mkdtemp(prefix="touchstone-")
            self._remove_copy = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            for file in (self.path, *live):
                shutil.copyfile(file, Path(self._folder) / file.name)
            uri = (Path(self._folder) / self.path.name).as_uri()
        else:
            uri = f"{self.path.as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.set_progress_handler(self._out_of_time, _STEPS)
        if hasattr(connection, "setlimit"):
            connection.setlimit(_LIMIT_ATTACHED, 0)
            connection.setlimit(_LIMIT_LENGTH, self.limits.value_bytes)
            connection.setlimit(_LIMIT_WORKER_THREADS, 0)
        else:
            # Python 3.10 cannot bound a value inside a query. The heap can be bounded, but that of all SQLite in the
            # process and for good, so that it must leave room for other connections.
            heap = 4 * max(self.limits.value_bytes, Limits.value_bytes) + 64_000_000
            connection.execute(f"PRAGMA hard_heap_limit = {heap}")
        if hasattr(connection, "setconfig"):
            # Some builds do not read an unknown "name" as text; Spider's golds count on it.
            connection.setconfig(_CONFIG_DQS_DML, True)
        if live:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # recovers the copy
        connection.execute("PRAGMA temp_store = memory")  # sorts must not spill to disk
        connection.execute("PRAGMA cell_size_check = on")
        connection.execute("PRAGMA trusted_schema = off")
        if reverse:
            connection.execute("PRAGMA reverse_unordered_selects = on")
        connection.execute("PRAGMA query_only = on")
        self._prime(connection)
        connection.set_authorizer(self._authorize)
        self._trusted = False
        return connection

    def _prime(self, connection: sqlite3.Connection) -> None:
        """Register virtual tables before the authorizer stands: SQLite reports their first use as a write."""
        functions = [*(f"pragma_{name}('x')" for name in sorted(SCHEMA_PRAGMAS)), "json_each('[]')", "json_tree('[]')"]
        with contextlib.suppress(sqlite3.DatabaseError, UnicodeDecodeError):
            functions += [
                quoted_always(name)
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'create virtual table%'"
                )
            ]
        for function in functions:
            with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
                connection.execute(f"SELECT * FROM {function} LIMIT 0")

    def _authorize(self, action: int, first: str | None, second: str | None, *_: Any) -> int:
        if action in (_READ, _SELECT, _RECURSIVE) or self._trusted:
            return sqlite3.SQLITE_OK
        if action == _FUNCTION and (second or "").lower() not in REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        # The authorizer cannot tell a pragma function from a PRAGMA statement; the gate lets no statement through.
        if action == _PRAGMA and (first or "").lower() in _ALLOWED_PRAGMAS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _out_of_time(self) -> bool:
        return time.monotonic() > self._deadline

    def run(self, sql: str | Statement) -> Execution:
        """Run one query within the limits; see `Database.run`."""
        return gated(self._run, sql, self.dialect)

    def _run(self, statement: Statement) -> Execution:
        execution = self._attempt(statement.sql)
        if execution.code == "decode":
            self._connection.text_factory = _decode
            try:
                return self._attempt(statement.sql)
            finally:
                self._connection.text_factory = str
        return execution

    def _attempt(self, sql: str) -> Execution:
        limits = self.limits
        start = time.monotonic()
        self._deadline = start + limits.seconds
        try:
            cursor = self._connection.execute(sql)
            rows, broken = collect(cursor, limits)
            description = cursor.description
            cursor.close()
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, OverflowError) as error:
            seconds = time.monotonic() - start
            status, code = classify(error)
            return Execution(status, seconds=seconds, code=code, reason=str(error)[:300] or "out of memory")
        finally:
            self._deadline = float("inf")
        seconds = time.monotonic() - start
        if broken:
            return Execution(
                "limit", seconds=seconds, code=broken, reason=f"the result is above the limit of {broken}"
            )
        if description is None:
            return Execution("invalid", seconds=seconds, code="no_statement", reason="no statement")
        if seconds > limits.seconds + 0.05:
            # One step that the clock could not interrupt.
            return Execution("timeout", seconds=seconds, code="timeout", reason=f"{seconds:.2f} s")
        return Execution("ok", tuple(column[0] for column in description), rows, seconds, count=len(rows))

    def reversed(self) -> SqliteDatabase:
        """See `Database.reversed`."""
        if self._backwards is None:
            self._backwards = SqliteDatabase(self.path, self.limits, reverse=True)
        return self._backwards

    def knows(self, name: str) -> bool:
        """Whether a table or column has this name; see `Database.knows`."""
        if self._names is None:
            try:
                schema = self.schema()
            except DataError:
                return True
            names = [table.name for table in schema.tables]
            names += [column.name for table in schema.tables for column in table.columns]
            self._names = frozenset(name.lower() for name in names) | {"rowid", "oid", "_rowid_"}
        return name.lower() in self._names

    def schema(self) -> Schema:
        """Tables and views with their columns; see `Database.schema`.

        Raises:
            DataError: the file is damaged or no database.
        """
        self._trusted = True
        try:
            return read_schema(self._connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise DataError(f"cannot read the schema: {error}", path=self.path) from error
        finally:
            self._trusted = False

    def close(self) -> None:
        """Close the connection and remove the temporary copy, if any."""
        self._connection.close()
        if self._backwards is not None:
            self._backwards.close()
        if self._folder is not None:
            self._remove_copy()


def read_schema(connection: sqlite3.Connection) -> Schema:
    """Tables, views and foreign keys in the order they were created; SQLite's own tables left out."""
    tables, keys = [], []
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    for (name,) in names:
        try:
            info = connection.execute(f"PRAGMA table_info({quoted_always(name)})").fetchall()
        except sqlite3.OperationalError:
            continue  # a view of something that is gone
        columns = tuple(Column(row[1], row[2] or "", bool(row[5]), bool(row[3])) for row in info)
        tables.append(Table(name, columns))
        for row in connection.execute(f"PRAGMA foreign_key_list({quoted_always(name)})").fetchall():
            keys.append((name, row[3], row[2], row[4]))
    primary = {table.name.lower(): [column.name for column in table.columns if column.primary_key] for table in tables}
    foreign_keys = []
    for table, column, ref_table, ref_column in keys:
        implied = primary.get(ref_table.lower()) or [""]
        foreign_keys.append(ForeignKey(table, column, ref_table, ref_column or implied[0]))
    return Schema("sqlite", tuple(tables), tuple(foreign_keys))


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# Part of SQLite's message -> (status, code); the first that fits counts.
_MESSAGES = (
    ("one statement at a time", "rejected", "multi_statement"),
    ("not authorized", "rejected", "not_authorized"),
    ("prohibited", "rejected", "not_authorized"),
    ("readonly", "rejected", "write_attempt"),
    ("too big", "limit", "value_bytes"),
    ("out of memory", "limit", "memory"),
    ("interrupted", "timeout", "timeout"),
    ("syntax error", "invalid", "syntax_error"),
    ("incomplete input", "invalid", "syntax_error"),
    ("unrecognized token", "invalid", "syntax_error"),
    ("parser stack overflow", "invalid", "too_deep"),
    ("null character", "invalid", "nul_character"),
    ("surrogates not allowed", "invalid", "encoding"),
    ("could not decode", "error", "decode"),
    ("no such table", "error", "no_such_table"),
    ("no such column", "error", "no_such_column"),
    ("no such function", "error", "no_such_function"),
    ("ambiguous column", "error", "ambiguous_column"),
    ("misuse of aggregate", "error", "aggregate"),
    ("misuse of window", "error", "window"),
    ("number of bindings", "error", "parameter"),
    ("authorization denied", "rejected", "not_authorized"),
    ("not a database", "error", "database"),
    ("malformed", "error", "database"),
)


def classify(error: Exception) -> tuple[str, str]:
    """Status and code of an exception from sqlite3."""
    if isinstance(error, MemoryError):
        return "limit", "memory"
    message = str(error).lower()
    for part, status, code in _MESSAGES:
        if part in message:
            return status, code
    return "error", "other"
