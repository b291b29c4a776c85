"""A query taken apart into clauses that can be compared one by one, with names resolved and layout gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from apps.text2sql.execution.statement import parse_query
from apps.text2sql.measures.hardness import leaves, outside_subqueries, subqueries

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

_FLIPPED = {"GT": "LT", "GTE": "LTE", "LT": "GT", "LTE": "GTE"}


@dataclass(frozen=True)
class Clauses:
    """What a query says, clause by clause; unordered clauses are sorted, so that equal ones compare equal.

    Attributes:
        select: selected expressions.
        distinct: whether SELECT DISTINCT is asked for, and aggregates over distinct values.
        tables: tables read in FROM; a derived table stands as its own clauses.
        on: join conditions, each after the side of an outer join.
        where: conditions, without the words between them.
        group: grouped expressions.
        having: conditions on groups.
        alternatives: number of ORs.
        order: (expression, descending) in order.
        limit: None, or what LIMIT and OFFSET say.
        combined: kind of the set operation and the other query's clauses.
        nested: number of queries inside conditions, FROM and SELECT.
        aggregates: aggregate functions anywhere outside nested queries.
        columns: columns of the select list, whatever is done to them.
    """

    select: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    alternatives: int = 0
    order: tuple[tuple[str, bool], ...] = ()
    limit: str | None = None
    combined: tuple[str, ...] = ()
    nested: int = 0
    aggregates: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def matches(self, other: Clauses) -> bool:
        """Spider's exact-set match: every clause the same; DISTINCT and join conditions are not looked at."""
        names = ("select", "tables", "where", "group", "having", "alternatives", "order", "limit", "combined")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def key(self) -> str:
        """One text for a query nested in another."""
        parts = (self.select, self.tables, self.where, self.group, self.having, self.order, self.limit, self.combined)
        return repr(parts)


def exact_match(pred: str, gold: str, schema: Schema, dialect: str = "sqlite", values: bool = False) -> bool:
    """Whether two queries agree clause by clause, in any order within a clause (Spider's exact-set match).

    As in Spider's script, values count for nothing unless asked for, a foreign key stands for the column it points to,
    and neither DISTINCT nor join conditions are compared. Unlike there, a column on the right side of a condition is
    compared too, and any query that sqlglot parses can be.

    Raises:
        Refused: one of the queries is no single query that parses.
    """
    return read_clauses(pred, schema, dialect, values).matches(read_clauses(gold, schema, dialect, values))


@lru_cache(maxsize=8192)
def read_clauses(sql: str, schema: Schema, dialect: str = "sqlite", values: bool = False) -> Clauses:
    """Take a query apart.

    Args:
        sql: one query.
        schema: of its database.
        dialect: sqlglot's name of the SQL dialect.
        values: keep literals, instead of a mark where one stands.

    Raises:
        Refused: `sql` is no single query that parses.
    """
    return _Reader(schema, values, dialect == "sqlite").read(parse_query(sql, dialect).tree, {})


@dataclass
class _Source:
    """One thing in FROM: the name it stands for, and the columns it is known to have."""

    name: str
    columns: frozenset[str]


@dataclass
class _Reader:
    schema: Schema
    values: bool
    quotes_may_be_text: bool
    same: Mapping[tuple[str, str], tuple[str, str]] = field(init=False)
    known: Mapping[str, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.same = linked_columns(self.schema)
        self.known = {t.name.lower(): frozenset(c.name.lower() for c in t.columns) for t in self.schema.tables}

    def read(self, tree: exp.Expr, outer: Mapping[str, _Source]) -> Clauses:
        outer = {**outer, **self._common_tables(tree, outer)}
        if isinstance(tree, exp.Subquery):
            return self.read(tree.this, outer)
        if isinstance(tree, exp.SetOperation):
            left, right = self.read(tree.left, outer), self.read(tree.right, outer)
            kind = type(tree).__name__.lower() + ("" if tree.args.get("distinct", True) else " all")
            order, limit = self._order(tree, outer), self._limit(tree)
            return _with(
                left, combined=(*left.combined, kind, right.key(), repr((order, limit))), nested=left.nested + 1
            )
        return self._select(tree, outer) if isinstance(tree, exp.Select) else Clauses(select=(tree.sql(),))

    def _select(self, tree: exp.Select, outer: Mapping[str, _Source]) -> Clauses:
        joins = tree.args.get("joins") or []
        start = tree.args.get("from_") or tree.args.get("from")
        nodes = [*([start.this] if start is not None else []), *(join.this for join in joins)]
        own = dict(self._source(node, outer) for node in nodes)
        scope = {**outer, **own}
        aliases = {item.alias.lower(): item.this for item in tree.expressions if isinstance(item, exp.Alias)}
        where, having, group = (tree.args.get(name) for name in ("where", "having", "group"))
        on = [join.args["on"] for join in joins if join.args.get("on") is not None]
        conditions = [part.this for part in (where, having) if part is not None]
        items = [item.unalias() for item in tree.expressions]
        parts = [*items, *conditions, *on, *([tree.args["order"]] if tree.args.get("order") else [])]
        functions = [n for part in parts for n in outside_subqueries(part) if isinstance(n, exp.AggFunc)]
        return Clauses(
            select=self._texts(items, scope, own),
            distinct=(*(("select",) if tree.args.get("distinct") else ()), *_distinct_functions(functions)),
            tables=tuple(sorted(source.name for source in own.values())),
            on=self._joins(joins, scope, own),
            where=self._conditions([where.this] if where is not None else [], scope, own),
            group=self._texts(
                [_meant(item, aliases, items) for item in group.expressions] if group else [], scope, own
            ),
            having=self._conditions([having.this] if having is not None else [], scope, own),
            alternatives=sum(isinstance(n, exp.Or) for part in conditions for n in outside_subqueries(part)),
            order=self._order(tree, scope, own, aliases, items),
            limit=self._limit(tree),
            nested=sum(len(subqueries(part)) for part in [*items, *conditions, *on])
            + sum(not isinstance(node, exp.Table) for node in nodes),
            aggregates=tuple(sorted(type(function).__name__.lower() for function in functions)),
            columns=tuple(sorted({self._column(c, scope, own) for item in items for c in _columns(item)})),
        )

    def _common_tables(self, tree: exp.Expr, outer: Mapping[str, _Source]) -> dict[str, _Source]:
        found: dict[str, _Source] = {}
        for cte in tree.ctes if hasattr(tree, "ctes") else ():
            clauses = self.read(cte.this, {**outer, **found})
            found[f"with {cte.alias.lower()}"] = _Source(f"({clauses.key()})", _outputs(cte.this))
        return found

    def _source(self, node: exp.Expr, outer: Mapping[str, _Source]) -> tuple[str, _Source]:
        """The name by which a query calls a thing in FROM, and what it is."""
        name = node.alias_or_name.lower()
        if isinstance(node, exp.Table):
            common = outer.get(f"with {node.name.lower()}")
            return name, common or _Source(node.name.lower(), self.known.get(node.name.lower(), frozenset()))
        if isinstance(node, exp.Subquery):
            return name or f"derived {id(node)}", _Source(
                f"({self.read(node.this, outer).key()})", _outputs(node.this)
            )
        return name or f"derived {id(node)}", _Source(node.sql().lower(), frozenset())

    def _column(self, column: exp.Expr, scope: Mapping[str, _Source], own: Mapping[str, _Source]) -> str:
        name, table = column.name.lower(), getattr(column, "table", "").lower()
        if table:
            source = scope.get(table)
        else:
            places = [*own.values(), *reversed([s for key, s in scope.items() if not key.startswith("with ")])]
            source = next((place for place in places if name in place.columns), None)
        owner = source.name if source is not None else "?"
        owner, name = self.same.get((owner, name), (owner, name))
        return f"{owner}.{name}"

    def _is_text(self, node: exp.Expr, scope: Mapping[str, _Source]) -> bool:
        """Whether SQLite reads this word in double quotes as a text, because nothing has that name."""
        if not (self.quotes_may_be_text and isinstance(node, exp.Column) and getattr(node.this, "quoted", False)):
            return False
        return not node.table and not any(node.name.lower() in source.columns for source in scope.values())

    def _texts(
        self, nodes: list[exp.Expr], scope: Mapping[str, _Source], own: Mapping[str, _Source]
    ) -> tuple[str, ...]:
        return tuple(sorted(self._text(node, scope, own) for node in nodes))

    def _conditions(
        self, conditions: list[exp.Expr], scope: Mapping[str, _Source], own: Mapping[str, _Source]
    ) -> tuple[str, ...]:
        found = [self._left_first(leaf, scope) for condition in conditions for leaf in leaves(condition)]
        return self._texts(found, scope, own)

    def _joins(
        self, joins: Sequence[exp.Expr], scope: Mapping[str, _Source], own: Mapping[str, _Source]
    ) -> tuple[str, ...]:
        found = []
        for join in joins:
            side = str(join.args.get("side") or "").upper()
            condition = join.args.get("on")
            texts = self._conditions([condition], scope, own) if condition is not None else ("",)
            found += [f"{side} {text}".strip() for text in texts]
        return tuple(sorted(text for text in found if text))

    def _left_first(self, condition: exp.Expr, scope: Mapping[str, _Source]) -> exp.Expr:
        """A comparison with its column on the left; of two columns, the one whose name sorts first."""
        if not isinstance(condition, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)):
            return condition
        ranks = [
            (isinstance(side, exp.Literal) or self._is_text(side, scope), side.sql().lower())
            for side in (condition.this, condition.expression)
        ]
        symmetric = isinstance(condition, (exp.EQ, exp.NEQ))
        if ranks[0][0] > ranks[1][0] or (symmetric and ranks[0] > ranks[1]):
            kind = type(condition).__name__
            flipped: type[exp.Expr] = getattr(exp, _FLIPPED.get(kind, kind))
            return flipped(this=condition.expression.copy(), expression=condition.this.copy())
        return condition

    def _text(self, node: exp.Expr, scope: Mapping[str, _Source], own: Mapping[str, _Source]) -> str:
        """An expression in one spelling: columns with their tables, inner queries by their clauses."""

        def plain(inner: exp.Expr) -> Any:
            if isinstance(inner, exp.Query):
                return exp.Literal.string(self.read(inner, scope).key())
            if isinstance(inner, exp.Column) and not isinstance(inner.this, exp.Star):
                if self._is_text(inner, scope):
                    return exp.Literal.string(inner.name) if self.values else exp.Placeholder()
                return exp.Literal.string(self._column(inner, scope, own))
            if isinstance(inner, (exp.Literal, exp.Boolean)) and not self.values:
                return exp.Placeholder()
            if isinstance(inner, exp.Neg) and isinstance(inner.this, exp.Literal) and not self.values:
                return exp.Placeholder()
            if isinstance(inner, exp.Distinct) and len(inner.expressions) == 1:
                return inner.expressions[0].transform(plain)
            if isinstance(inner, exp.Paren):
                return inner.this.transform(plain)
            return inner

        return str(node.transform(plain).sql(comments=False))

    def _order(
        self,
        tree: exp.Expr,
        scope: Mapping[str, _Source],
        own: Mapping[str, _Source] | None = None,
        aliases: Mapping[str, exp.Expr] | None = None,
        items: list[exp.Expr] | None = None,
    ) -> tuple[tuple[str, bool], ...]:
        order = tree.args.get("order")
        if order is None:
            return ()
        return tuple(
            (self._text(_meant(part.this, aliases or {}, items or []), scope, own or {}), bool(part.args.get("desc")))
            for part in order.expressions
        )

    def _limit(self, tree: exp.Expr) -> str | None:
        limit, offset = tree.args.get("limit"), tree.args.get("offset")
        if limit is None and offset is None:
            return None
        return " ".join(part.sql().lower() for part in (limit, offset) if part is not None) if self.values else "limit"


def linked_columns(schema: Schema) -> dict[tuple[str, str], tuple[str, str]]:
    """Each column that foreign keys link to others, with the one that stands for all of them; in lower case.

    Two columns of one table that point to the same column (source and destination airport) are left apart; Spider's
    script takes them for one.
    """
    keys = {
        ((key.table.lower(), key.column.lower()), (key.ref_table.lower(), key.ref_column.lower()))
        for key in schema.foreign_keys
    }
    uses = Counter((column[0], target) for column, target in keys)
    stands: dict[tuple[str, str], tuple[str, str]] = {}

    def root(column: tuple[str, str]) -> tuple[str, str]:
        while stands.get(column, column) != column:
            column = stands[column]
        return column

    for column, target in sorted(keys):
        if uses[column[0], target] == 1:
            first, second = sorted((root(column), root(target)))
            stands[second] = first
    return {column: root(column) for column in stands}


def _with(clauses: Clauses, **changes: object) -> Clauses:
    from dataclasses import replace

    return replace(clauses, **changes)  # type: ignore[arg-type]


def _columns(node: exp.Expr) -> Iterator[exp.Expr]:
    yield from (inner for inner in outside_subqueries(node) if isinstance(inner, exp.Column))


def _outputs(query: exp.Expr) -> frozenset[str]:
    return frozenset(name.lower() for name in getattr(query, "named_selects", ()))


def _distinct_functions(functions: Sequence[exp.Expr]) -> tuple[str, ...]:
    return tuple(sorted(type(f).__name__.lower() for f in functions if isinstance(f.this, exp.Distinct)))


def _meant(item: exp.Expr, aliases: Mapping[str, exp.Expr], items: list[exp.Expr]) -> exp.Expr:
    """What ORDER BY or GROUP BY means by the name or the number of an output column."""
    if isinstance(item, exp.Column) and not item.table and item.name.lower() in aliases:
        return aliases[item.name.lower()]
    if isinstance(item, exp.Literal) and item.is_int and 1 <= int(item.this) <= len(items):
        return items[int(item.this) - 1]
    return item
