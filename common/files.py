"""Reading and writing files so that nothing is lost: writes are atomic, and a bad row is named by its line."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from common.errors import DataError


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Write `data` to `path` by renaming a finished temporary file, so that no reader ever sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes private files; give the mode a plain open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text atomically."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> Path:
    """Write indented JSON atomically; NaN is refused, because no other JSON reader accepts it."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write one JSON object a line, atomically."""
    return write_text(path, "".join(_line(row) for row in rows))


def append_jsonl(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to the end of a JSONL file in one write."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(_line(row) for row in rows))


def cut_unfinished(path: Path | str) -> None:
    """Drop a JSON Lines file's last line where a killed writer did not end it."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if not text.endswith("\n"):
        write_text(path, text[: text.rfind("\n") + 1])


def parse_json(text: str | bytes) -> Any:
    """One JSON document.

    Raises:
        ValueError: it is none (`json.JSONDecodeError`, which says where), it is nested deeper than Python reads, or it
            holds an integer with more digits than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path | str) -> Any:
    """Read one JSON document.

    Raises:
        DataError: the file is absent, is not UTF-8 or is not JSON.
    """
    text = _read_text(Path(path))
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", path=path, line=error.lineno) from error
    except ValueError as error:
        raise DataError(f"not JSON that can be read: {error}", path=path) from error


def read_object(path: Path | str) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        DataError: see `read_json`, or the document is something else.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(f"expected a JSON object, found {type(found).__name__}", path=path)
    return found


def read_jsonl(path: Path | str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield `(line number from 1, row)`; blank lines are passed over.

    Raises:
        DataError: the file is absent, or a line is not a JSON object.
    """
    yield from parse_jsonl(_read_text(Path(path)), path)


def parse_jsonl(text: str, path: Path | str, first: int = 1) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield `(line number, row)` of a part of a JSONL file that begins at line `first`; see `read_jsonl`.

    Raises:
        DataError: a line is not a JSON object.
    """
    for number, line in enumerate(text.split("\n"), start=first):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(f"not JSON: {getattr(error, 'msg', error)}", path=path, line=number) from error
        if not isinstance(row, dict):
            raise DataError(f"expected a JSON object, found {type(row).__name__}", path=path, line=number)
        yield number, row


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield `(line number from 1, line)`; only LF and CR LF end a line, so that U+2028 or a form feed splits none.

    Raises:
        DataError: the file cannot be read, or a line is not UTF-8; names the line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    reason = f"not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8"
                    raise DataError(reason, path=path, line=number) from error
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except IsADirectoryError as error:
        raise DataError("this is a folder; a file is needed", path=path) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from error


def locate(path: Path | str) -> Path:
    """A relative path as it is or, where nothing lies there, in the checkout: shipped files work from any folder."""
    path = Path(path)
    inside = Path(__file__).resolve().parent.parent / path
    return inside if not path.exists() and not path.is_absolute() and inside.exists() else path


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except IsADirectoryError as error:
        raise DataError("this is a folder; a file is needed", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", path=path) from error


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
