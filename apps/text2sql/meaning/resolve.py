"""Names in a query, resolved against a schema: the step before linking, canonical text and mutations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope
from sqlglot.schema import MappingSchema

from apps.text2sql.execution.statement import Refused, find_dialect, fresh_tree

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

#: Longest query that is looked into: the resolver takes quadratic time, and models write endless conditions.
MAX_NODES = 1200
#: SQLite's names for the row number of a table; no schema lists them.
ROW_NAMES = frozenset({"rowid", "oid", "_rowid_"})
_QUOTES = frozenset('"`[')


@dataclass(frozen=True)
class SchemaItems:
    """What one query reads, in lower case.

    Attributes:
        tables: names of the schema's tables.
        columns: `table.column`; `?.column` where no table of the schema has it.
    """

    tables: frozenset[str]
    columns: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """Tables and columns in one set (a column's name holds a dot, a table's never stands for a column)."""
        return frozenset(f"{table}." for table in self.tables) | self.columns


@dataclass(frozen=True, eq=False)
class SchemaView:
    """A schema as sqlglot's resolver wants it.

    Attributes:
        columns: column names of each table, in the table's order; all in lower case.
        types: type of each column of each table.
        names: every column name.
        mapping: tables and columns for sqlglot.
    """

    columns: dict[str, tuple[str, ...]]
    types: dict[str, dict[str, str]]
    names: frozenset[str]
    mapping: MappingSchema


_views: dict[int, tuple[Schema, SchemaView]] = {}


def schema_view(schema: Schema) -> SchemaView:
    """Index a schema once.

    Known by identity: hashing a schema's hundred columns at every look-up would cost more than what is looked up. The
    schema is kept beside its view, so that no other one can take its place in memory.
    """
    known = _views.get(id(schema))
    if known is None:
        if len(_views) >= 1024:
            _views.clear()
        known = _views[id(schema)] = (schema, _view(schema))
    return known[1]


def _view(schema: Schema) -> SchemaView:
    types = {table.name.lower(): {c.name.lower(): c.type or "text" for c in table.columns} for table in schema.tables}
    # An unknown type name (SQLite takes any word) must not fail the resolver, which needs the names only.
    mapping = MappingSchema(
        {table: dict.fromkeys(columns, "text") for table, columns in types.items() if columns},
        dialect=find_dialect(schema.dialect),
        normalize=False,  # in lower case already
    )
    columns = {table: tuple(columns) for table, columns in types.items()}
    return SchemaView(columns, types, frozenset(name for names in columns.values() for name in names), mapping)


def resolved(sql: str, view: SchemaView | None, dialect: str) -> exp.Expr:
    """A fresh syntax tree; with a schema, every column has its table and every `*` is written in full.

    Raises:
        Refused: no single query that parses (`fresh_tree`), or too long to take apart.
    """
    tree = _parsed(sql, view, dialect)
    if view is None:
        return tree
    try:
        return qualify(
            tree,
            dialect=find_dialect(dialect),
            schema=view.mapping,
            quote_identifiers=False,
            identify=False,
            validate_qualify_columns=False,
        )
    except (SqlglotError, KeyError, ValueError, AttributeError, TypeError, RecursionError):
        # The resolver fails on names that do not exist; such a query never runs, and its names match nothing.
        return _parsed(sql, view, dialect)


def _parsed(sql: str, view: SchemaView | None, dialect: str) -> exp.Expr:
    tree = fresh_tree(sql, dialect)
    for count, node in enumerate(tree.walk()):
        if count >= MAX_NODES:
            raise Refused("invalid", "too_long", f"more than {MAX_NODES} nodes: too long to take apart")
        # Comments say nothing; positions in the text are most of the cost of every later copy.
        node.comments = None
        node._meta = None
    if view is not None and dialect == "sqlite" and not _QUOTES.isdisjoint(sql):
        _read_unknown_quotes_as_text(tree, view)
    return tree


def _read_unknown_quotes_as_text(tree: exp.Expr, view: SchemaView) -> None:
    """Turn a double-quoted word that names no column into the string literal that SQLite reads in it, in place.

    Without this sqlglot's `qualify` fails on a fifth of Spider's golds (`WHERE name = "Bob"`).
    """
    quoted = [c for c in tree.find_all(exp.Column) if not c.table and getattr(c.this, "quoted", False)]
    if not quoted:
        return
    names = set(_names(tree, view.columns))
    for column in quoted:
        if column.name.lower() not in names:
            column.replace(exp.Literal.string(column.name))


def _names(tree: exp.Expr, known: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Every name a quoted word of this query may stand for."""
    yield from ROW_NAMES
    for table in tree.find_all(exp.Table):
        yield from known.get(table.name.lower(), ())
    for alias in tree.find_all(exp.Alias, exp.TableAlias):
        yield alias.alias.lower()
        if isinstance(alias, exp.TableAlias):
            yield from (column.name.lower() for column in alias.columns)


def items_of(scopes: Iterable[Scope], view: SchemaView) -> SchemaItems:
    """Tables and columns that the scopes of a resolved tree read."""
    known = view.columns
    tables: set[str] = set()
    columns: set[str] = set()
    for scope in scopes:
        named = {name.lower(): source for name, source in scope.sources.items()}
        tables.update(
            source.name.lower()
            for source in named.values()
            if isinstance(source, exp.Table) and source.name.lower() in known
        )
        for column in scope.columns:
            source = named.get(column.table.lower())
            if isinstance(source, Scope) or _is_output_name(column):
                continue
            if source is None and column.table and scope.parent is not None:
                continue  # a correlated column: the outer scope lists it too, with its source
            if source is None and not column.table and column.name.lower() in ROW_NAMES and len(named) == 1:
                source = next(iter(named.values()))
            columns.add(_column_item(column, source, known))
    return SchemaItems(frozenset(tables), frozenset(columns))


def _column_item(column: exp.Column, source: object, known: dict[str, tuple[str, ...]]) -> str:
    name = column.name.lower()
    table = getattr(source, "name", "").lower()
    return f"{table}.{name}" if name in known.get(table, ()) or (table in known and name in ROW_NAMES) else f"?.{name}"


def _is_output_name(column: exp.Column) -> bool:
    """Whether an unqualified name, as in ORDER BY, stands for an output column of its own query."""
    if column.table:
        return False
    clause = column.find_ancestor(exp.Order, exp.Group, exp.Having, exp.Query)
    query = column.find_ancestor(exp.Query)
    if query is None or isinstance(clause, exp.Query):
        return False
    return column.name.lower() in {name.lower() for name in query.named_selects}
