"""The families of questions: each draws a random question of its kind about a database, or says that none fits."""

from __future__ import annotations

import random
from dataclasses import replace

from apps.text2sql.pocket.concepts import DATE, NUMBER, YEAR
from apps.text2sql.pocket.facts import Facts
from apps.text2sql.pocket.meaning import Condition, Population, Query
from apps.text2sql.pocket.pieces import (
    Draw,
    any_condition,
    draw_child_and_parent,
    draw_population,
    draw_shown,
    draw_table,
    filtered,
    like_condition,
    listing,
    not_condition,
    null_condition,
    one_condition,
    scalar_condition,
    text_condition,
    through_parent,
    two_conditions,
)
from apps.text2sql.pocket.world import Table


def _select(rng: random.Random, facts: Facts) -> Query | None:
    table = draw_table(rng, facts)
    return Query("select", "list", Population(table.name), (rng.choice(table.columns),))


def _select_two(rng: random.Random, facts: Facts) -> Query | None:
    table = draw_table(rng, facts)
    if len(table.columns) < 2:
        return None
    return Query("select_two", "list", Population(table.name), tuple(rng.sample(table.columns, 2)))


def _both(rng: random.Random, facts: Facts) -> Query | None:
    return listing("filter_and", two_conditions(rng, facts, draw_table(rng, facts)), rng, facts)


def _either(rng: random.Random, facts: Facts) -> Query | None:
    return listing("filter_or", two_conditions(rng, facts, draw_table(rng, facts), either=True), rng, facts)


def _distinct(rng: random.Random, facts: Facts) -> Query | None:
    table = draw_table(rng, facts)
    columns = facts.columns(table, category=True, full=True) or facts.columns(table, kinds=(YEAR,), full=True)
    population = draw_population(rng, facts, table, plain=0.5, two=0)
    if not columns or population is None:
        return None
    column = rng.choice(columns)
    if any(c.column == column for c in population.where):
        return None
    return Query("distinct", "distinct", population, (column,))


def _count(rng: random.Random, facts: Facts) -> Query | None:
    population = draw_population(rng, facts, draw_table(rng, facts), plain=0.15, two=0.25)
    if population is None or any(c.op == "known" for c in population.where):
        return None  # "how many have a known age" is the family count_known
    return Query("count", "count", population)


def _count_distinct(rng: random.Random, facts: Facts) -> Query | None:
    table = draw_table(rng, facts)
    columns = facts.columns(table, category=True) + facts.columns(table, kinds=(DATE, YEAR))
    population = draw_population(rng, facts, table, plain=0.5, two=0)
    if not columns or population is None:
        return None
    column = rng.choice(columns)
    if any(c.column == column for c in population.where):
        return None
    return Query("count_distinct", "count_distinct", population, column=column)


def _count_known(rng: random.Random, facts: Facts) -> Query | None:
    table = draw_table(rng, facts)
    population = draw_population(rng, facts, table, plain=0.5, two=0)
    if not table.nullable or population is None:
        return None
    column = rng.choice(sorted(table.nullable))
    if any(c.column == column for c in population.where):
        return None
    return Query("count_known", "count_known", population, column=column)


def _measure(rng: random.Random, facts: Facts, table: Table) -> tuple[str, str] | None:
    """A column and an aggregate that makes sense for it."""
    columns = facts.columns(table, kinds=(NUMBER,)) or facts.scalars(table)
    if rng.random() < 0.15:
        columns = facts.scalars(table)
    if not columns:
        return None
    column = rng.choice(columns)
    concept = table.concept(column)
    choices = ["max", "min"]
    if concept.kind == NUMBER:
        choices += ["avg", "avg"] + ["sum", "sum"] * concept.summable
    return column, rng.choice(choices)


def _aggregate(rng: random.Random, facts: Facts) -> Query | None:
    table = draw_table(rng, facts)
    measure, population = _measure(rng, facts, table), draw_population(rng, facts, table, plain=0.35, two=0.1)
    if measure is None or population is None or any(c.column == measure[0] for c in population.where):
        return None
    return Query("aggregate", "aggregate", population, column=measure[0], aggregates=(measure[1],))


def _aggregate_pair(rng: random.Random, facts: Facts) -> Query | None:
    query = _aggregate(rng, facts)
    if query is None:
        return None
    column = facts.database[query.population.table].concept(query.column)
    pairs = [("min", "max"), ("max", "min")] + [("avg", "max"), ("min", "avg")] * (column.kind == NUMBER)
    return replace(query, family="aggregate_pair", aggregates=rng.choice(pairs))


def _top(rng: random.Random, facts: Facts) -> Query | None:
    return _ordered(rng, facts, "top", 1)


def _top_k(rng: random.Random, facts: Facts) -> Query | None:
    return _ordered(rng, facts, "top_k", rng.choice((2, 3, 4, 5)))


def _sort(rng: random.Random, facts: Facts) -> Query | None:
    query = _ordered(rng, facts, "sort", 0)
    return query and replace(query, frame="sort", limit=0)


def _ordered(rng: random.Random, facts: Facts, family: str, limit: int) -> Query | None:
    table = draw_table(rng, facts)
    columns = facts.scalars(table, full=True)
    if family == "sort":
        columns = columns + [c for c in ("name", "title") if c in table.columns]
    population = draw_population(rng, facts, table, plain=0.5, two=0)
    if not columns or population is None:
        return None
    column = rng.choice(columns)
    if any(c.column == column for c in population.where):
        return None
    shown = draw_shown(rng, table)
    if family == "top" and column in shown:
        return None  # that would be a plain maximum
    return Query(family, "top", population, shown, column=column, descending=rng.random() < 0.55, limit=limit)


def _extreme(rng: random.Random, facts: Facts, table: Table) -> Condition | None:
    columns = facts.scalars(table)
    return Condition(rng.choice(columns), rng.choice(("maximum", "minimum"))) if columns else None


def _average(rng: random.Random, facts: Facts, table: Table) -> Condition | None:
    columns = facts.columns(table, kinds=(NUMBER,))
    return Condition(rng.choice(columns), rng.choice(("above_average", "below_average"))) if columns else None


def _compare(rng: random.Random, facts: Facts, table: Table) -> Condition | None:
    columns = facts.scalars(table)
    if not columns or table.label not in ("name", "title"):
        return None
    value = facts.pick(rng, table.name, table.label)
    if facts.values(table.name, table.label).count(value) > 1:
        return None  # whose age is meant must be clear
    return Condition(rng.choice(columns), rng.choice(("more_than", "less_than")), (value,))


def _group_count(rng: random.Random, facts: Facts) -> Query | None:
    table = draw_table(rng, facts)
    groups, population = facts.columns(table, category=True, full=True), draw_population(rng, facts, table, 0.65, 0)
    if not groups or population is None:
        return None
    group = rng.choice(groups)
    if any(c.column == group for c in population.where):
        return None
    return Query("group_count", "group_count", population, group=group)


def _group_aggregate(rng: random.Random, facts: Facts) -> Query | None:
    query, table = _group_count(rng, facts), None
    if query is None:
        return None
    table = facts.database[query.population.table]
    measure = _measure(rng, facts, table)
    if measure is None or any(c.column == measure[0] for c in query.population.where):
        return None
    frame = "group_aggregate"
    return replace(query, family=frame, frame=frame, column=measure[0], aggregates=(measure[1],))


def _having(rng: random.Random, facts: Facts) -> Query | None:
    query = _group_count(rng, facts)
    if query is None:
        return None
    return replace(query, family="having", frame="having", op=rng.choice((">=", ">")), number=rng.choice((2, 3, 4)))


def _group_top(rng: random.Random, facts: Facts) -> Query | None:
    query = _group_count(rng, facts)
    return query and replace(query, family="group_top", frame="group_top", descending=rng.random() < 0.7)


def _join_list(rng: random.Random, facts: Facts) -> Query | None:
    child, parent = draw_child_and_parent(rng, facts)
    population = draw_population(rng, facts, child, plain=0.5, two=0)
    columns = draw_shown(rng, child, 1)
    if population is None or any(c.column in columns and c.op == "=" for c in population.where):
        return None
    return Query("join_list", "join_list", population, columns, ((parent.name, draw_shown(rng, parent, 1)[0]),))


def _join_both(rng: random.Random, facts: Facts) -> Query | None:
    tables = [t for t in facts.database.tables if len(t.parents) > 1]
    if not tables:
        return None
    table = rng.choice(tables)
    population = draw_population(rng, facts, table, plain=0.5, two=0)
    columns = draw_shown(rng, table, 1)
    if population is None or any(c.column in columns and c.op == "=" for c in population.where):
        return None
    linked = tuple((parent, facts.database[parent].label) for parent in table.parents)
    return Query("join_both", "join_list", population, columns, linked)


def _join_filter(rng: random.Random, facts: Facts) -> Query | None:
    return listing("join_filter", through_parent(rng, facts), rng, facts)


def _join_two_hops(rng: random.Random, facts: Facts) -> Query | None:
    return listing("join_two_hops", through_parent(rng, facts, hops=2), rng, facts, count=1)


def _join_count(rng: random.Random, facts: Facts) -> Query | None:
    population = through_parent(rng, facts)
    return Query("join_count", "count", population) if population else None


def _join_aggregate(rng: random.Random, facts: Facts) -> Query | None:
    population = through_parent(rng, facts)
    if population is None:
        return None
    measure = _measure(rng, facts, facts.database[population.table])
    if measure is None:
        return None
    return Query("join_aggregate", "aggregate", population, column=measure[0], aggregates=(measure[1],))


def _children(family: str) -> Draw:
    def draw(rng: random.Random, facts: Facts) -> Query | None:
        child, parent = draw_child_and_parent(rng, facts)
        columns = (parent.label,)
        return Query(family, family, Population(parent.name), columns, ((child.name, child.label),))

    return draw


def _child_having(rng: random.Random, facts: Facts) -> Query | None:
    child, parent = draw_child_and_parent(rng, facts)
    population = Population(parent.name, child=child.name, at_least=rng.choice((2, 3, 4)))
    return listing("child_having", population, rng, facts)


def _parent_of_top(rng: random.Random, facts: Facts) -> Query | None:
    child, parent = draw_child_and_parent(rng, facts)
    columns = facts.scalars(child, full=True)
    if not columns:
        return None
    linked = ((parent.name, draw_shown(rng, parent, 1)[0]),)
    return Query(
        "parent_of_top",
        "parent_of_top",
        Population(child.name),
        linked=linked,
        column=rng.choice(columns),
        descending=rng.random() < 0.6,
    )


def _parent_group(rng: random.Random, facts: Facts) -> Query | None:
    child, parent = draw_child_and_parent(rng, facts)
    groups = facts.columns(parent, category=True, full=True)
    if not groups:
        return None
    query = Query("parent_group", "parent_group", Population(child.name), linked=((parent.name, rng.choice(groups)),))
    measure = _measure(rng, facts, child)
    if measure is None or rng.random() < 0.4:
        return query
    return replace(query, column=measure[0], aggregates=(measure[1],))


def _nested(family: str, negated: bool) -> Draw:
    def draw(rng: random.Random, facts: Facts) -> Query | None:
        child, parent = draw_child_and_parent(rng, facts)
        condition = None if negated and rng.random() < 0.4 else any_condition(rng, facts, child)
        where = (condition,) if condition else ()
        if not where and not negated:
            return None
        return listing(family, Population(parent.name, where, child=child.name, negated=negated), rng, facts)

    return draw


def _combine(family: str) -> Draw:
    def draw(rng: random.Random, facts: Facts) -> Query | None:
        tables = facts.database.tables
        pairs = [(a, b, c) for a in tables for b in tables for c in a.columns if a != b and c in b.columns]
        pairs = [p for p in pairs if p[0].concept(p[2]).category and p[2] not in p[0].nullable | p[1].nullable]
        if pairs and (family == "union" or rng.random() < 0.5):
            left, right, group = rng.choice(pairs)
            first: Population | None = Population(left.name)
            second: Population | None = Population(right.name)
            if rng.random() < 0.3:
                second = one_condition(rng, facts, right)
        else:
            table = draw_table(rng, facts)
            groups = facts.columns(table, category=True, full=True)
            if not groups:
                return None
            group = rng.choice(groups)
            first = Population(table.name) if family == "except" else one_condition(rng, facts, table)
            second = one_condition(rng, facts, table)
        if first is None or second is None or any(c.column == group for c in first.where + second.where):
            return None
        return Query(family, "combine", first, group=group, op=family, other=second)

    return draw


FAMILIES: dict[str, Draw] = {
    "select": _select,
    "select_two": _select_two,
    "distinct": _distinct,
    "filter_compare": filtered("filter_compare", scalar_condition),
    "filter_text": filtered("filter_text", text_condition),
    "filter_not": filtered("filter_not", not_condition),
    "filter_between": filtered("filter_between", lambda r, f, t: scalar_condition(r, f, t, "between")),
    "filter_like": filtered("filter_like", like_condition),
    "filter_null": filtered("filter_null", lambda r, f, t: null_condition(r, t, "null")),
    "filter_known": filtered("filter_known", lambda r, f, t: null_condition(r, t, "known")),
    "filter_and": _both,
    "filter_or": _either,
    "count": _count,
    "count_distinct": _count_distinct,
    "count_known": _count_known,
    "aggregate": _aggregate,
    "aggregate_pair": _aggregate_pair,
    "top": _top,
    "top_k": _top_k,
    "extreme": filtered("extreme", _extreme),
    "sort": _sort,
    "group_count": _group_count,
    "group_aggregate": _group_aggregate,
    "having": _having,
    "group_top": _group_top,
    "join_list": _join_list,
    "join_both": _join_both,
    "join_filter": _join_filter,
    "join_two_hops": _join_two_hops,
    "join_count": _join_count,
    "join_aggregate": _join_aggregate,
    "child_count": _children("child_count"),
    "child_having": _child_having,
    "child_most": _children("child_most"),
    "parent_of_top": _parent_of_top,
    "parent_group": _parent_group,
    "nested_in": _nested("nested_in", negated=False),
    "nested_not_in": _nested("nested_not_in", negated=True),
    "nested_average": filtered("nested_average", _average),
    "nested_compare": filtered("nested_compare", _compare),
    "intersect": _combine("intersect"),
    "except": _combine("except"),
    "union": _combine("union"),
}
