"""Reads predictions made elsewhere: Spider's text, BIRD's JSON, or JSONL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.text2sql.data import Example
from apps.text2sql.execution.statement import extract_sql
from common.errors import DataError, UsageError
from common.files import read_json, read_jsonl

FORMATS = ("spider", "bird", "jsonl")
_MARK = "\t----- bird -----\t"
#: Fields of a JSONL row that may hold the query, and one that holds a model's whole answer. `sql` and `query` come
#: last: beside one of the others they are the gold, as in this suite's own JSONL and in Spider's files.
_FIELDS = ("pred", "prediction", "predicted_sql", "completion", "sql", "query")


def read_predictions(path: Path | str, examples: Sequence[Example], format: str | None = None) -> list[list[str]]:
    """Predicted queries for each example, in the examples' order; every example has as many.

    Args:
        path: `spider`: one query a line, empty where there is none, optionally a tab and the database id. `bird`: a
            JSON object from a question's number to its query (BIRD appends a mark and the database id), or a list.
            `jsonl`: rows with `pred` (or `prediction`, `completion` for a model's whole answer, or `sql`) in the
            examples' order, or with an `id` in any order; a list there, or several rows of one id, are samples.
        examples: the questions that were asked.
        format: one of `FORMATS`; told by the file's ending (`.json`, `.jsonl`, else Spider's text) where not given.

    Raises:
        DataError: unreadable, a wrong number of predictions, or predictions that belong to other questions.
    """
    path = Path(path)
    if format is None:
        format = {".json": "bird", ".jsonl": "jsonl"}.get(path.suffix.lower(), "spider")
    readers = {"spider": _read_spider, "bird": _read_bird, "jsonl": _read_jsonl}
    if format not in readers:
        raise UsageError(f"unknown format of predictions {format!r}; use one of {', '.join(FORMATS)}")
    found = readers[format](path, examples)
    if len({len(samples) for samples in found}) > 1:
        counts = sorted({len(samples) for samples in found})
        raise DataError(f"questions have between {counts[0]} and {counts[-1]} samples; give each as many", path=path)
    return found


def _read_spider(path: Path, examples: Sequence[Example]) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", path=path) from error
    lines = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]
    while len(lines) > len(examples) and not lines[-1].strip():
        lines.pop()
    _check_count(len(lines), examples, path, "one query a line, an empty line where there is none")
    queries = []
    for number, (line, example) in enumerate(zip(lines, examples, strict=True), start=1):
        query, _, database = line.partition("\t")
        _check_database(database.strip(), example, path, number)
        queries.append([query.strip()])
    return queries


def _read_bird(path: Path, examples: Sequence[Example]) -> list[list[str]]:
    content = read_json(path)
    if isinstance(content, list):
        content = {str(number): value for number, value in enumerate(content)}
    if not isinstance(content, dict):
        raise DataError(f"expected an object from number to query, found {type(content).__name__}", path=path)
    positions = {str(number) for number in range(len(examples))}
    # BIRD numbers by position; subsets of it keep the numbers of the whole.
    own = [example.id.rpartition("-")[2] for example in examples]
    keys = own if set(content) != positions and set(own) <= set(content) else [str(n) for n in range(len(examples))]
    missing = [key for key in keys if key not in content]
    if missing or len(content) != len(examples):
        wanted = f"; none for {', '.join(missing[:5])}" if missing else ""
        _check_count(len(content), examples, path, f"a query for each number from 0{wanted}")
        raise DataError(f"no prediction for the numbers {', '.join(missing[:5])}", path=path)
    queries = []
    for key, example in zip(keys, examples, strict=True):
        if not isinstance(content[key], str):
            raise DataError(f"number {key}: expected a text, found {type(content[key]).__name__}", path=path)
        query, _, database = content[key].partition(_MARK)
        _check_database(database.strip(), example, path, None, f"number {key}")
        queries.append([query.strip()])
    return queries


def _read_jsonl(path: Path, examples: Sequence[Example]) -> list[list[str]]:
    rows = list(read_jsonl(path))
    if not any("id" in row for _, row in rows):
        _check_count(len(rows), examples, path, "one row a question, in their order, or rows with an `id`")
        return [_samples(row, path, line) for line, row in rows]
    known = {example.id for example in examples}
    found: dict[str, list[str]] = {}
    for line, row in rows:
        key = str(row.get("id", ""))
        if key not in known:
            raise DataError(f"no question has the id {key!r}; ids look like {examples[0].id!r}", path=path, line=line)
        found.setdefault(key, []).extend(_samples(row, path, line))
    missing = [example.id for example in examples if example.id not in found]
    if missing:
        raise DataError(
            f"no prediction for {len(missing)} of {len(examples)} questions: {', '.join(missing[:5])}", path=path
        )
    return [found[example.id] for example in examples]


def _samples(row: Mapping[str, Any], path: Path, line: int) -> list[str]:
    name = next((name for name in _FIELDS if name in row), None)
    if name is None:
        raise DataError(
            f"a row needs one of {', '.join(_FIELDS)}; it has {', '.join(sorted(row))}", path=path, line=line
        )
    values = row[name] if isinstance(row[name], list) else [row[name]]
    if not values or not all(isinstance(value, str) for value in values):
        raise DataError(f"{name!r} is a text or a list of texts", path=path, line=line)
    return [(extract_sql(value) or "") if name == "completion" else value.strip() for value in values]


def _check_count(found: int, examples: Sequence[Example], path: Path, layout: str) -> None:
    if found != len(examples):
        raise DataError(f"{found} predictions for {len(examples)} questions; the file holds {layout}", path=path)


def _check_database(name: str, example: Example, path: Path, line: int | None, place: str = "") -> None:
    if name and name.lower() != example.database.lower():
        raise DataError(
            f"{f'{place}: ' if place else ''}this prediction is for the database {name!r}, the question "
            f"{example.id!r} is about {example.database!r}; the file belongs to another split or order",
            path=path,
            line=line,
        )
