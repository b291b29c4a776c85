"""What a database holds, as the grammar needs to know it, and whether a question is a fair one."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from apps.text2sql.pocket.concepts import DATE, NUMBER, TEXT, YEAR
from apps.text2sql.pocket.databases import fill, table_rows
from apps.text2sql.pocket.meaning import Population, Query, Value
from apps.text2sql.pocket.recombine import find_database
from apps.text2sql.pocket.sql import to_sql
from apps.text2sql.pocket.world import Database, Table

Rows = list[tuple[Value, ...]]


class Facts:
    """One pocket database in memory, with a cache of query results."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        fill(self._connection, database)
        self._results: dict[str, Rows] = {}
        self._values = {
            (name, column): [row[column] for row in rows if row[column] is not None]
            for name, rows in table_rows(database).items()
            for column in database[name].columns
        }

    def run(self, sql: str) -> Rows:
        """The rows of a query of ours."""
        if sql not in self._results:
            self._results[sql] = self._connection.execute(sql).fetchall()
        return self._results[sql]

    def values(self, table: str, column: str) -> list[Value]:
        """The values of a column that are not NULL, with their repetitions."""
        return self._values[table, column]  # type: ignore[return-value]

    def columns(
        self, table: Table, *, kinds: Iterable[str] = (), full: bool = False, category: bool = False
    ) -> list[str]:
        """Columns of these kinds; `full`: without NULLs; `category`: with repeated text values."""
        wanted = tuple(kinds)
        return [
            c
            for c in table.columns
            if (not wanted or table.concept(c).kind in wanted)
            and not (full and c in table.nullable)
            and not (category and not table.concept(c).category)
        ]

    def scalars(self, table: Table, full: bool = False) -> list[str]:
        """Columns with an order that a speaker would compare: numbers, years and dates."""
        return self.columns(table, kinds=(NUMBER, DATE, YEAR), full=full)

    def rows_of(self, population: Population, column: str) -> list[Value]:
        """One column over the rows of a population."""
        query = Query("", "list", population, columns=(column,))
        return [row[0] for row in self.run(to_sql(query, self.database))]

    def meaningful(self, population: Population) -> bool:
        """Some rows but not all satisfy the restriction, and every one of its conditions makes a difference."""
        if population.plain:
            return True
        inside = self._count(population)
        if not inside or inside == len(self.run(f"SELECT id FROM {population.table}")):
            return False
        if len(population.where) < 2:
            return True
        parts = [replace(population, where=(condition,)) for condition in population.where]
        return all(self._count(part) not in (0, inside) for part in parts)

    def _count(self, population: Population) -> int:
        if population.at_least:
            query = Query("", "list", population, columns=("id",))
            return len(self.run(to_sql(query, self.database)))
        value = self.run(to_sql(Query("", "count", population), self.database))[0][0]
        return int(value)

    def pick(self, rng: random.Random, table: str, column: str) -> Value:
        """A value that occurs in the column."""
        return rng.choice(self.values(table, column))


@cache
def facts(name: str) -> Facts:
    """The facts of a pocket database, made once a process."""
    return Facts(find_database(name))


def is_text(table: Table, column: str) -> bool:
    """The column holds words."""
    return table.concept(column).kind == TEXT
