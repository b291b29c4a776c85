"""A folder of pictures with or without texts, and the suite's own JSONL."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from apps.captioning.reading.records import PICTURE_SUFFIXES, Record, unique, unquoted
from common.errors import DataError
from common.files import read_jsonl, text_lines

#: Texts of a whole folder, in the folder itself.
SIDECARS = ("captions.jsonl", "metadata.jsonl", "captions.txt", "captions.tsv", "captions.csv")
_NAME_FIELDS = ("image", "file_name", "filename")


def read_folder(path: Path, split: str = "") -> tuple[Path, list[Record]]:
    r"""All pictures in a folder and the folders in it, by name; hidden ones are passed over.

    Captions come from one file in the folder, `captions.txt` (`name<TAB>caption`, `name|caption` or `name,caption`; a
    picture may stand in several lines) or `captions.jsonl` (`image` or `file_name`; `captions`, `caption` or `text`),
    or, where there is none, from `a.txt` beside `a.jpg`, a caption a line. Names are relative to the folder.

    Args:
        path: the folder.
        split: a folder in it, to read that one only.

    Returns:
        The folder and a record for each picture; its id is its relative path without the ending.

    Raises:
        DataError: there is no picture, or the captions' file cannot be read or names a picture that is not there.
    """
    if not path.is_dir():
        raise DataError("this is no folder of pictures; give the folder, or another format", path=path)
    if split:
        path = path / split
        if not path.is_dir():
            raise DataError("no such folder; leave `split` empty to read the whole folder above", path=path)
    names = _pictures(path)
    if not names:
        raise DataError(f"no pictures here ({' '.join(sorted(PICTURE_SUFFIXES))})", path=path)
    captions = _sidecar(path, set(names))
    stems = Counter(os.path.splitext(name)[0] for name in names)
    records = []
    for name in names:
        stem = os.path.splitext(name)[0]
        own = captions.get(name, ()) if captions is not None else _beside(path / f"{stem}.txt")
        records.append(Record(stem if stems[stem] == 1 else name, (name,), tuple(own), f"picture {name}"))
    return path, unique(records, path)


def read_rows(path: Path, split: str = "") -> tuple[Path, list[Record]]:
    """The suite's own JSONL: `id`, `image` (relative to the file), optionally `captions` (or `caption`) and `split`.

    Args:
        path: the file.
        split: rows to keep; all where empty.

    Raises:
        DataError: names the file, the line and the next step.
    """
    records = []
    for number, row in read_jsonl(path):
        name = row.get("image")
        if not isinstance(name, str) or not name:
            raise DataError(f"no text 'image'; the fields are: {', '.join(row) or 'none'}", path=path, line=number)
        own = row.get("id")
        if isinstance(own, bool) or not isinstance(own, (str, int)) or own == "":
            raise DataError("no 'id'; give each picture an id of its own", path=path, line=number)
        records.append(
            Record(str(own), (name,), captions_of(row, path, number), f"line {number}", str(row.get("split") or ""))
        )
    if not records:
        raise DataError("the file holds no rows", path=path)
    if split:
        splits = Counter(record.split for record in records)
        records = [record for record in records if record.split == split]
        if not records:
            present = ", ".join(f"{name} ({count})" for name, count in splits.items() if name) or "no splits"
            raise DataError(f"no split {split!r}; the file has {present}", path=path)
    return path, unique(records, path)


def captions_of(row: Mapping[str, Any], path: Path, line: int) -> tuple[str, ...]:
    """The captions of a row: the list `captions`, or the text `caption` or `text`; none where it has none of them.

    Raises:
        DataError: one of them is something else.
    """
    for name in ("captions", "caption", "text"):
        value = row.get(name)
        if value is None:
            continue
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise DataError(f"{name!r} must be a text or a list of texts", path=path, line=line)
        return tuple(values)
    return ()


def _pictures(folder: Path) -> list[str]:
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [
            (Path(place) / name).relative_to(folder).as_posix()
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES
        ]
    return sorted(found)


def _sidecar(folder: Path, names: set[str]) -> dict[str, list[str]] | None:
    files = [folder / name for name in SIDECARS if (folder / name).is_file()]
    if not files:
        return None
    if len(files) > 1:
        raise DataError(f"both {files[0].name} and {files[1].name} are here; keep one", path=folder)
    captions: dict[str, list[str]] = {}
    for number, name, texts in _json_rows(files[0]) if files[0].suffix == ".jsonl" else _table_rows(files[0]):
        name = PurePath(name).as_posix()
        if name not in names:
            raise DataError(f"no picture {name!r} here; correct or remove the line", path=files[0], line=number)
        captions.setdefault(name, []).extend(texts)
    return captions


def _json_rows(file: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    rows: list[tuple[int, str, tuple[str, ...]]] = []
    for number, row in read_jsonl(file):
        name = next((row[key] for key in _NAME_FIELDS if isinstance(row.get(key), str)), None)
        if name is None:
            raise DataError(f"no text {' or '.join(map(repr, _NAME_FIELDS))}", path=file, line=number)
        rows.append((number, name, captions_of(row, file, number)))
    return rows


def _table_rows(file: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    rows: list[tuple[int, str, tuple[str, ...]]] = []
    for number, line in text_lines(file):
        mark = next((mark for mark in ("\t", "|", ",") if mark in line), None)
        if not line.strip():
            continue
        if mark is None:
            raise DataError("expected a picture's name, a tab, and a caption", path=file, line=number)
        name, _, caption = line.partition(mark)
        name = name.strip()
        if number == 1 and name.lower() in (*_NAME_FIELDS, "name"):
            continue
        # Flickr's `name.jpg#0` is taken too.
        stem, _, count = name.rpartition("#")
        rows.append((number, stem if stem and count.isdigit() else name, (unquoted(caption),)))
    return rows


def _beside(file: Path) -> list[str]:
    return [line for _, line in text_lines(file) if line.strip()] if file.is_file() else []
