"""Which tables and columns a query reads, resolved by sqlglot's scopes: no literal, alias or keyword counts as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.text2sql.execution.statement import Refused, parse_query
from apps.text2sql.meaning.canonical import analysed
from apps.text2sql.meaning.resolve import SchemaItems, schema_view

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema


def schema_items(sql: str, schema: Schema, dialect: str | None = None) -> SchemaItems:
    """Tables and columns that a query reads; `*` stands for every column it expands to.

    Args:
        sql: one query.
        schema: the database's schema.
        dialect: sqlglot's name of the SQL dialect; the schema's own where not given.

    Raises:
        Refused: `sql` is no single query that parses.
    """
    dialect = dialect or schema.dialect
    parse_query(sql, dialect)
    return analysed(sql, schema_view(schema), dialect).items


def linking_score(pred: str, gold: str, schema: Schema, dialect: str | None = None) -> float:
    """Jaccard overlap of the tables and columns of two queries, in [0, 1].

    Reasoning-SQL (arXiv 2503.23157) defines the reward; its re-implementation takes every word that is no keyword for
    an item, so that literals leak in. Here only names that resolve to the schema count.

    Returns:
        0 where the prediction does not parse; 1 where neither query reads a table.

    Raises:
        Refused: the gold does not parse.
    """
    dialect = dialect or schema.dialect
    wanted = schema_items(gold, schema, dialect)
    try:
        return overlap(schema_items(pred, schema, dialect), wanted)
    except Refused:
        return 0.0


def overlap(found: SchemaItems, wanted: SchemaItems) -> float:
    """Jaccard overlap of two sets of items; 1 where both are empty."""
    union = wanted.all | found.all
    return len(wanted.all & found.all) / len(union) if union else 1.0
