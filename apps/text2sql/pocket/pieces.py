"""Random pieces of questions: conditions, populations, columns to show."""

from __future__ import annotations

import random
from collections.abc import Callable

from apps.text2sql.pocket.concepts import DATE
from apps.text2sql.pocket.facts import Facts, is_text
from apps.text2sql.pocket.meaning import Condition, Population, Query
from apps.text2sql.pocket.world import Table

Draw = Callable[[random.Random, Facts], "Query | None"]
_SIGNS = (">", "<", ">=", "<=")


def draw_table(rng: random.Random, facts: Facts) -> Table:
    """Any table."""
    return rng.choice(facts.database.tables)


def draw_child_and_parent(rng: random.Random, facts: Facts) -> tuple[Table, Table]:
    """The two ends of a foreign key."""
    pairs = [(t, facts.database[p]) for t in facts.database.tables for p in t.parents]
    return rng.choice(pairs)


def draw_shown(rng: random.Random, table: Table, count: int = 0) -> tuple[str, ...]:
    """What is shown of a row: mostly its label, sometimes something else or something more."""
    count = count or rng.choices((1, 2), (4, 1))[0]
    others = [c for c in table.columns if c != table.label]
    if count == 1:
        return (table.label,) if rng.random() < 0.8 or not others else (rng.choice(others),)
    return (table.label, rng.choice(others))


def scalar_condition(rng: random.Random, facts: Facts, table: Table, op: str = "") -> Condition | None:
    """A comparison of a number, year or date with a value that occurs; `op` is `between` or any."""
    columns = facts.scalars(table)
    if not columns:
        return None
    column = rng.choice(columns)
    kind = table.concept(column).kind
    if op == "between":
        values = sorted(set(facts.values(table.name, column)))
        if len(values) < 2:
            return None
        low, high = sorted(rng.sample(range(len(values)), 2))
        return Condition(column, op, (values[low], values[high]))
    if not op:
        signs = (">", "<") if kind == DATE else (*_SIGNS, "=")
        op = rng.choice(signs)
    return Condition(column, op, (facts.pick(rng, table.name, column),))


def text_condition(rng: random.Random, facts: Facts, table: Table) -> Condition | None:
    """Equality with a text, mostly of a category."""
    columns = [c for c in table.columns if is_text(table, c)]
    if not columns:
        return None
    categories = facts.columns(table, category=True)
    column = rng.choice(categories) if categories and rng.random() < 0.75 else rng.choice(columns)
    return Condition(column, "=", (facts.pick(rng, table.name, column),))


def not_condition(rng: random.Random, facts: Facts, table: Table) -> Condition | None:
    """Another category than the given one; only where no NULL would need an opinion."""
    columns = facts.columns(table, category=True, full=True)
    if not columns:
        return None
    column = rng.choice(columns)
    return Condition(column, "!=", (facts.pick(rng, table.name, column),))


def like_condition(rng: random.Random, facts: Facts, table: Table) -> Condition | None:
    """A first letter."""
    columns = [c for c in table.columns if c in ("name", "title", "city", "country")]
    if not columns:
        return None
    column = rng.choice(columns)
    return Condition(column, "like", (str(facts.pick(rng, table.name, column))[0],))


def null_condition(rng: random.Random, table: Table, op: str) -> Condition | None:
    """A value that is unknown (`null`) or known."""
    columns = sorted(table.nullable)
    return Condition(rng.choice(columns), op) if columns else None


def any_condition(rng: random.Random, facts: Facts, table: Table) -> Condition | None:
    """Any simple condition."""
    roll = rng.random()
    if roll < 0.5:
        return scalar_condition(rng, facts, table)
    if roll < 0.78:
        return text_condition(rng, facts, table)
    if roll < 0.84:
        return scalar_condition(rng, facts, table, "between")
    if roll < 0.9:
        return like_condition(rng, facts, table)
    if roll < 0.95:
        return not_condition(rng, facts, table)
    return null_condition(rng, table, rng.choice(("null", "known")))


def draw_population(
    rng: random.Random, facts: Facts, table: Table, plain: float = 0.4, two: float = 0.15
) -> Population | None:
    """All rows with probability `plain`, else those that satisfy one condition, or `two`."""
    if rng.random() < plain:
        return Population(table.name)
    return two_conditions(rng, facts, table) if rng.random() < two else one_condition(rng, facts, table)


def one_condition(rng: random.Random, facts: Facts, table: Table) -> Population | None:
    """Rows that satisfy one condition."""
    condition = any_condition(rng, facts, table)
    return Population(table.name, (condition,)) if condition else None


def two_conditions(rng: random.Random, facts: Facts, table: Table, either: bool = False) -> Population | None:
    """Rows that satisfy both or (`either`) one of two conditions."""
    first, second = any_condition(rng, facts, table), any_condition(rng, facts, table)
    if first is None or second is None or (first.column == second.column and not either):
        return None
    if first.op in ("null", "known") and second.op in ("null", "known"):
        return None
    if first.column == second.column and (first.op, second.op) != ("=", "="):
        return None
    return Population(table.name, (first, second), either)


def through_parent(rng: random.Random, facts: Facts, hops: int = 1) -> Population | None:
    """Children restricted by their parents: songs of singers whose …"""
    child, parent = draw_child_and_parent(rng, facts)
    path = [parent.name]
    while len(path) < hops:
        above = facts.database[path[-1]].parents
        if not above:
            return None
        path.append(rng.choice(above))
    condition = any_condition(rng, facts, facts.database[path[-1]])
    return Population(child.name, (condition,), path=tuple(path)) if condition else None


def listing(
    family: str, population: Population | None, rng: random.Random, facts: Facts, count: int = 0
) -> Query | None:
    """A `list` question that shows one or two columns."""
    if population is None:
        return None
    table = facts.database[population.table]
    columns = draw_shown(rng, table, count)
    if len(population.where) == 1 and not population.path and not population.child:
        condition = population.where[0]
        pointless = ("=", "null", "maximum", "minimum")  # "the countries of the singers from France"
        if condition.column in columns and condition.op in pointless:
            return None
    return Query(family, "list", population, columns)


def filtered(family: str, make: Callable[[random.Random, Facts, Table], Condition | None]) -> Draw:
    """Questions of a family that is a list with one condition."""

    def draw(rng: random.Random, facts: Facts) -> Query | None:
        table = draw_table(rng, facts)
        condition = make(rng, facts, table)
        return listing(family, Population(table.name, (condition,)), rng, facts) if condition else None

    return draw
