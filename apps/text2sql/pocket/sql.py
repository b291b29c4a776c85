"""The SQL of a question, in one short and regular style."""

from __future__ import annotations

from apps.text2sql.pocket.meaning import Condition, Population, Query, Value
from apps.text2sql.pocket.world import Database

_AVERAGE = {
    "above_average": (">", "AVG"),
    "below_average": ("<", "AVG"),
    "maximum": ("=", "MAX"),
    "minimum": ("=", "MIN"),
}
_THAN = {"more_than": ">", "less_than": "<"}


def to_sql(query: Query, database: Database) -> str:
    """The gold query.

    Aliases T1, T2 … appear with joins only; joins read `ON child.parent_id = parent.id`; ASC is not spelled out.
    """
    return _FRAMES[query.frame](query, database)


def literal(value: Value) -> str:
    """A value as SQL."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def _condition(condition: Condition, database: Database, table: str, prefix: str = "") -> str:
    column, op, values = prefix + condition.column, condition.op, condition.values
    if op in _AVERAGE:
        sign, function = _AVERAGE[op]
        return f"{column} {sign} (SELECT {function}({condition.column}) FROM {table})"
    if op in _THAN:
        label = database[table].label
        return f"{column} {_THAN[op]} (SELECT {condition.column} FROM {table} WHERE {label} = {literal(values[0])})"
    if op == "between":
        return f"{column} BETWEEN {literal(values[0])} AND {literal(values[1])}"
    if op == "like":
        return f"{column} LIKE {literal(f'{values[0]}%')}"
    if op == "null":
        return f"{column} IS NULL"
    if op == "known":
        return f"{column} IS NOT NULL"
    return f"{column} {op} {literal(values[0])}"


def _conditions(population: Population, database: Database, table: str, prefix: str = "") -> str:
    glue = " OR " if population.either else " AND "
    return glue.join(_condition(c, database, table, prefix) for c in population.where)


def _where(population: Population, database: Database, table: str, prefix: str = "") -> str:
    return f" WHERE {_conditions(population, database, table, prefix)}" if population.where else ""


def _source(population: Population, database: Database) -> tuple[str, str]:
    """`FROM` and `WHERE` text, and the prefix of the population's own columns."""
    table = population.table
    if population.path:
        text = f" FROM {table} AS T1"
        child = table
        for number, parent in enumerate(population.path, start=2):
            text += f" JOIN {parent} AS T{number} ON T{number - 1}.{parent}_id = T{number}.id"
            child = parent
        return text + _where(population, database, child, f"T{len(population.path) + 1}."), "T1."
    if population.child:
        word = "NOT IN" if population.negated else "IN"
        inner = f"SELECT {table}_id FROM {population.child}{_where(population, database, population.child)}"
        return f" FROM {table} WHERE id {word} ({inner})", ""
    return f" FROM {table}{_where(population, database, table)}", ""


def _join_children(parent: str, child: str, kind: str = "JOIN") -> str:
    return f" FROM {parent} AS T1 {kind} {child} AS T2 ON T2.{parent}_id = T1.id"


def _list(query: Query, database: Database, head: str = "SELECT ") -> str:
    population = query.population
    if population.at_least:
        columns = ", ".join(f"T1.{c}" for c in query.columns)
        source = _join_children(population.table, population.child)
        return f"SELECT {columns}{source} GROUP BY T1.id HAVING COUNT(*) >= {population.at_least}"
    source, prefix = _source(population, database)
    return head + ", ".join(prefix + c for c in query.columns) + source


def _distinct(query: Query, database: Database) -> str:
    return _list(query, database, "SELECT DISTINCT ")


def _count(query: Query, database: Database) -> str:
    return "SELECT COUNT(*)" + _source(query.population, database)[0]


def _count_distinct(query: Query, database: Database) -> str:
    source, prefix = _source(query.population, database)
    return f"SELECT COUNT(DISTINCT {prefix}{query.column}){source}"


def _count_known(query: Query, database: Database) -> str:
    source, prefix = _source(query.population, database)
    return f"SELECT COUNT({prefix}{query.column}){source}"


def _aggregate(query: Query, database: Database) -> str:
    source, prefix = _source(query.population, database)
    return "SELECT " + ", ".join(f"{a.upper()}({prefix}{query.column})" for a in query.aggregates) + source


def _order(query: Query, prefix: str = "") -> str:
    return f" ORDER BY {prefix}{query.column}{' DESC' if query.descending else ''}"


def _sort(query: Query, database: Database) -> str:
    return _list(query, database) + _order(query, "T1." if query.population.path else "")


def _top(query: Query, database: Database) -> str:
    return f"{_sort(query, database)} LIMIT {query.limit}"


def _group_count(query: Query, database: Database) -> str:
    source, prefix = _source(query.population, database)
    return f"SELECT {prefix}{query.group}, COUNT(*){source} GROUP BY {prefix}{query.group}"


def _group_aggregate(query: Query, database: Database) -> str:
    source, prefix = _source(query.population, database)
    value = f"{query.aggregates[0].upper()}({prefix}{query.column})"
    return f"SELECT {prefix}{query.group}, {value}{source} GROUP BY {prefix}{query.group}"


def _having(query: Query, database: Database) -> str:
    source, _ = _source(query.population, database)
    return f"SELECT {query.group}{source} GROUP BY {query.group} HAVING COUNT(*) {query.op} {query.number}"


def _group_top(query: Query, database: Database) -> str:
    source, _ = _source(query.population, database)
    order = "COUNT(*) DESC" if query.descending else "COUNT(*)"
    return f"SELECT {query.group}{source} GROUP BY {query.group} ORDER BY {order} LIMIT 1"


def _join_list(query: Query, database: Database) -> str:
    population = query.population
    columns = [f"T1.{c}" for c in query.columns]
    source = f" FROM {population.table} AS T1"
    for number, (parent, column) in enumerate(query.linked, start=2):
        columns.append(f"T{number}.{column}")
        source += f" JOIN {parent} AS T{number} ON T1.{parent}_id = T{number}.id"
    return f"SELECT {', '.join(columns)}{source}{_where(population, database, population.table, 'T1.')}"


def _child_count(query: Query, database: Database) -> str:
    table, child = query.population.table, query.linked[0][0]
    source = _join_children(table, child, "LEFT JOIN")
    return f"SELECT T1.{query.columns[0]}, COUNT(T2.id){source} GROUP BY T1.id"


def _child_most(query: Query, database: Database) -> str:
    table, child = query.population.table, query.linked[0][0]
    source = _join_children(table, child)
    return f"SELECT T1.{query.columns[0]}{source} GROUP BY T1.id ORDER BY COUNT(*) DESC LIMIT 1"


def _parent_source(query: Query) -> tuple[str, str]:
    parent, column = query.linked[0]
    return f"T2.{column}", f" FROM {query.population.table} AS T1 JOIN {parent} AS T2 ON T1.{parent}_id = T2.id"


def _parent_of_top(query: Query, database: Database) -> str:
    column, source = _parent_source(query)
    return f"SELECT {column}{source}{_order(query, 'T1.')} LIMIT 1"


def _parent_group(query: Query, database: Database) -> str:
    column, source = _parent_source(query)
    value = f"{query.aggregates[0].upper()}(T1.{query.column})" if query.aggregates else "COUNT(*)"
    return f"SELECT {column}, {value}{source} GROUP BY {column}"


def _combine(query: Query, database: Database) -> str:
    assert query.other is not None  # a set operation has two sides
    left, right = _source(query.population, database)[0], _source(query.other, database)[0]
    return f"SELECT {query.group}{left} {query.op.upper()} SELECT {query.group}{right}"


_FRAMES = {
    "list": _list,
    "distinct": _distinct,
    "count": _count,
    "count_distinct": _count_distinct,
    "count_known": _count_known,
    "aggregate": _aggregate,
    "top": _top,
    "sort": _sort,
    "group_count": _group_count,
    "group_aggregate": _group_aggregate,
    "having": _having,
    "group_top": _group_top,
    "join_list": _join_list,
    "child_count": _child_count,
    "child_most": _child_most,
    "parent_of_top": _parent_of_top,
    "parent_group": _parent_group,
    "combine": _combine,
}
