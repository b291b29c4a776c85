"""One `Example` type and the readers that make it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.text2sql.data_config import DataConfig
from common.errors import DataError, UsageError
from common.files import read_jsonl

LANGUAGES = ("en", "de", "fr", "es", "ja", "zh", "vi")


@dataclass(frozen=True)
class Example:
    """One question about one database.

    Attributes:
        id: unique in its data set.
        question: as the user asks it, in `language`.
        language: ISO 639-1 code.
        database: database id (`db_id`).
        path: the database file.
        sql: the gold query; empty where the data set hides it.
        evidence: a hint given with the question (BIRD), else empty.
        hardness: easy, medium, hard, extra, or empty where not known.
        tags: what the query is made of (pocket: `select`, `join`, `group`, ...).
        parallel: id shared by the translations of one question, else empty.
        dialect: sqlglot's name of the SQL dialect the gold is written in.
    """

    id: str
    question: str
    language: str
    database: str
    path: Path
    sql: str
    evidence: str = ""
    hardness: str = ""
    tags: tuple[str, ...] = ()
    parallel: str = ""
    dialect: str = "sqlite"


def load_examples(config: DataConfig) -> list[Example]:
    """Read the questions that a config describes.

    Raises:
        DataError: names the file, the row and the next step.
    """
    examples = _read(config)
    if config.languages:
        examples = [example for example in examples if example.language in config.languages]
    if config.limit and config.format != "pocket":
        examples = limited(examples, config.limit, config.seed)
    if not examples:
        wanted = f" in {', '.join(config.languages)}" if config.languages else ""
        raise DataError(f"no questions{wanted}; check format, split and languages", path=config.path or config.format)
    return examples


def _read(config: DataConfig) -> list[Example]:
    if config.format == "pocket":
        from apps.text2sql.pocket import load_pocket

        return load_pocket(
            config.split or "train",
            config.languages or LANGUAGES,
            config.limit or None,
            config.seed,
            Path(config.databases) if config.databases else None,
        )
    if not config.path:
        raise UsageError(f"the format {config.format!r} needs a path: the data set's folder or file")
    examples = read_public(config)
    check_databases(examples, config.path)
    return examples


def read_public(config: DataConfig) -> list[Example]:
    """Read every format that has a path; whether the database files exist is not looked at.

    Raises:
        DataError: names the file, the row and the next step.
    """
    from apps.text2sql import readers

    if config.format == "jsonl":
        return read_jsonl_examples(config.path)
    if config.format == "bird":
        return readers.read_bird(config.path, config.split, config.databases)
    if config.format == "multispider":
        return readers.read_multispider(config.path, config.split, config.databases, config.languages, config.variant)
    if config.format == "machine_spider":
        return readers.read_machine_spider(config.path, config.split, config.databases)
    return readers.read_spider(config.path, config.split, config.databases)


def limited(examples: Sequence[Example], limit: int, seed: int = 0) -> list[Example]:
    """About `limit` examples in their order: whole groups of translations, at least one, as long as they fit."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.parallel or example.id, []).append(example)
    order = list(groups)
    if seed:
        random.Random(seed).shuffle(order)
    kept: set[str] = set()
    for group in order:
        if kept and len(kept) + len(groups[group]) > limit:
            break
        kept.update(example.id for example in groups[group])
    return [example for example in examples if example.id in kept]


def read_jsonl_examples(path: Path | str) -> list[Example]:
    """Read our own format: `question`, `sql` and `database` (a file, relative to this one) in each row.

    `id`, `db_id`, `language`, `evidence`, `hardness`, `parallel`, `dialect` and `tags` may stand there too.

    Raises:
        DataError: a row lacks a field or has one of the wrong type, or an id comes twice.
    """
    path = Path(path)
    examples: list[Example] = []
    lines: dict[str, int] = {}
    for line, row in read_jsonl(path):
        example = _from_row(row, path, line)
        if example.id in lines:
            raise DataError(f"id {example.id!r} was used in line {lines[example.id]}", path=path, line=line)
        lines[example.id] = line
        examples.append(example)
    return examples


def _from_row(row: Mapping[str, Any], path: Path, line: int) -> Example:
    texts: dict[str, str] = {}
    optional = ("id", "language", "db_id", "evidence", "hardness", "parallel", "dialect")
    for name in ("question", "sql", "database", *optional):
        if name not in row and name in optional:
            continue
        value = row.get(name)
        if isinstance(value, int) and name in ("id", "parallel"):
            value = str(value)
        if not isinstance(value, str) or (name in ("question", "database") and not value.strip()):
            found = f"found {value!r:.80}" if name in row else f"found the fields {', '.join(sorted(row)) or 'none'}"
            raise DataError(f"a row needs the text {name!r}; {found}", path=path, line=line)
        texts[name] = value
    file = path.parent / texts.pop("database")
    tags = row.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise DataError(f"'tags' is a list of texts; found {tags!r:.80}", path=path, line=line)
    return Example(
        id=texts.pop("id", str(line)),
        database=texts.pop("db_id", file.stem),
        language=texts.pop("language", "en"),
        path=file,
        tags=tuple(tags),
        **texts,
    )


def to_row(example: Example, folder: Path) -> dict[str, Any]:
    """The JSONL row of an example; its database is relative to `folder` where it lies below or beside that."""
    file, folder = Path(example.path).resolve(), folder.resolve()
    near = file.is_relative_to(folder.parent) and folder.parent != Path(folder.anchor)
    row = {
        "id": example.id,
        "question": example.question,
        "sql": example.sql,
        "database": Path(os.path.relpath(file, folder)).as_posix() if near else str(file),
        "db_id": example.database,
        "language": example.language,
        "evidence": example.evidence,
        "hardness": example.hardness,
        "parallel": example.parallel,
        "dialect": example.dialect,
        "tags": list(example.tags),
    }
    return {name: value for name, value in row.items() if value or name == "sql"}


def check_databases(examples: Iterable[Example], path: Path | str) -> None:
    """Raise one `DataError` for all missing database files, with their number."""
    examples = list(examples)
    missing = missing_databases(examples)
    if missing:
        asked = sum(example.path in missing for example in examples)
        shown = ", ".join(str(file) for file in sorted(missing)[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DataError(
            f"{len(missing)} database files are missing ({asked} of {len(examples)} questions need them): "
            f"{shown}{more}; put them there, or name their folder with `databases`",
            path=path,
        )


def missing_databases(examples: Iterable[Example]) -> set[Path]:
    """Database files that do not exist."""
    return {file for file in {example.path for example in examples} if not file.is_file()}
