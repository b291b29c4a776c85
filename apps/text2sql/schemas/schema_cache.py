"""Schemas with descriptions and example values, read once for each state of a database file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql.schemas.descriptions import describe, find_descriptions

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

#: Longer examples are no help in recognising a column.
_LONGEST = 60


@dataclass(frozen=True)
class DatabaseView:
    """What prompts show of a database.

    Attributes:
        schema: with descriptions where the data set has them.
        values: some distinct values of each column, by (table, column).
    """

    schema: Schema
    values: dict[tuple[str, str], tuple[object, ...]]


def database_view(path: Path | str, database: str = "", values: int = 0) -> DatabaseView:
    """A database as prompts show it.

    Args:
        path: database file or server's address.
        database: its id in the data set's own description of schemas.
        values: example values of each column.
    """
    from apps.text2sql.execution.database import fingerprint

    return _database_view(str(path), fingerprint(str(path)), database, values)


@lru_cache(maxsize=512)
def _database_view(path: str, _fingerprint: tuple[Any, ...], name: str, count: int) -> DatabaseView:
    from apps.text2sql.execution.database import open_database
    from apps.text2sql.schemas.retrieval import distinct_values

    database = open_database(path)
    try:
        schema = describe(database.schema(), find_descriptions(path, name))
        values: dict[tuple[str, str], tuple[object, ...]] = {}
        for table in schema.tables if count else ():
            for column in table.columns:
                found = distinct_values(database, table.name, column.name, count)
                values[(table.name, column.name)] = tuple(value for value in found if len(str(value)) <= _LONGEST)
        return DatabaseView(schema, values)
    finally:
        database.close()
