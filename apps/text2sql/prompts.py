"""What the model is shown: a bare schema and question, or instructions with hints that ask for thoughts first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.text2sql.data import Example
from apps.text2sql.data_config import PromptConfig
from apps.text2sql.schemas.schema import Values, compact, ddl, mschema, show

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema
    from apps.text2sql.schemas.retrieval import Hit

Message = dict[str, str]

ENGINES = {"sqlite": "SQLite", "duckdb": "DuckDB", "postgres": "PostgreSQL", "mysql": "MySQL"}

_INSTRUCTIONS = """\
Translate a question into one {engine} query.

Database schema:
{schema}

{hints}Question: {question}

The query must only read, return exactly the columns that are asked for, in the order they are asked for, and use the
names and values of this database as they are spelled here.
First work out between <think> and </think> which tables, columns and conditions are needed.
Then write the query as a fenced block between <answer> and </answer>:
<think>
your reasoning
</think>
<answer>
```sql
your query
```
</answer>"""


def messages(example: Example, style: PromptConfig | str = "pocket") -> list[Message]:
    """One conversation that ends with the user's turn.

    Schema, example values and value index are read once for each database.

    Args:
        example: the question; its gold query is not looked at.
        style: what to show; a style's name means its default settings.
    """
    from apps.text2sql.schemas.schema_cache import database_view

    settings = PromptConfig(style=style) if isinstance(style, str) else style  # type: ignore[arg-type]
    plain = settings.style == "pocket"
    path: Path | str = example.path
    view = database_view(path, example.database, 0 if plain or settings.schema == "compact" else settings.values)
    if plain:
        return [{"role": "user", "content": f"{compact(view.schema)}\n{' '.join(example.question.split())}"}]
    hits: Sequence[Hit] = ()
    if settings.hits:
        from apps.text2sql.schemas.retrieval import value_index

        hits = value_index(path).search(f"{example.question} {example.evidence}", settings.hits)
    text = _INSTRUCTIONS.format(
        engine=ENGINES.get(example.dialect, example.dialect),
        schema=schema_text(view.schema, example.database, settings.schema, view.values),
        hints=_hints(example.evidence, hits),
        question=example.question,
    )
    return [{"role": "user", "content": text}]


def target(sql: str, style: str = "pocket") -> str:
    """The answer a model is taught in this style; the gold comes without reasoning, so `<think>` is empty."""
    if style == "pocket":
        return sql
    return f"<think>\n\n</think>\n<answer>\n```sql\n{sql}\n```\n</answer>"


def schema_text(schema: Schema, database: str, kind: str = "ddl", values: Values | None = None) -> str:
    """The schema as `ddl`, `mschema` or `compact` text."""
    if kind == "ddl":
        return ddl(schema, values)
    return mschema(schema, database, values) if kind == "mschema" else compact(schema)


def _hints(evidence: str, hits: Sequence[Hit]) -> str:
    parts = []
    if hits:
        lines = [f"- {hit.table}.{hit.column} = {show(hit.value)}" for hit in hits]
        parts.append("Values in the database that the question may mean:\n" + "\n".join(lines))
    if evidence:
        parts.append(f"Hint: {evidence}")
    return "".join(f"{part}\n\n" for part in parts)
