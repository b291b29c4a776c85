"""Spider's own counts and exact-set match on the parse trees that its files carry: an oracle for our own.

Written from the published definitions (Yu et al. 2018). Those trees hold numbers for operators: 9 is LIKE.
"""

from __future__ import annotations

from typing import Any

LIKE = 9


def counts(sql: dict[str, Any]) -> tuple[int, int, int]:
    """Component 1, component 2 and others."""
    conditions = [unit for name in ("where", "having") for unit in sql[name][::2]] + sql["from"]["conds"][::2]
    words = [word for name in ("where", "having") for word in sql[name][1::2]] + sql["from"]["conds"][1::2]
    first = sum(bool(sql[name]) for name in ("where", "groupBy", "orderBy")) + (sql["limit"] is not None)
    first += max(0, len(sql["from"]["table_units"]) - 1) + words.count("or")
    first += sum(unit[1] == LIKE for unit in conditions)
    second = sum(isinstance(unit[place], dict) for unit in conditions for place in (3, 4))
    second += sum(sql[name] is not None for name in ("intersect", "except", "union"))
    aggregates = sum(unit[0] != 0 for unit in sql["select"][1])
    aggregates += sum(unit[0] != 0 for name in ("where", "having") for unit in sql[name][::2])
    if sql["orderBy"]:
        units = [column for unit in sql["orderBy"][1] for column in unit[1:] if column]
        aggregates += sum(unit[0] != 0 for unit in units)
    others = (aggregates > 1) + (len(sql["select"][1]) > 1) + (len(sql["where"]) > 1) + (len(sql["groupBy"]) > 1)
    return first, second, others


def linked(entry: dict[str, Any]) -> dict[int, int]:
    """Column numbers to the smallest number that foreign keys link them to."""
    sets: list[set[int]] = []
    for pair in entry["foreign_keys"]:
        found = next((known for known in sets if known & set(pair)), None)
        if found is None:
            sets.append(found := set())
        found.update(pair)
    return {number: min(known) for known in sets for number in known}


def normal(sql: dict[str, Any] | None, same: dict[int, int]) -> Any:
    """A parse tree as the script compares it: without values, DISTINCT and join conditions, sorted where unordered."""
    if sql is None:
        return None

    def column(unit: Any) -> Any:
        return unit and (unit[0], same.get(unit[1], unit[1]))

    def value(unit: Any) -> Any:
        return unit and (unit[0], column(unit[1]), column(unit[2]))

    def conditions(units: list[Any]) -> list[str]:
        return sorted(
            repr((u[0], u[1], value(u[2]), *(normal(v, same) if isinstance(v, dict) else None for v in u[3:])))
            for u in units[::2]
        )

    tables = sql["from"]["table_units"]
    return {
        "select": sorted(repr((aggregate, value(unit))) for aggregate, unit in sql["select"][1]),
        "tables": sorted(repr(normal(u[1], same) if isinstance(u[1], dict) else u[1]) for u in tables),
        "where": conditions(sql["where"]),
        "words": sorted(sql["where"][1::2]),
        "having": conditions(sql["having"]),
        "group": sorted(repr(column(unit)) for unit in sql["groupBy"]),
        "order": (sql["orderBy"][0], [value(u) for u in sql["orderBy"][1]]) if sql["orderBy"] else None,
        "limit": sql["limit"] is not None,
        "combined": [normal(sql[name], same) for name in ("intersect", "union", "except")],
    }
