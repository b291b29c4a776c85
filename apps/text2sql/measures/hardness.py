"""Spider's four grades of hardness, counted on the syntax tree (Yu et al. 2018; `eval_hardness` of its script).

Spider counts, in the first SELECT of the query only: clauses (WHERE, GROUP BY, ORDER BY, LIMIT, each joined table,
OR, LIKE), nested queries (in conditions, and behind UNION, INTERSECT or EXCEPT), and other things (more than one
aggregate, selected column, condition, grouped column).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from apps.text2sql.execution.statement import Refused, parse_query

GRADES = ("easy", "medium", "hard", "extra")


@dataclass(frozen=True)
class Counts:
    """What Spider's grades are made of: its component 1, component 2 and others."""

    clauses: int
    nested: int
    others: int

    @property
    def grade(self) -> str:
        """`easy`, `medium`, `hard` or `extra`."""
        clauses, others = self.clauses, self.others
        if self.nested == 0:
            if clauses <= 1 and others == 0:
                return "easy"
            if (clauses <= 1 and others <= 2) or (clauses <= 2 and others < 2):
                return "medium"
            if (clauses <= 2 and others > 2) or (clauses == 3 and others <= 2):
                return "hard"
        elif self.nested == 1 and clauses <= 1 and others == 0:
            return "hard"
        return "extra"


def hardness(sql: str, dialect: str = "sqlite") -> str:
    """Spider's grade of a query; empty where it does not parse."""
    try:
        tree = parse_query(sql, dialect).tree
    except Refused:
        return ""
    return count(tree).grade


def count(tree: exp.Expr) -> Counts:
    """Spider's three counts of a parsed query."""
    core, combined = first_select(tree)
    where, having, group, order = (core.args.get(name) for name in ("where", "having", "group", "order"))
    joins = core.args.get("joins") or []
    # Spider lists the conditions of ON, WHERE and HAVING one by one, with the words between them.
    conditions = {
        "on": [leaf for join in joins if join.args.get("on") is not None for leaf in leaves(join.args["on"])],
        "where": leaves(where.this) if where is not None else [],
        "having": leaves(having.this) if having is not None else [],
    }
    everywhere = [condition for found in conditions.values() for condition in found]
    alternatives = sum(
        isinstance(node, exp.Or)
        for part in (where, having, *(join.args.get("on") for join in joins))
        if part is not None
        for node in outside_subqueries(part)
    )
    clauses = sum(core.args.get(name) is not None for name in ("where", "group", "order", "limit"))
    clauses += len(joins) + alternatives + sum(is_like(condition) for condition in everywhere)
    nested = sum(len(subqueries(condition)) for condition in everywhere) + int(combined)

    aggregates = sum(any(isinstance(n, exp.AggFunc) for n in outside_subqueries(item)) for item in core.expressions)
    aggregates += sum(isinstance(n, exp.AggFunc) for n in outside_subqueries(order)) if order is not None else 0
    # The script takes the mark of a negated condition for an aggregate; its grades are published with that.
    aggregates += sum(is_negated(condition) for condition in (*conditions["where"], *conditions["having"]))
    others = sum(
        (
            aggregates > 1,
            len(core.expressions) > 1,
            len(conditions["where"]) > 1,
            group is not None and len(group.expressions) > 1,
        )
    )
    return Counts(clauses, nested, others)


def first_select(tree: exp.Expr) -> tuple[exp.Select, bool]:
    """The leftmost SELECT of a query, and whether another query is combined with it."""
    combined = False
    while not isinstance(tree, exp.Select):
        if isinstance(tree, exp.Values):
            return exp.Select(), combined
        if isinstance(tree, exp.SetOperation):
            combined = True
        tree = tree.this
    return tree, combined


def leaves(condition: exp.Expr) -> list[exp.Expr]:
    """The conditions that AND, OR and brackets join, in order."""
    if isinstance(condition, (exp.And, exp.Or)):
        return [*leaves(condition.left), *leaves(condition.right)]
    if isinstance(condition, exp.Paren):
        return leaves(condition.this)
    return [condition]


def outside_subqueries(node: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of an expression, without those of queries inside it."""
    yield from node.walk(prune=lambda inner: isinstance(inner, exp.Query))


def subqueries(node: exp.Expr) -> list[exp.Expr]:
    """The queries directly inside an expression."""
    found = (inner for inner in outside_subqueries(node) if isinstance(inner, exp.Query))
    return [inner.unnest() if isinstance(inner, exp.Subquery) else inner for inner in found]


def is_negated(condition: exp.Expr) -> bool:
    """NOT before the condition or inside it (NOT IN, NOT LIKE, NOT BETWEEN)."""
    return isinstance(condition, exp.Not) and not isinstance(condition.this, exp.Is)


def is_like(condition: exp.Expr) -> bool:
    """LIKE or NOT LIKE."""
    inner = condition.this if isinstance(condition, exp.Not) else condition
    return isinstance(inner, exp.Like)
