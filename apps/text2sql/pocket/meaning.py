"""What a question means: one typed form from which the SQL and the sentence of every language are made."""

from __future__ import annotations

from dataclasses import dataclass

Value = int | float | str

COMPARISONS = ("=", "!=", ">", "<", ">=", "<=")
AGGREGATES = ("avg", "sum", "max", "min")
FRAMES = (
    "list",
    "distinct",
    "count",
    "count_distinct",
    "count_known",
    "aggregate",
    "top",
    "sort",
    "group_count",
    "group_aggregate",
    "having",
    "group_top",
    "join_list",
    "child_count",
    "child_most",
    "parent_of_top",
    "parent_group",
    "combine",
)


@dataclass(frozen=True)
class Condition:
    """A restriction on one column.

    Attributes:
        column: the column's name.
        op: one of `COMPARISONS`, `between`, `like` (prefix), `null`, `known`, `above_average`, `below_average`,
            `maximum`, `minimum`, or `more_than`, `less_than` (than the row that `values[0]` names).
        values: as they stand in the database.
    """

    column: str
    op: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Population:
    """The rows a question is about: "songs of singers whose age is above 30".

    Attributes:
        table: what the rows are.
        where: conditions on `table`; on the last of `path` or on `child` where one is given.
        either: the conditions are joined by OR.
        path: parents, grandparents … through which `table` is restricted.
        child: a child table: rows that have (`negated`: have none of) such children.
        at_least: rows with at least so many children (0: not restricted so).
    """

    table: str
    where: tuple[Condition, ...] = ()
    either: bool = False
    path: tuple[str, ...] = ()
    child: str = ""
    negated: bool = False
    at_least: int = 0

    @property
    def plain(self) -> bool:
        """All rows of the table."""
        return not (self.where or self.path or self.child)


@dataclass(frozen=True)
class Query:
    """A question.

    Attributes:
        family: the kind of question, a key of `grammar.FAMILIES`.
        frame: what is asked of the population, one of `FRAMES`.
        population: the rows asked about.
        columns: columns of the population's table that are shown.
        linked: `(table, column)` of parents that are shown or grouped by.
        aggregates: of `AGGREGATES`.
        column: what is aggregated, counted or ordered by.
        group: the column grouped by, or on which a set operation works.
        descending: highest first.
        limit: number of rows wanted by `top`.
        number: the bound of `having`.
        op: comparison of `having` (`>=`, `>`), or `intersect`, `except`, `union`.
        other: the second population of a set operation.
    """

    family: str
    frame: str
    population: Population
    columns: tuple[str, ...] = ()
    linked: tuple[tuple[str, str], ...] = ()
    aggregates: tuple[str, ...] = ()
    column: str = ""
    group: str = ""
    descending: bool = True
    limit: int = 1
    number: int = 0
    op: str = ""
    other: Population | None = None
