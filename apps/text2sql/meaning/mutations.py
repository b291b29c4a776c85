"""One small, meaningful change to a query at a time: hard negatives, and a test of what a reward can see."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from apps.text2sql.meaning.canonical import canonical_tree, written
from apps.text2sql.meaning.resolve import schema_view

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

OPERATORS = (
    "comparison", "aggregate", "column", "literal", "distinct", "order", "limit", "join", "negation", "connective",
    "condition", "set_operation",
)  # fmt: skip

#: Builds what takes the place of one node of a copied tree: the node itself, changed, or another.
Change = Callable[["exp.Expr"], "exp.Expr"]

#: Values of a column by `(table, column)` in lower case: realistic replacements for a literal.
Values = Mapping[tuple[str, str], Sequence[str]]


@dataclass(frozen=True)
class Mutation:
    """A query that differs from the original by one change.

    Attributes:
        operator: what was changed, one of `OPERATORS`.
        sql: the changed query, in the original's dialect.
    """

    operator: str
    sql: str


def mutate(
    sql: str,
    schema: Schema | None = None,
    seed: int = 0,
    dialect: str = "sqlite",
    values: Values | None = None,
    limit: int | None = None,
) -> list[Mutation]:
    """Single changes of a query's canonical form, in an order drawn from `seed`; same arguments, same list.

    A mutant may still give the same result on some data (`DISTINCT` over a key): whoever counts kills reports those
    apart.

    Args:
        sql: one query.
        schema: the database's schema: names the columns a column may be swapped for.
        seed: order of the list, and the pick where there are many replacements.
        dialect: sqlglot's name of the SQL dialect.
        values: other values of the columns that literals are compared with.
        limit: at most so many, each operator in turn so that none crowds out the others; all where not given.

    Raises:
        Refused: `sql` is no single query that parses.
    """
    base = canonical_tree(sql, schema, dialect)
    seen = {written(base, dialect)}
    found: list[Mutation] = []
    for operator, tree in each_mutant(base, schema, seed, values, in_turn=limit is not None):
        if limit is not None and len(found) >= limit:
            break
        text = written(tree, dialect)
        if text not in seen:
            seen.add(text)
            found.append(Mutation(operator, text))
    return found


def each_mutant(
    base: exp.Expr, schema: Schema | None, seed: int = 0, values: Values | None = None, in_turn: bool = True
) -> Iterator[tuple[str, exp.Expr]]:
    """Change one copy of a canonical tree, hand it out, change it back: read each tree before taking the next.

    Args:
        base: a canonical tree (`canonical_tree`).
        schema: as for `mutate`.
        seed: as for `mutate`.
        values: as for `mutate`.
        in_turn: take each operator in turn instead of all in random order.

    Yields:
        Operator and changed tree; the same change may come twice.
    """
    rng = random.Random(seed)
    surgeon = _Surgeon(schema, rng, values or {})
    work = base.copy()
    plans = [(operator, node, change) for node in list(work.walk()) for operator, change in surgeon.changes(node)]
    rng.shuffle(plans)
    for operator, node, change in _in_turn(plans) if in_turn else plans:
        before = dict(node.args)
        replacement = change(node)
        if replacement is node or node is work:
            yield operator, replacement if node is work else work
        else:
            node.replace(replacement)
            yield operator, work
            replacement.replace(node)
        # Also where it only lent its operands to a replacement: each must know its parent again.
        for key in {**node.args, **before}:
            node.set(key, before.get(key))


def _in_turn(plans: list[tuple[str, exp.Expr, Change]]) -> Iterator[tuple[str, exp.Expr, Change]]:
    queues = [[plan for plan in plans if plan[0] == operator] for operator in OPERATORS]
    for round_ in zip_longest(*queues):
        yield from (plan for plan in round_ if plan is not None)


def _set(**arguments: object) -> Change:
    """A change of the node's own arguments."""

    def build(node: exp.Expr) -> exp.Expr:
        for key, value in arguments.items():
            node.set(key, value)
        return node

    return build


def _become(kind: type[exp.Expr]) -> Change:
    """The same operands, not copies of them, under another operator."""
    return lambda node: kind(**node.args)


def _named(column: str) -> Change:
    """Another column."""
    return lambda node: _set(this=exp.to_identifier(column, quoted=not column.isidentifier() or None))(node)


def _only(side: str) -> Change:
    """One operand in place of the whole."""
    return lambda node: node.args[side].copy()


def _negated(node: exp.Expr) -> exp.Expr:
    return exp.Not(this=node.copy())


class _Surgeon:
    """Lists the changes that one node allows."""

    def __init__(self, schema: Schema | None, rng: random.Random, values: Values) -> None:
        self.rng = rng
        self.values = values
        view = schema_view(schema) if schema is not None else None
        self.types = view.types if view is not None else {}
        self.sources: dict[int, list[tuple[str, str]]] = {}  # tables of each SELECT, with their aliases

    def changes(self, node: exp.Expr) -> Iterator[tuple[str, Change]]:
        yield from self._class_swaps(node)
        list_changes = _CHANGES.get(type(node))
        if list_changes is not None:
            yield from list_changes(self, node)

    def _ordered(self, node: exp.Ordered) -> Iterator[tuple[str, Change]]:
        yield "order", _set(desc=not node.args.get("desc"), nulls_first=None)

    def _count(self, node: exp.Count) -> Iterator[tuple[str, Change]]:
        if isinstance(node.this, exp.Distinct):
            yield "distinct", _set(this=node.this.expressions[0].copy())
        elif isinstance(node.this, exp.Column):
            yield "distinct", _set(this=exp.Distinct(expressions=[node.this.copy()]))

    def _join(self, node: exp.Join) -> Iterator[tuple[str, Change]]:
        if not node.side and node.args.get("on") is not None:
            yield "join", _set(side="LEFT", kind=None)

    def _condition(self, node: exp.Expr) -> Iterator[tuple[str, Change]]:
        if not isinstance(node.parent, exp.Not):
            yield "negation", _negated

    def _not(self, node: exp.Not) -> Iterator[tuple[str, Change]]:
        yield "negation", _only("this")

    def _connective(self, node: exp.Connector) -> Iterator[tuple[str, Change]]:
        yield "condition", _only("this")
        yield "condition", _only("expression")

    def _clauses(self, node: exp.Select) -> Iterator[tuple[str, Change]]:
        yield "distinct", _set(distinct=None if node.args.get("distinct") else exp.Distinct())
        if node.args.get("order") is not None and node.args.get("limit") is None:
            yield "order", _set(order=None)
        if node.args.get("limit") is not None:
            yield "limit", _set(limit=None)
        for key in ("where", "having"):
            if node.args.get(key) is not None:
                yield "condition", _set(**{key: None})

    def _class_swaps(self, node: exp.Expr) -> Iterator[tuple[str, Change]]:
        for operator, targets in _SWAPS.get(type(node), {}).items():
            for target in targets:
                numeric_only = operator == "aggregate" and target.key in ("sum", "avg")
                if not (numeric_only and node.this.key in ("star", "distinct")):
                    yield operator, _become(target)

    def _columns(self, node: exp.Column) -> Iterator[tuple[str, Change]]:
        """The other columns of the same table, those of the same type first; at most three."""
        name = node.name.lower()
        table = next((table for table in self._tables_of(node) if name in self.types.get(table, ())), None)
        if table is None or isinstance(node.this, exp.Star):
            return
        others = [other for other in self.types[table] if other != name]
        self.rng.shuffle(others)
        types = self.types[table]
        kind = _family(types[name])
        others.sort(key=lambda other: _family(types[other]) != kind)
        for other in others[:3]:
            yield "column", _named(other)

    def _tables_of(self, node: exp.Column) -> Iterator[str]:
        """Tables that the column may belong to, those of its own query first."""
        own = node.table.lower()
        select = node.find_ancestor(exp.Select)
        while select is not None:
            if id(select) not in self.sources:
                found = [table for table in select.find_all(exp.Table) if table.find_ancestor(exp.Select) is select]
                self.sources[id(select)] = [(t.name.lower(), t.alias_or_name.lower()) for t in found]
            yield from (name for name, alias in self.sources[id(select)] if not own or own == alias)
            select = select.find_ancestor(exp.Select)

    def _literals(self, node: exp.Literal) -> Iterator[tuple[str, Change]]:
        if isinstance(node.parent, (exp.Limit, exp.Fetch)):
            number = int(node.name) if node.name.isdigit() else 1
            yield "limit", _set(this=str(number + 1))
            return
        if not node.is_string:
            yield from (("literal", _set(this=text)) for text in _other_numbers(node.name, self.rng))
            return
        for text in self._other_texts(node):
            yield "literal", _set(this=text)

    def _other_texts(self, node: exp.Literal) -> Iterator[str]:
        parent = node.parent
        column = parent.find(exp.Column) if parent is not None else None
        known: list[str] = []
        if column is not None:
            for table in self._tables_of(column):
                known += self.values.get((table, column.name.lower()), ())
        others = [value for value in known if value.casefold() != node.name.strip("%").casefold()]
        if others:
            yield self._like(node.name, self.rng.choice(others))
        elif node.name.isdecimal():
            yield str(int(node.name) + 1)
        else:
            yield self._like(node.name, f"{node.name.strip('%')}x")

    @staticmethod
    def _like(old: str, new: str) -> str:
        """`new` with the open ends of the pattern `old`."""
        return "%" * old.startswith("%") + new + "%" * old.endswith("%")


_SWAPS: dict[type[exp.Expr], dict[str, tuple[type[exp.Expr], ...]]] = {
    exp.EQ: {"comparison": (exp.NEQ,)},
    exp.NEQ: {"comparison": (exp.EQ,)},
    exp.GT: {"comparison": (exp.GTE, exp.LT)},
    exp.GTE: {"comparison": (exp.GT, exp.LTE)},
    exp.LT: {"comparison": (exp.LTE, exp.GT)},
    exp.LTE: {"comparison": (exp.LT, exp.GTE)},
    exp.Max: {"aggregate": (exp.Min, exp.Avg)},
    exp.Min: {"aggregate": (exp.Max, exp.Avg)},
    exp.Avg: {"aggregate": (exp.Sum, exp.Max)},
    exp.Sum: {"aggregate": (exp.Avg, exp.Count)},
    exp.Count: {"aggregate": (exp.Sum,)},
    exp.And: {"connective": (exp.Or,)},
    exp.Or: {"connective": (exp.And,)},
    exp.Union: {"set_operation": (exp.Intersect, exp.Except)},
    exp.Intersect: {"set_operation": (exp.Union, exp.Except)},
    exp.Except: {"set_operation": (exp.Intersect, exp.Union)},
}
_CHANGES: dict[type[exp.Expr], Callable[[_Surgeon, Any], Iterator[tuple[str, Change]]]] = {
    exp.Column: _Surgeon._columns,
    exp.Literal: _Surgeon._literals,
    exp.Select: _Surgeon._clauses,
    exp.Ordered: _Surgeon._ordered,
    exp.Count: _Surgeon._count,
    exp.Join: _Surgeon._join,
    exp.In: _Surgeon._condition,
    exp.Like: _Surgeon._condition,
    exp.Between: _Surgeon._condition,
    exp.Exists: _Surgeon._condition,
    exp.Is: _Surgeon._condition,
    exp.Not: _Surgeon._not,
    exp.And: _Surgeon._connective,
    exp.Or: _Surgeon._connective,
}


def _other_numbers(text: str, rng: random.Random) -> list[str]:
    try:
        number = float(text)
    except ValueError:
        return []
    step = rng.choice((1, 2, 5))
    if number.is_integer() and text.isdigit():
        return [str(int(number) + step), str(max(int(number) - step, 0))]
    return [repr(number + step)]


@lru_cache(maxsize=256)
def _family(kind: str) -> str:
    kind = kind.lower()
    if any(word in kind for word in ("int", "real", "num", "dec", "doub", "float")):
        return "number"
    return "other" if any(word in kind for word in ("date", "time", "bool")) else "text"
