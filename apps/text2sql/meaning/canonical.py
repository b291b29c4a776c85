"""One spelling for queries that differ only in names, comments and layout, and that spelling put into plain words.

Comments go, aliases and the names of derived tables become `q1`, `c1`. Of what else a model can write freely (types,
functions, paths, literals) the words say nothing but the string literals that the caller lists, so that no question
can be smuggled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope

from apps.text2sql.meaning.resolve import SchemaItems, SchemaView, items_of, resolved, schema_view

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

_FLIPPED = {"gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte", "eq": "eq", "neq": "neq"}


def canonical(sql: str, schema: Schema | None = None, dialect: str = "sqlite") -> str:
    """The query without comments, aliases of its own, redundant brackets or a preferred order of conditions.

    Two queries with the same canonical text mean the same; the reverse does not hold. With a schema, columns are
    written with their table and `*` in full.

    Raises:
        Refused: `sql` is no single query that parses.
    """
    return written(canonical_tree(sql, schema, dialect), dialect)


def written(tree: exp.Expr, dialect: str) -> str:
    """A syntax tree as SQL."""
    # What the dialect cannot say (EXCEPT ALL in SQLite) would be logged for every query a model writes.
    return tree.sql(dialect=dialect, comments=False, unsupported_level=ErrorLevel.IGNORE)


@dataclass(frozen=True, eq=False)
class Analysis:
    """A query taken apart.

    Attributes:
        items: the tables and columns it reads; none without a schema.
        tree: its canonical syntax tree. Copy before changing it.
    """

    items: SchemaItems
    tree: exp.Expr

    @cached_property
    def strings(self) -> frozenset[str]:
        """Its string literals, folded."""
        return frozenset(fold(literal.name) for literal in self.tree.find_all(exp.Literal) if literal.is_string)


def fold(text: str) -> str:
    """A string literal without the open ends of a pattern, in one case."""
    return text.strip("%").casefold()


def canonical_tree(sql: str, schema: Schema | None, dialect: str) -> exp.Expr:
    """The syntax tree behind `canonical`. Copy before changing it."""
    return analysed(sql, schema_view(schema) if schema is not None else None, dialect).tree


@lru_cache(maxsize=4096)
def analysed(sql: str, view: SchemaView | None, dialect: str) -> Analysis:
    """Take a query apart.

    Raises:
        Refused: no single query that parses, or too long to take apart.
    """
    tree = resolved(sql, view, dialect)
    if dialect == "sqlite":
        for name in tree.find_all(exp.Identifier):
            if name.name != (lower := name.name.lower()):
                name.set("this", lower)
    scopes = traverse_scope(tree)
    items = items_of(scopes, view) if view is not None else SchemaItems(frozenset(), frozenset())
    tree = _plain_names(tree, scopes, view)
    # Inner nodes first, so that a rewritten node finds its operands in their final form.
    for node in reversed(list(tree.find_all(exp.Paren, exp.Connector, exp.Predicate, exp.Join, exp.Ordered))):
        tidied = _tidy(node)
        if tidied is not node:
            tree = tidied if node is tree else node.replace(tidied) and tree
    return Analysis(items, tree)


def _plain_names(tree: exp.Expr, scopes: Sequence[Scope], view: SchemaView | None) -> exp.Expr:
    """Replace every name the query gives itself: table aliases, derived tables, CTEs, output columns."""
    try:
        sources = [scope.selected_sources for scope in scopes]
    except SqlglotError:  # one alias for two tables, for instance, which SQLite lets pass
        return tree
    ctes = list(tree.find_all(exp.CTE))
    common_tables = {cte.alias: f"q{number}" for number, cte in enumerate(ctes, start=1)}
    names = _Names(offset=len(common_tables))
    renamed: dict[int, str] = {}
    outputs = {id(scope.expression): _output_names(scope.expression, view) for scope in scopes}
    for scope, selected in zip(scopes, sources, strict=True):
        for alias, (node, source) in selected.items():
            name = names.take(node, source if isinstance(source, exp.Table) else None)
            columns = outputs.get(id(source.expression), {}) if isinstance(source, Scope) else {}
            for column in scope.columns:
                if column.table == alias and id(column) not in renamed:
                    renamed[id(column)] = name
                    _set_name(column, "table", name)
                    if column.name in columns:
                        _set_name(column, "this", columns[column.name])
            _rename_source(node, name, common_tables)
    for cte in ctes:
        cte.set("alias", exp.TableAlias(this=exp.to_identifier(common_tables[cte.alias])))
    for scope in scopes:
        _name_outputs(scope.expression, outputs[id(scope.expression)], top=scope.expression is tree)
    return tree


class _Names:
    """Gives each source of a statement a name of its own: the table's where it is free, else numbered."""

    def __init__(self, offset: int) -> None:
        self.seen: dict[str, int] = {}
        self.derived = offset

    def take(self, node: exp.Expr, table: exp.Table | None) -> str:
        if table is None:
            self.derived += 1
            return f"q{self.derived}"
        self.seen[table.name] = self.seen.get(table.name, 0) + 1
        count = self.seen[table.name]
        return table.name if count == 1 else f"{table.name}_{count}"


def _set_name(node: exp.Expr, key: str, name: str) -> None:
    node.set(key, exp.to_identifier(name))


def _rename_source(node: exp.Expr, name: str, common_tables: dict[str, str]) -> None:
    if isinstance(node, exp.Table) and node.name in common_tables and not node.args.get("db"):
        node.set("this", exp.to_identifier(common_tables[node.name]))
    plain = isinstance(node, exp.Table) and node.name == name
    node.set("alias", None if plain else exp.TableAlias(this=exp.to_identifier(name)))


def _output_names(query: exp.Expr, view: SchemaView | None) -> dict[str, str]:
    """Old to new names of a query's output columns: a plain column keeps its own, anything else is numbered."""
    if not isinstance(query, exp.Query):
        return {}
    names: dict[str, str] = {}
    for number, item in enumerate(query.selects, start=1):
        inner = item.this if isinstance(item, exp.Alias) else item
        plain = isinstance(inner, exp.Column) and (view is None or inner.name.lower() in view.names)
        names.setdefault(item.alias_or_name, inner.name if plain else f"c{number}")
    names.pop("", None)
    return names


def _name_outputs(query: exp.Expr, names: dict[str, str], top: bool) -> None:
    """Write the new output names, and put what ORDER BY means in place of the name it uses."""
    if not isinstance(query, exp.Select):
        return
    meaning = {item.alias: item.this for item in query.selects if isinstance(item, exp.Alias)}
    for clause in ("order", "group", "having"):
        node = query.args.get(clause)
        for column in list(node.find_all(exp.Column)) if node is not None else ():
            if not column.table and column.name in meaning and column.find_ancestor(exp.Query) is query:
                column.replace(meaning[column.name].copy())
    for item in list(query.selects):
        if isinstance(item, exp.Alias):
            name = names.get(item.alias, "")
            plain = isinstance(item.this, exp.Column) and item.this.name == name
            if top or plain or not name:
                item.replace(item.this)
            else:
                _set_name(item, "alias", name)


def _tidy(node: exp.Expr) -> exp.Expr:
    """Local rewrites that keep the meaning: brackets, `3 < a`, the order of AND/OR operands, INNER."""
    if isinstance(node, exp.Paren) and _is_redundant(node):
        inner: exp.Expr = node.this
        return inner
    if isinstance(node, (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.NEQ)):
        return _tidy_comparison(node)
    if isinstance(node, (exp.And, exp.Or)) and not isinstance(node.parent, type(node)):
        operands = sorted(node.flatten(unnest=False), key=_text)
        return _combine(type(node), operands)
    if isinstance(node, exp.Join):
        if node.kind == "INNER":
            node.set("kind", None)
        if node.side and node.kind == "OUTER":
            node.set("kind", None)
    if isinstance(node, exp.Ordered) and not node.args.get("desc"):
        node.set("desc", None)
    return node


def _is_redundant(brackets: exp.Paren) -> bool:
    inner, parent = brackets.this, brackets.parent
    # AND and OR are functions to sqlglot, and so is `->`.
    alone = isinstance(inner, (exp.Column, exp.Literal, exp.Func)) and not isinstance(inner, exp.Binary)
    if alone or isinstance(parent, (exp.Where, exp.Having, exp.Paren)):
        return not isinstance(inner, exp.Query)
    if isinstance(parent, exp.Connector):
        return isinstance(inner, (type(parent), exp.And)) or not isinstance(inner, (exp.Connector, exp.Query))
    return False


def _tidy_comparison(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.expression
    ranks = [(isinstance(side, exp.Literal), not isinstance(side, exp.Column)) for side in (left, right)]
    symmetric = isinstance(node, (exp.EQ, exp.NEQ))
    if ranks[0] > ranks[1] or (symmetric and ranks[0] == ranks[1] and _text(left) > _text(right)):
        kind = getattr(exp, _FLIPPED[node.key].upper())
        flipped: exp.Expr = kind(this=right, expression=left)
        return flipped
    return node


def _text(node: exp.Expr) -> str:
    """`node.sql()`, put together here for the plain columns that most comparisons of a join are made of."""
    if type(node) is exp.Column and all(type(part) is exp.Identifier and not part.quoted for part in node.parts):
        return ".".join(part.name for part in node.parts)
    return node.sql()


def _combine(kind: type[exp.Expr], operands: list[exp.Expr]) -> exp.Expr:
    result = operands[0].copy()
    for operand in operands[1:]:
        result = kind(this=result, expression=operand.copy())
    return result
