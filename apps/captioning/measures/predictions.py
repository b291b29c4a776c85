"""Reads captions made elsewhere: COCO result files, or JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import DataError
from common.files import read_json, read_jsonl

#: Fields that may hold the picture's id, and its references.
_IDS = ("id", "image_id")
_REFERENCES = ("references", "captions", "refs")


def read_predictions(path: Path | str) -> dict[str, str]:
    """Captions by the id of their picture, as text (COCO writes numbers).

    Args:
        path: `.json`: a COCO result file, `[{"image_id": 42, "caption": "..."}, ...]`, or an object from id to caption
            (or to a list of one). Else JSON lines: `{"id": ..., "caption": ...}`; other fields are passed over.

    Raises:
        DataError: unreadable, a row without id or caption, or two captions for one picture. Names file and row.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        return _collect(((line, row) for line, row in read_jsonl(path)), path)
    content = read_json(path)
    if isinstance(content, dict):
        rows: list[Any] = [{"id": key, "caption": _lone(value)} for key, value in content.items()]
    elif isinstance(content, list):
        rows = content
    else:
        raise DataError(f"expected a list of captions, found {type(content).__name__}", path=path)
    return _collect(enumerate(rows), path, "entry")


def read_references(path: Path | str) -> dict[str, list[str]]:
    """Right captions by the id of their picture, as text.

    Args:
        path: `.json`: COCO annotations (`annotations` of `image_id` and `caption`; `images` without a caption are
            passed over), or an object from id to captions. Else JSON lines: `{"id": ..., "references": [...]}`, or
            `captions`.

    Raises:
        DataError: unreadable, or a row of another form. Names file and row.
    """
    path = Path(path)
    found: dict[str, list[str]] = {}
    if path.suffix.lower() != ".json":
        for line, row in read_jsonl(path):
            name = next((name for name in _REFERENCES if name in row), None)
            if name is None:
                raise DataError(f"a row needs one of {', '.join(_REFERENCES)}", path=path, line=line)
            found.setdefault(_id(row, path, f"line {line}"), []).extend(_texts(row[name], path, f"line {line}"))
        return found
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        for number, row in enumerate(content["annotations"]):
            place = f"annotation {number}"
            if not isinstance(row, dict) or "caption" not in row:
                raise DataError(f"{place} has no 'caption'; is this a file of captions?", path=path)
            found.setdefault(_id(row, path, place), []).extend(_texts(row["caption"], path, place))
        return found
    if not isinstance(content, dict):
        raise DataError("expected COCO annotations, or an object from id to captions", path=path)
    return {str(key): _texts(value, path, f"id {key!r}") for key, value in content.items()}


def _collect(rows: Any, path: Path, unit: str = "line") -> dict[str, str]:
    found: dict[str, str] = {}
    places: dict[str, str] = {}
    for number, row in rows:
        place = f"{unit} {number}"
        if not isinstance(row, dict):
            raise DataError(f"{place} is a {type(row).__name__}, not an object with an id and a caption", path=path)
        key = _id(row, path, place)
        caption = row.get("caption")
        if not isinstance(caption, str):
            raise DataError(f"{place} (picture {key!r}): 'caption' is {caption!r}, not a text", path=path)
        if key in found:
            raise DataError(f"the picture {key!r} has two captions, in {places[key]} and in {place}", path=path)
        found[key], places[key] = caption, place
    if not found:
        raise DataError("the file holds no caption", path=path)
    return found


def _id(row: Mapping[str, Any], path: Path, place: str) -> str:
    value = next((row[name] for name in _IDS if name in row), None)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{place} needs 'id' or 'image_id', a text or a whole number; it has {value!r}", path=path)
    return str(value)


def _texts(value: Any, path: Path, place: str) -> list[str]:
    several: Sequence[Any] = [value] if isinstance(value, str) else value
    if not isinstance(several, list) or not all(isinstance(text, str) for text in several):
        raise DataError(f"{place}: references are a text or a list of texts, not {value!r}", path=path)
    return list(several)


def _lone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
