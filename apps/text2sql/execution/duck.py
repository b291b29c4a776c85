"""DuckDB, read-only, without a way out to files or the network."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.text2sql.execution.database import Column, Execution, ForeignKey, Limits, Schema, Table, collect, gated
from apps.text2sql.execution.statement import Statement
from apps.text2sql.execution.values import Row, plain
from common.errors import DataError, MissingDependency


class DuckDbDatabase:
    """One DuckDB file; one SELECT at a time; a timer interrupts what runs too long.

    Args:
        path: the file.
        limits: per query.

    Raises:
        DataError: the file cannot be opened.
        MissingDependency: duckdb is not installed.
    """

    dialect = "duckdb"

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise MissingDependency("duckdb", "text2sql") from error
        self.path = Path(path).absolute()
        self.limits = limits or Limits()
        self._duckdb = duckdb
        megabytes = max(64, min(self.limits.memory_bytes, 4_000_000_000) // 1_000_000)
        config: dict[str, Any] = {
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "memory_limit": f"{megabytes}MB",
            "temp_directory": "",
            "threads": "1",
        }
        try:
            self._connection = duckdb.connect(str(self.path), read_only=True, config=config)
            self._connection.execute("SET lock_configuration = true")
        except duckdb.Error as error:
            raise DataError(f"DuckDB cannot open this: {error}", path=path) from error

    def run(self, sql: str | Statement) -> Execution:
        """Run one query within the limits; see `Database.run`."""
        return gated(self._run, sql, self.dialect)

    def _run(self, statement: Statement) -> Execution:
        duckdb = self._duckdb
        start = time.monotonic()
        timer = threading.Timer(self.limits.seconds, self._connection.interrupt)
        timer.daemon = True
        try:
            statements = duckdb.extract_statements(statement.sql)
            if len(statements) != 1:
                return Execution("rejected", code="multi_statement", reason=f"{len(statements)} statements")
            if statements[0].type != duckdb.StatementType.SELECT:
                return Execution("rejected", code="not_a_query", reason=f"{statements[0].type.name} is not a query")
            timer.start()
            result = self._connection.execute(statements[0])
            description = result.description or ()
            rows, broken = collect(_fetch(result), self.limits)
        except (duckdb.Error, RuntimeError, MemoryError, ValueError) as error:
            status, code = self._classify(error)
            return Execution(status, seconds=time.monotonic() - start, code=code, reason=str(error)[:300])
        finally:
            timer.cancel()
        seconds = time.monotonic() - start
        if broken:
            return Execution(
                "limit", seconds=seconds, code=broken, reason=f"the result is above the limit of {broken}"
            )
        return Execution("ok", tuple(column[0] for column in description), rows, seconds, count=len(rows))

    def _classify(self, error: Exception) -> tuple[str, str]:
        duckdb = self._duckdb
        message = str(error).lower()
        if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
            return "limit", "memory"
        if isinstance(error, duckdb.InterruptException) or "interrupted" in message:
            return "timeout", "timeout"
        if isinstance(error, duckdb.PermissionException) or "disabled by configuration" in message:
            return "rejected", "not_authorized"
        if isinstance(error, duckdb.ParserException):
            return "invalid", "syntax_error"
        if isinstance(error, duckdb.CatalogException):
            return "error", "no_such_table" if "table" in message else "no_such_function"
        if isinstance(error, duckdb.BinderException):
            return "error", "no_such_column" if "column" in message else "other"
        return "error", "other"

    def knows(self, name: str) -> bool:
        """Always: see `Database.knows`."""
        return bool(name)

    def reversed(self) -> None:
        """DuckDB has no such switch; see `Database.reversed`."""

    def schema(self) -> Schema:
        """Tables and views with their columns; see `Database.schema`."""
        fetch = self._connection.execute
        primary = {
            (table, column)
            for table, columns in fetch(
                "SELECT table_name, constraint_column_names FROM duckdb_constraints() "
                "WHERE constraint_type = 'PRIMARY KEY'"
            ).fetchall()
            for column in columns
        }
        columns: dict[str, list[Column]] = {}
        for table, name, kind, nullable in fetch(
            "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY table_oid, column_index"
        ).fetchall():
            columns.setdefault(table, []).append(Column(name, kind, (table, name) in primary, not nullable))
        keys = fetch(
            "SELECT table_name, constraint_column_names, referenced_table, referenced_column_names "
            "FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY'"
        ).fetchall()
        foreign_keys = [
            ForeignKey(table, column, ref_table, ref_column)
            for table, names, ref_table, ref_names in keys
            for column, ref_column in zip(names, ref_names, strict=True)
        ]
        tables = tuple(Table(name, tuple(of_table)) for name, of_table in columns.items())
        return Schema(self.dialect, tables, tuple(foreign_keys))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _fetch(result: Any) -> Iterator[Row]:
    while rows := result.fetchmany(1000):
        for row in rows:
            yield tuple(map(plain, row))
