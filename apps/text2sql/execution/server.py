"""PostgreSQL and MySQL servers, asked in a read-only transaction with the server's own time limit.

The server's rights stay the last word: give the URL of a role that may only read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

from apps.text2sql.execution.database import Column, Execution, ForeignKey, Limits, Schema, Table, collect, gated
from apps.text2sql.execution.statement import Statement
from apps.text2sql.execution.values import Row, plain
from common.errors import DataError, MissingDependency

_BATCH = 500


class ServerDatabase:
    """One server behind a read-only transaction for each query, a statement time limit and a row cap.

    Args:
        url: `postgresql://user:password@host:port/name` or `mysql://…`.
        limits: per query.

    Raises:
        DataError: the server does not answer or refuses.
        MissingDependency: psycopg or pymysql is not installed.
    """

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._engine: _Engine = _MySql(url) if url.startswith("mysql") else _Postgres(url)
        self.dialect = self._engine.dialect
        self._connection: Any = None
        self._connect()

    def _connect(self) -> None:
        try:
            self._connection = self._engine.connect(max(1, int(self.limits.seconds * 1000)))
        except self._engine.errors as error:
            raise DataError(f"the server cannot be reached: {error}") from error

    def run(self, sql: str | Statement) -> Execution:
        """Run one query within the limits; see `Database.run`."""
        return gated(self._run, sql, self.dialect)

    def _run(self, statement: Statement) -> Execution:
        start = time.monotonic()
        expected: tuple[type[Exception], ...] = (*self._engine.errors, MemoryError, ValueError, DataError)
        try:
            if self._engine.is_closed(self._connection):
                self._connect()
            with closing(self._engine.cursor(self._connection)) as cursor:
                # Drivers read `%` only where arguments are given; none ever are.
                self._engine.execute(cursor, statement.sql)
                rows, broken = collect(_fetch(cursor), self.limits)
                description = cursor.description or ()
        except expected as error:
            status, code = self._engine.classify(error)
            return Execution(status, seconds=time.monotonic() - start, code=code, reason=str(error)[:300])
        finally:
            self._rollback()
        seconds = time.monotonic() - start
        if broken:
            return Execution("limit", seconds=seconds, code=broken, reason=f"the result is above the {broken} limit")
        return Execution("ok", tuple(str(column[0]) for column in description), rows, seconds, count=len(rows))

    def _rollback(self) -> None:
        try:
            self._connection.rollback()
        except self._engine.errors:
            self._connection.close()

    def knows(self, name: str) -> bool:
        """Always: see `Database.knows`."""
        return bool(name)

    def reversed(self) -> None:
        """Servers have no such switch; see `Database.reversed`."""

    def schema(self) -> Schema:
        """Tables and views of the current schema; see `Database.schema`."""
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(self._engine.columns_sql)
                columns = [tuple(map(plain, row)) for row in cursor.fetchall()]
                cursor.execute(self._engine.keys_sql)
                keys = [tuple(map(plain, row)) for row in cursor.fetchall()]
        except self._engine.errors as error:
            raise DataError(f"cannot read the schema: {error}") from error
        finally:
            self._rollback()
        primary = {(table, column) for kind, table, column, _, _ in keys if kind == "PRIMARY KEY"}
        tables: dict[str, list[Column]] = {}
        for table, name, kind, nullable, comment in columns:
            column = Column(name, kind, (table, name) in primary, nullable == "NO", comment or "")
            tables.setdefault(table, []).append(column)
        return Schema(
            self.dialect,
            tuple(Table(name, tuple(of_table)) for name, of_table in tables.items()),
            tuple(ForeignKey(*key[1:]) for key in keys if key[0] == "FOREIGN KEY"),
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _fetch(cursor: Any) -> Iterator[Row]:
    while rows := cursor.fetchmany(_BATCH):
        for row in rows:
            yield tuple(map(plain, row))


class _Engine:
    """What the two drivers do differently."""

    dialect = ""
    errors: tuple[type[Exception], ...] = ()
    columns_sql = ""
    keys_sql = ""

    def connect(self, milliseconds: int) -> Any:
        raise NotImplementedError

    def cursor(self, connection: Any) -> Any:
        raise NotImplementedError

    def execute(self, cursor: Any, sql: str) -> None:
        cursor.execute(sql)

    def is_closed(self, connection: Any) -> bool:
        raise NotImplementedError

    def classify(self, error: Exception) -> tuple[str, str]:
        raise NotImplementedError


class _Postgres(_Engine):
    dialect = "postgres"
    columns_sql = (
        "SELECT c.table_name, c.column_name, c.data_type, c.is_nullable, "
        "col_description(format('%I.%I', c.table_schema, c.table_name)::regclass, c.ordinal_position) "
        "FROM information_schema.columns c WHERE c.table_schema = current_schema() "
        "ORDER BY c.table_name, c.ordinal_position"
    )
    keys_sql = (
        "SELECT CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'FOREIGN KEY' END, t.relname, a.attname, r.relname, "
        "b.attname FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid "
        "CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY AS u(num, place) "
        "JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.num LEFT JOIN pg_class r ON r.oid = k.confrelid "
        "LEFT JOIN pg_attribute b ON b.attrelid = r.oid AND b.attnum = k.confkey[u.place] "
        "WHERE k.contype IN ('p', 'f') AND t.relnamespace = current_schema()::regnamespace "
        "ORDER BY t.relname, k.conname, u.place"
    )

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingDependency("psycopg", "postgresql") from error
        self.psycopg = psycopg
        self.url = url
        self.errors = (psycopg.Error,)

    def connect(self, milliseconds: int) -> Any:
        options = f"-c default_transaction_read_only=on -c statement_timeout={milliseconds} -c temp_file_limit=1GB"
        connection = None
        try:
            connection = self.psycopg.connect(self.url, connect_timeout=10, options=options)
        except self.psycopg.OperationalError as error:
            # Only a superuser may bound temporary files.
            if "temp_file_limit" not in str(error):
                raise
            options = options.rpartition(" -c")[0]
            connection = self.psycopg.connect(self.url, connect_timeout=10, options=options)
        connection.read_only = True
        return connection

    def cursor(self, connection: Any) -> Any:
        # DECLARE CURSOR takes a query and nothing else, and lets the server hold back what is not fetched.
        return connection.cursor(name="touchstone")

    def is_closed(self, connection: Any) -> bool:
        return bool(connection.closed)

    def classify(self, error: Exception) -> tuple[str, str]:
        if isinstance(error, MemoryError):
            return "limit", "memory"
        state = getattr(error, "sqlstate", None) or ""
        known = {
            "57014": ("timeout", "timeout"),
            "42601": ("invalid", "syntax_error"),
            "42P01": ("error", "no_such_table"),
            "42703": ("error", "no_such_column"),
            "42883": ("error", "no_such_function"),
            "42702": ("error", "ambiguous_column"),
            "42803": ("error", "aggregate"),
            "25006": ("rejected", "write_attempt"),
            "42501": ("rejected", "not_authorized"),
        }
        by_class = {"53": ("limit", "memory"), "54": ("limit", "memory")}
        return known.get(state) or by_class.get(state[:2]) or ("error", "other")


class _MySql(_Engine):
    dialect = "mysql"
    columns_sql = (
        "SELECT table_name, column_name, data_type, is_nullable, column_comment FROM information_schema.columns "
        "WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
    )
    keys_sql = (
        "SELECT CASE WHEN constraint_name = 'PRIMARY' THEN 'PRIMARY KEY' ELSE 'FOREIGN KEY' END, table_name, "
        "column_name, referenced_table_name, referenced_column_name FROM information_schema.key_column_usage "
        "WHERE table_schema = DATABASE() AND (constraint_name = 'PRIMARY' OR referenced_table_name IS NOT NULL) "
        "ORDER BY table_name, constraint_name, ordinal_position"
    )

    def __init__(self, url: str) -> None:
        try:
            import pymysql
        except ImportError as error:
            raise MissingDependency("pymysql", "mysql") from error
        self.pymysql = pymysql
        self.url = urlsplit(url)
        self.errors = (pymysql.Error,)

    def connect(self, milliseconds: int) -> Any:
        from pymysql.cursors import SSCursor

        connection = self.pymysql.connect(
            host=self.url.hostname or "localhost",
            port=self.url.port or 3306,
            user=unquote(self.url.username or ""),
            password=unquote(self.url.password or ""),
            database=self.url.path.lstrip("/"),
            charset="utf8mb4",
            connect_timeout=10,
            read_timeout=milliseconds / 1000 + 5,
            cursorclass=SSCursor,
            local_infile=False,
        )
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            try:
                cursor.execute(f"SET SESSION max_execution_time = {milliseconds}")
            except self.pymysql.Error:  # MariaDB calls it otherwise and counts seconds
                cursor.execute(f"SET SESSION max_statement_time = {milliseconds / 1000}")
        return connection

    def cursor(self, connection: Any) -> Any:
        return connection.cursor()

    def is_closed(self, connection: Any) -> bool:
        return not connection.open

    def classify(self, error: Exception) -> tuple[str, str]:
        if isinstance(error, MemoryError):
            return "limit", "memory"
        known = {
            3024: ("timeout", "timeout"),
            1969: ("timeout", "timeout"),
            1317: ("timeout", "timeout"),
            2013: ("timeout", "timeout"),
            1064: ("invalid", "syntax_error"),
            1146: ("error", "no_such_table"),
            1054: ("error", "no_such_column"),
            1305: ("error", "no_such_function"),
            1052: ("error", "ambiguous_column"),
            1111: ("error", "aggregate"),
            1792: ("rejected", "write_attempt"),
            1142: ("rejected", "not_authorized"),
            1227: ("rejected", "not_authorized"),
        }
        return known.get(error.args[0] if error.args else 0) or ("error", "other")
