"""A database's schema as text for a prompt: one line a table, `CREATE TABLE` statements, or M-Schema.

The dataclasses themselves (`Schema`, `Table`, `Column`, `ForeignKey`) belong to `apps.text2sql.execution.database`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from apps.text2sql.execution.sql_words import quoted_always

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Column, Schema, Table

#: Example values of a column, by (table, column) as the schema spells them.
Values = Mapping[tuple[str, str], Sequence[object]]

_PLAIN = re.compile(r"[^\W\d]\w*")
_LONGEST_VALUE = 40

#: Words that SQLite takes for syntax wherever a name could stand (a German column `alter` is a real case).
RESERVED = frozenset(
    [
        "add",
        "all",
        "alter",
        "and",
        "as",
        "autoincrement",
        "between",
        "case",
        "check",
        "collate",
        "commit",
        "constraint",
        "create",
        "default",
        "deferrable",
        "delete",
        "distinct",
        "drop",
        "else",
        "escape",
        "except",
        "exists",
        "foreign",
        "from",
        "group",
        "having",
        "in",
        "index",
        "insert",
        "intersect",
        "into",
        "is",
        "isnull",
        "join",
        "limit",
        "not",
        "notnull",
        "null",
        "on",
        "or",
        "order",
        "primary",
        "references",
        "returning",
        "select",
        "set",
        "table",
        "then",
        "to",
        "transaction",
        "union",
        "unique",
        "update",
        "using",
        "values",
        "when",
        "where",
    ]
)


def compact(schema: Schema) -> str:
    """One line a table, made for a small vocabulary: `singer: id name age country_id>country`.

    A foreign key names the table it leads to after `>`, and the column too where that is not the table's primary key.
    """
    targets = {(key.table.lower(), key.column.lower()): key for key in schema.foreign_keys}
    keys = {(t.name.lower(), c.name.lower()) for t in schema.tables for c in t.columns if c.primary_key}
    spell = partial(quoted, dialect=schema.dialect)
    lines = []
    for table in schema.tables:
        words = []
        for column in table.columns:
            word = spell(column.name)
            key = targets.get((table.name.lower(), column.name.lower()))
            if key is not None:
                word += f">{spell(key.ref_table)}"
                if (key.ref_table.lower(), key.ref_column.lower()) not in keys:
                    word += f".{spell(key.ref_column)}"
            words.append(word)
        lines.append(f"{spell(table.name)}: {' '.join(words)}")
    return "\n".join(lines)


def ddl(schema: Schema, values: Values | None = None) -> str:
    """`CREATE TABLE` statements; descriptions and example values stand as comments behind each column."""
    return "\n\n".join(_create(table, schema, values or {}) for table in schema.tables)


def _create(table: Table, schema: Schema, values: Values) -> str:
    spell = partial(quoted, dialect=schema.dialect)
    parts = [
        (_definition(column, table, spell), _remark(column, values.get((table.name, column.name), ())))
        for column in table.columns
    ]
    keys = [column for column in table.columns if column.primary_key]
    if len(keys) > 1:
        parts.append((f"PRIMARY KEY ({', '.join(spell(column.name) for column in keys)})", ""))
    for key in schema.foreign_keys:
        if key.table.lower() == table.name.lower():
            target = f"{spell(key.ref_table)} ({spell(key.ref_column)})"
            parts.append((f"FOREIGN KEY ({spell(key.column)}) REFERENCES {target}", ""))
    last = len(parts) - 1
    lines = [
        f"  {text}{'' if place == last else ','}{f' -- {remark}' if remark else ''}"
        for place, (text, remark) in enumerate(parts)
    ]
    head = f"CREATE TABLE {spell(table.name)} ({f' -- {_line(table.description)}' if table.description else ''}"
    return "\n".join([head, *lines, ");"])


def _definition(column: Column, table: Table, spell: Callable[[str], str]) -> str:
    alone = column.primary_key and sum(other.primary_key for other in table.columns) == 1
    kind = f" {column.type}" if column.type else ""
    constraint = " PRIMARY KEY" if alone else " NOT NULL" if column.not_null else ""
    return f"{spell(column.name)}{kind}{constraint}"


def _remark(column: Column, values: Sequence[object]) -> str:
    shown = ", ".join(show(value) for value in values)
    return "; ".join(part for part in (_line(column.description), f"e.g. {shown}" if shown else "") if part)


def mschema(schema: Schema, database: str, values: Values | None = None) -> str:
    """XiYan-SQL's M-Schema (arXiv 2411.08599): one bracket a column with type, key, comment and examples."""
    values = values or {}
    lines = [f"【DB_ID】 {database}", "【Schema】"]
    for table in schema.tables:
        lines.append(f"# Table: {table.name}{f', {_line(table.description)}' if table.description else ''}")
        lines.append("[")
        lines.append(
            ",\n".join(_bracket(column, values.get((table.name, column.name), ())) for column in table.columns)
        )
        lines.append("]")
    if schema.foreign_keys:
        lines.append("【Foreign keys】")
        lines += [f"{key.table}.{key.column}={key.ref_table}.{key.ref_column}" for key in schema.foreign_keys]
    return "\n".join(lines)


def _bracket(column: Column, values: Sequence[object]) -> str:
    kind = re.sub(r"\s*\(.*", "", column.type).upper() or "TEXT"
    parts = [f"{column.name}:{kind}"]
    if column.primary_key:
        parts.append("Primary Key")
    if column.description:
        parts.append(_line(column.description))
    if values:
        parts.append(f"Examples: [{', '.join(show(value, quote='') for value in values)}]")
    return f"({', '.join(parts)})"


def quoted(name: str, dialect: str) -> str:
    """An identifier as SQL reads it: in quotes where it is no plain word, or a reserved one."""
    plain = _PLAIN.fullmatch(name) and name.lower() not in RESERVED
    return name if plain else quoted_always(name, dialect)


def show(value: object, quote: str = "'") -> str:
    """An example value on one line, cut where long."""
    if isinstance(value, bytes):
        return f"x'{value[:8].hex()}'"
    if not isinstance(value, str):
        return str(value)
    text = _line(value)
    text = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
    return f"{quote}{text.replace(quote, quote * 2)}{quote}" if quote else text


def _line(text: str) -> str:
    return " ".join(text.split())
