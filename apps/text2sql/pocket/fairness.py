"""Which questions have one clear answer to which every part of the question matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from apps.text2sql.pocket.facts import Facts, Rows
from apps.text2sql.pocket.meaning import Population, Query
from apps.text2sql.pocket.sql import to_sql


def is_fair(query: Query, facts: Facts) -> bool:
    """The answer is not empty, does not hang on the order of ties, and the question's parts matter to it."""
    population = query.population
    if not facts.meaningful(population) or (query.other and not facts.meaningful(query.other)):
        return False
    answer = facts.run(to_sql(query, facts.database))
    if not answer or any(all(value is None for value in row) for row in answer):
        return False
    check = _CHECKS.get(query.frame)
    return (check is None or check(query, facts)) and _depends_on_conditions(query, facts, answer)


# Few values come out of these whatever the rows, so nearly every condition would be refused.
_COARSE = ("distinct", "group_top", "combine")
_NEIGHBOURS = {">": ">=", ">=": ">", "<": "<=", "<=": "<"}


def _depends_on_conditions(query: Query, facts: Facts, answer: Rows) -> bool:
    """Leaving a condition out, or taking > for >=, gives another answer; so a wrong query is seldom right by luck."""
    if query.frame in _COARSE:
        return True
    counted = Counter(answer)
    for variant in _variants(query.population):
        if Counter(facts.run(to_sql(replace(query, population=variant), facts.database))) == counted:
            return False
    return True


def _variants(population: Population) -> Iterator[Population]:
    where = population.where
    for place, condition in enumerate(where):
        before, after = where[:place], where[place + 1 :]
        yield replace(population, where=before + after)
        if condition.op in _NEIGHBOURS:
            yield replace(population, where=(*before, replace(condition, op=_NEIGHBOURS[condition.op]), *after))


def _ordered_fairly(query: Query, facts: Facts) -> bool:
    values = sorted(facts.rows_of(query.population, query.column), key=_order_key, reverse=query.descending)
    limit = query.limit if query.frame in ("top", "parent_of_top") else len(values)
    if len(values) <= max(limit, 1) and query.frame != "sort":
        return False
    head = values[: limit + 1]
    return len(values) > 1 and len(set(head)) == len(head)


def _order_key(value: object) -> tuple[str, float]:
    return (value, 0.0) if isinstance(value, str) else ("", float(value))  # type: ignore[arg-type]


def _grouped_fairly(query: Query, facts: Facts) -> bool:
    counts = sorted(Counter(facts.rows_of(query.population, query.group)).values(), reverse=query.descending)
    if len(counts) < 2:
        return False
    if query.frame == "group_top":
        return counts[0] != counts[1]
    if query.frame == "having":
        kept = sum(c >= query.number + (query.op == ">") for c in counts)
        return 0 < kept < len(counts)
    return True


def _repeated(query: Query, facts: Facts) -> bool:
    values = facts.rows_of(query.population, query.columns[0] if query.columns else query.column)
    return len(set(values)) < len(values) and len(set(values)) > 1


def _partly_known(query: Query, facts: Facts) -> bool:
    values = facts.rows_of(query.population, query.column)
    return 0 < sum(v is not None for v in values) < len(values)


def _several(query: Query, facts: Facts) -> bool:
    values = [v for v in facts.rows_of(query.population, query.column) if v is not None]
    return len(set(values)) > 1


def _one_leader(query: Query, facts: Facts) -> bool:
    child, key = query.linked[0][0], f"{query.population.table}_id"
    counts = Counter(facts.run(f"SELECT {key} FROM {child}")).most_common(2)
    return len(counts) > 1 and counts[0][1] > counts[1][1]


def _combined_fairly(query: Query, facts: Facts) -> bool:
    assert query.other is not None
    if query.population.table == query.other.table and query.population.where and not _complementary(query, facts):
        return False
    left = set(facts.rows_of(query.population, query.group))
    right = set(facts.rows_of(query.other, query.group))
    sides = {"intersect": left & right, "except": left - right, "union": left | right}
    return sides[query.op] not in (left, right)


def _complementary(query: Query, facts: Facts) -> bool:
    """Two restrictions of one table are worth combining: they share no rows, and together they miss some values."""
    assert query.other is not None
    first, second = query.population, query.other
    if (
        set(facts.rows_of(first, "id")) & set(facts.rows_of(second, "id"))
        and first.where[0].column == second.where[0].column
    ):
        return False
    both = set(facts.rows_of(first, query.group)) | set(facts.rows_of(second, query.group))
    return query.op != "union" or both != set(facts.rows_of(Population(first.table), query.group))


_CHECKS: dict[str, Callable[[Query, Facts], bool]] = {
    "distinct": _repeated,
    "count_distinct": _repeated,
    "count_known": _partly_known,
    "aggregate": _several,
    "top": _ordered_fairly,
    "sort": _ordered_fairly,
    "parent_of_top": _ordered_fairly,
    "group_count": _grouped_fairly,
    "group_aggregate": _grouped_fairly,
    "having": _grouped_fairly,
    "group_top": _grouped_fairly,
    "child_most": _one_leader,
    "combine": _combined_fairly,
}
