"""What every language must be able to say."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

from apps.text2sql.pocket.concepts import PROPERTIES, THINGS, Property, Thing
from apps.text2sql.pocket.meaning import Condition, Population, Query
from apps.text2sql.pocket.world import Database


class Realiser(ABC):
    """Says a `Query` in one language. One instance says one question: it holds the random choices between phrasings.

    Args:
        query: what to ask.
        database: the database asked about.
        rng: chooses among phrasings.
    """

    code: str

    def __init__(self, query: Query, database: Database, rng: random.Random) -> None:
        self.query = query
        self.database = database
        self.population = query.population
        self._rng = rng
        # "lowest and highest", or "minimum and maximum", but not a mixture in one sentence.
        self.words_of_degree = rng.random() < 0.5

    def sentence(self) -> str:
        """The question, with its punctuation."""
        frame: str = getattr(self, f"_{self.query.frame}")()
        return frame

    def _pick(self, *options: str) -> str:
        """One of several ways to say it."""
        return options[int(self._rng.random() * len(options))]

    def _label(self, table: str) -> str:
        """The column that names a row of `table`."""
        return self.database[table].label

    @staticmethod
    def _concept(column: str) -> Property:
        """The concept of a column."""
        return PROPERTIES[column]

    @staticmethod
    def _thing(table: str) -> Thing:
        """The concept of a table."""
        return THINGS[table]

    @staticmethod
    def _conditions(population: Population) -> tuple[Condition, ...]:
        """The conditions as they are said: two values of one column as one condition ("whose name is A or B")."""
        where = population.where
        if population.either and len(where) == 2 and where[0].column == where[1].column:
            return (Condition(where[0].column, "=", (*where[0].values, *where[1].values)),)
        return where

    @abstractmethod
    def _list(self) -> str:
        """Columns of the population."""

    @abstractmethod
    def _distinct(self) -> str:
        """The different values of one column."""

    @abstractmethod
    def _count(self) -> str:
        """How many rows."""

    @abstractmethod
    def _count_distinct(self) -> str:
        """How many different values."""

    @abstractmethod
    def _count_known(self) -> str:
        """For how many rows a value is known."""

    @abstractmethod
    def _aggregate(self) -> str:
        """One or two aggregates of one column."""

    @abstractmethod
    def _top(self) -> str:
        """The row, or the `limit` rows, with the highest or lowest value."""

    @abstractmethod
    def _sort(self) -> str:
        """Columns, in an order."""

    @abstractmethod
    def _group_count(self) -> str:
        """How many rows for each value of a column."""

    @abstractmethod
    def _group_aggregate(self) -> str:
        """An aggregate for each value of a column."""

    @abstractmethod
    def _having(self) -> str:
        """Values that enough rows share."""

    @abstractmethod
    def _group_top(self) -> str:
        """The commonest or rarest value."""

    @abstractmethod
    def _join_list(self) -> str:
        """A column of each row and columns of its parents."""

    @abstractmethod
    def _child_count(self) -> str:
        """For each row, how many children it has."""

    @abstractmethod
    def _child_most(self) -> str:
        """The row with the most children."""

    @abstractmethod
    def _parent_of_top(self) -> str:
        """The parent of the row with the highest or lowest value."""

    @abstractmethod
    def _parent_group(self) -> str:
        """A count or an aggregate for each value of a parent's column."""

    @abstractmethod
    def _combine(self) -> str:
        """An intersection, a difference or a union of values."""


def enumerate_words(words: Sequence[str], conjunction: str, comma: str = ", ") -> str:
    """`a, b and c`."""
    if len(words) == 1:
        return words[0]
    return comma.join(words[:-1]) + conjunction + words[-1]
