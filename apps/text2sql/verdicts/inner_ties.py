"""Other legal readings of a query whose inner LIMITs cut through ties.

A `LIMIT` inside a query leaves open which of the tied rows it lets through, and so whatever is built on them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from apps.text2sql.execution.database import Database, Execution
from apps.text2sql.execution.statement import Refused, Statement, parse_query
from apps.text2sql.execution.values import Row
from apps.text2sql.verdicts.ties import Legal, legal_rows, outermost

_MAX_VARIANTS = 64


@dataclass(frozen=True)
class Variants:
    """Other ways to settle the choices made inside a query.

    Attributes:
        statements: the query with its inner LIMITs settled otherwise.
        complete: these, with the query itself, are all the ways there are.
    """

    statements: list[Statement]
    complete: bool


def inner_choices(database: Database, statement: Statement) -> Variants:
    """The query with each LIMIT inside it settled in every legal way, up to a bound.

    An inner query that stands on its own is replaced by the rows it may return; one that depends on the rows around it
    is given the two extreme tie-breaks.
    """
    sites = [
        node
        for node in statement.tree.find_all(exp.Select, exp.SetOperation)
        if node.args.get("limit") is not None and node is not outermost(statement.tree)
    ]
    if not sites:
        return Variants([], complete=True)
    options = [_options(database, statement, site) for site in sites]
    complete = all(known for _, known in options)
    trees: list[exp.Query] = []
    choices = [[None, *found] for found, _ in options]
    combinations = itertools.islice(itertools.product(*choices), 1, _MAX_VARIANTS + 1)
    for combination in combinations:
        trees.append(_replaced(statement.tree, sites, combination))
    total = 1
    for found in choices:
        total *= len(found)
    statements = []
    for tree in trees:
        try:
            statements.append(parse_query(tree.sql(dialect=statement.dialect), statement.dialect))
        except Refused:
            complete = False
    return Variants(statements, complete and total <= _MAX_VARIANTS + 1)


def _replaced(tree: exp.Query, sites: Sequence[exp.Query], combination: Sequence[exp.Query | None]) -> exp.Query:
    """A copy of `tree` with each site replaced where the combination has something for it."""
    path = {id(site): choice for site, choice in zip(sites, combination, strict=True) if choice is not None}
    copied = tree.copy()
    # A copy is walked in the same order as the original.
    pairs = [(new, path[id(old)]) for old, new in zip(tree.walk(), copied.walk(), strict=True) if id(old) in path]
    for new, choice in pairs:
        new.replace(choice.copy())
    return copied


def _options(database: Database, statement: Statement, site: exp.Query) -> tuple[list[exp.Query], bool]:
    alone = _standing_alone(statement, site)
    execution = database.run(alone) if alone is not None else None
    if alone is not None and execution is not None and execution.ok:
        legal = legal_rows(database, alone, execution)
        if legal is not None:
            return _row_choices(execution, legal, statement.dialect)
    return _tie_breaks(site), False


def _standing_alone(statement: Statement, site: exp.Query) -> Statement | None:
    """An inner query as a query of its own, with the WITH clauses it can see."""
    query = site.copy()
    clauses = [node.args["with_"] for node in _around(site) if node.args.get("with_") is not None]
    tables = []
    recursive = False
    for clause in clauses:
        recursive = recursive or bool(clause.args.get("recursive"))
        tables += [cte.copy() for cte in clause.expressions if not any(node is cte for node in _around(site))]
    own = query.args.get("with_")
    if own is not None:
        tables += [cte.copy() for cte in own.expressions]
        recursive = recursive or bool(own.args.get("recursive"))
    if tables:
        query.set("with_", exp.With(expressions=tables, recursive=recursive))
    try:
        return parse_query(query.sql(dialect=statement.dialect), statement.dialect)
    except Refused:
        return None


def _around(node: Any) -> Iterator[Any]:
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _row_choices(execution: Execution, legal: Legal, dialect: str) -> tuple[list[exp.Query], bool]:
    """Every other set of rows an inner query may return, as a query that returns just these."""
    count = len(execution.rows)
    labels = legal.labels(count) or []
    by_rank: dict[int, list[Row]] = {}
    for row, rank in zip(legal.rows, legal.ranks, strict=True):
        by_rank.setdefault(rank, []).append(row)
    wanted = Counter(labels)
    picks = [itertools.combinations(by_rank[rank], wanted[rank]) for rank in sorted(wanted)]
    found: dict[tuple[Row, ...], None] = {}
    complete = True
    for tries, parts in enumerate(itertools.product(*picks)):
        if len(found) >= _MAX_VARIANTS or tries >= 20 * _MAX_VARIANTS:
            complete = False
            break
        found.setdefault(tuple(sorted(itertools.chain(*parts), key=repr)))
    found.pop(tuple(sorted(execution.rows, key=repr)), None)
    queries = []
    for rows in found:
        query = _constant(rows, execution.columns, dialect)
        if query is None:
            complete = False
        else:
            queries.append(query)
    return queries, complete


def _constant(rows: Sequence[Row], columns: Sequence[str], dialect: str) -> exp.Query | None:
    lines = []
    for row in rows:
        cells = []
        for value, name in zip(row, columns, strict=True):
            literal = _literal(value)
            if literal is None:
                return None
            cells.append(f"{literal} AS {exp.to_identifier(name, quoted=True).sql(dialect=dialect)}")
        lines.append("SELECT " + ", ".join(cells))
    try:
        return parse_query(" UNION ALL ".join(lines), dialect).tree if lines else None
    except Refused:
        return None


def _literal(value: Any) -> str | None:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return {"inf": "9e999", "-inf": "-9e999"}.get(repr(value), repr(value))
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"x'{value.hex()}'" if isinstance(value, bytes) else None


def _tie_breaks(site: exp.Query) -> list[exp.Query]:
    """The inner query with ties broken by its own columns, once upward and once downward."""
    if any(isinstance(item, exp.Star) or item.name == "*" for item in site.selects):
        return []
    variants = []
    for descending in (False, True):
        query = site.copy()
        order = query.args.get("order") or exp.Order(expressions=[])
        for number in range(1, len(site.selects) + 1):
            order.append("expressions", exp.Ordered(this=exp.Literal.number(number), desc=descending))
        query.set("order", order)
        variants.append(query)
    return variants
