"""Prompt sets: GPTEval3D's 110 prompts, T3Bench's three times 100, and files of one's own.

The published files have no licence, so they are read from where the user has put them and not shipped.
"""

from __future__ import annotations

import json
from pathlib import Path

from common.errors import DataError
from common.files import read_json, read_jsonl

#: Names of the published sets, with the files that hold them: as their repositories call them, and with a prefix.
SETS: dict[str, tuple[str, ...]] = {
    "gpteval3d": ("gpteval3d_prompts.json", "prompts.json"),
    "t3bench_single": ("t3bench_prompt_single.txt", "prompt_single.txt"),
    "t3bench_surr": ("t3bench_prompt_surr.txt", "prompt_surr.txt"),
    "t3bench_multi": ("t3bench_prompt_multi.txt", "prompt_multi.txt"),
}
#: How many prompts the published sets have.
SIZES = {"gpteval3d": 110, "t3bench_single": 100, "t3bench_surr": 100, "t3bench_multi": 100}


def read_set(folder: Path | str, name: str) -> list[str]:
    """A published set out of a folder.

    Args:
        folder: such as `../shared/data/text_to_3d_prompts`.
        name: of `SETS`.

    Raises:
        DataError: there is no such set, its file is not there, or it has another number of prompts than the published
            one.
    """
    if name not in SETS:
        raise DataError(f"no prompt set {name!r}; there are {', '.join(SETS)}", path=folder)
    path = next((Path(folder) / file for file in SETS[name] if (Path(folder) / file).is_file()), None)
    if path is None:
        raise DataError(f"the set {name} is not here; it is a file {' or '.join(SETS[name])}", path=folder)
    found = read_prompts(path)
    if len(found) != SIZES[name]:
        raise DataError(f"{len(found)} prompts; the set {name} has {SIZES[name]}", path=path)
    return found


def read_prompts(path: Path | str) -> list[str]:
    """Prompts of a file, or of a published set as `FOLDER:NAME`.

    A `.txt` file has one prompt a line; blank lines and those that begin with `#` are passed over. A `.jsonl` file has
    objects with `prompt`. A `.json` file is a list of texts or of objects with `prompt`, or an object whose values are
    such lists (threestudio's library); they are read one after the other.

    Returns:
        The prompts in the file's order, without outer white space and repetitions.

    Raises:
        DataError: no such file, another ending, an entry that is no prompt, or none at all; names file and row.
    """
    folder, mark, name = str(path).rpartition(":")
    if mark and name in SETS:
        return read_set(folder, name)
    path = Path(path)
    if path.is_dir():
        raise DataError(f"a folder; name a set in it, such as {path}:gpteval3d, of {', '.join(SETS)}", path=path)
    readers = {".txt": _lines, ".jsonl": _rows, ".json": _document}
    if path.suffix.lower() not in readers:
        raise DataError("a prompt file ends in .txt, .jsonl or .json", path=path)
    found = list(dict.fromkeys(readers[path.suffix.lower()](path)))
    if not found:
        raise DataError("there is no prompt in it", path=path)
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", path=path) from error
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _rows(path: Path) -> list[str]:
    return [_prompt(row, path, number) for number, row in read_jsonl(path)]


def _document(path: Path) -> list[str]:
    entries = read_json(path)
    if isinstance(entries, dict):
        if not all(isinstance(values, list) for values in entries.values()):
            raise DataError("expected a list of prompts, or lists of prompts by name", path=path)
        entries = [entry for values in entries.values() for entry in values]
    if not isinstance(entries, list):
        raise DataError(f"expected a list of prompts, found {type(entries).__name__}", path=path)
    return [_prompt(entry, path, number, "entry ") for number, entry in enumerate(entries, 1)]


def _prompt(entry: object, path: Path, number: int, kind: str = "") -> str:
    text = entry.get("prompt") if isinstance(entry, dict) else entry
    if isinstance(text, str) and text.strip():
        return text.strip()
    shown = json.dumps(entry, ensure_ascii=False, default=str)[:60]
    if kind:
        raise DataError(f"{kind}{number} is no prompt: {shown}", path=path)
    raise DataError(f"no prompt in this row: {shown}; it needs a text `prompt`", path=path, line=number)
