"""The suite's own JSONL: a question a line, its pictures in a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from apps.medvqa.data import Example
from apps.medvqa.data_config import DataConfig
from apps.medvqa.reading.records import Reading, plain
from apps.medvqa.reading.vocabulary import infer_question_type, kind_of, split_name
from common.errors import DataError
from common.files import read_jsonl

_TEXTS = ("kind", "question_type", "modality", "organ", "language", "split", "study", "reasoning")
_PICTURES = ("pictures", "images", "picture", "image")
_KNOWN = {"id", "question", "answer", "answers", "choices", "tags", *_PICTURES, *_TEXTS}


def read_rows(path: Path, split: str, config: DataConfig) -> Reading:
    """Our JSONL, as `prepare` writes it (see `data.to_row`).

    Args:
        path: the file. A row needs `question`, and `answer` unless it is hidden; numbers are taken as texts. Pictures
            are paths relative to the file (or to the config's `pictures`), one as a text or several as a list, named
            `pictures`, `images`, `picture` or `image`. `kind` and `question_type` are inferred where they are absent.
            Fields that are not known are kept as tags.
        split: rows to keep; all where empty.
        config: not used.

    Raises:
        DataError: a row has a field of the wrong type, or an id comes twice; names the line.
    """
    reading = Reading(path.parent)
    lines: dict[str, int] = {}
    for line, row in read_jsonl(path):
        reading.read += 1
        own_split = split_name(plain(row.get("split")))
        if split and own_split != split_name(split):
            reading.passed_over[f"split {own_split or 'without a name'}"] += 1
            continue
        id = str(line if row.get("id") in (None, "") else row["id"]).strip()
        if lines.setdefault(id, line) != line:
            raise DataError(f"id {id!r} was used in line {lines[id]}; ids must differ", path=path, line=line)
        reading.add(_example(row, id, own_split, path, line), _names(row, path, line), f"{path.name}: line {line}")
    return reading.finish()


def _example(row: Mapping[str, Any], id: str, split: str, path: Path, line: int) -> Example:
    question, answer = _text(row, "question", path, line), _text(row, "answer", path, line)
    fields: dict[str, Any] = {name: _text(row, name, path, line) for name in _TEXTS}
    choices = _texts(row, "choices", path, line)
    tags = row.get("tags") or {}
    if not isinstance(tags, Mapping):
        raise DataError(f"'tags' is an object; found {tags!r:.80}", path=path, line=line)
    tags = {**tags, **{name: value for name, value in row.items() if name not in _KNOWN}}
    fields.update(
        kind=kind_of(fields["kind"], question, answer, choices),
        question_type=fields["question_type"] or infer_question_type(question, answer),
        language=fields["language"] or "en",
        split=split,
    )
    return Example(
        id=id,
        question=question,
        answer=answer,
        answers=_texts(row, "answers", path, line),
        choices=choices,
        tags={str(name): plain(value) for name, value in tags.items() if plain(value)},
        **fields,
    )


def _names(row: Mapping[str, Any], path: Path, line: int) -> tuple[str, ...]:
    value: Any = next((row[name] for name in _PICTURES if row.get(name)), [])
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and PurePosixPath(name.strip()).name for name in names):
        raise DataError(f"a picture is a path, several are a list of paths; found {value!r:.80}", path=path, line=line)
    return tuple(name.strip() for name in names)


def _texts(row: Mapping[str, Any], name: str, path: Path, line: int) -> tuple[str, ...]:
    value = row.get(name) or []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(text, (str, int, float)) for text in values):
        raise DataError(f"{name!r} is a list of texts; found {value!r:.80}", path=path, line=line)
    return tuple(map(plain, values))


def _text(row: Mapping[str, Any], name: str, path: Path, line: int) -> str:
    value = row.get(name)
    if isinstance(value, (list, dict)) or (name == "question" and value is None):
        found = f"found {value!r:.80}" if name in row else f"found the fields {', '.join(row) or 'none'}"
        raise DataError(f"a row needs the text {name!r}; {found}", path=path, line=line)
    # Reasoning may have several lines, and a study may be called as its file is; everything else is one plain line.
    return str(value).strip() if name in ("reasoning", "study") and value is not None else plain(value)
