"""Readers of public data sets, each in its own layout, as a user has it on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.text2sql.data import LANGUAGES, Example
from common.config import nearest
from common.errors import DataError
from common.files import read_json

#: Splits of Spider and the files that hold them; several files are one split.
SPIDER_SPLITS = {
    "dev": ("dev.json",),
    "train": ("train_spider.json", "train_others.json", "train.json"),
    "test": ("test.json",),
}
_DATABASE_SUFFIXES = (".sqlite", ".db", ".sqlite3", ".duckdb")


def read_spider(path: Path | str, split: str = "", databases: Path | str = "") -> list[Example]:
    """Spider (Yu et al. 2018): `dev.json`, `train_spider.json` + `train_others.json`, `database/<db>/<db>.sqlite`.

    Args:
        path: the data set's folder, or one of its JSON files.
        split: `dev`, `train`, `test` or the name of a JSON file without its ending; `dev` where empty.
        databases: folder of the databases, where that is not `database/` beside the JSON file.

    Raises:
        DataError: names the file, the row and the next step.
    """
    path = Path(path)
    files = [path] if path.is_file() else _split_files(path, split or "dev")
    store = Databases(databases or _first_folder(files[0].parent, path, names=("database", "test_database")))
    examples: list[Example] = []
    for file in files:
        for row, values in rows(file, ("question", "db_id")):
            sql = _text(values, ("query", "sql"), file, row)
            examples.append(
                Example(
                    id=f"{file.stem}-{row}",
                    question=values["question"].strip(),
                    language="en",
                    database=values["db_id"],
                    path=store[values["db_id"]],
                    sql=sql,
                    parallel=f"{file.stem}-{row}",
                )
            )
    return examples


def read_machine_spider(path: Path | str, split: str = "", databases: Path | str = "") -> list[Example]:
    """MachineSpider: Spider's dev set machine-translated to German, databases included (`train_dev/dev.json`).

    A question's parallel id is its English wording, which the data set keeps under `match`.

    Raises:
        DataError: names the file, the row and the next step.
    """
    path = Path(path)
    file = path if path.is_file() else _existing(path / "train_dev", f"{split or 'dev'}.json")
    store = Databases(databases or _first_folder(file.parent, file.parent.parent, names=("database",)))
    return [
        Example(
            id=f"{file.stem}-de-{row}",
            question=values["question"].strip(),
            language="de",
            database=values["db_id"],
            path=store[values["db_id"]],
            sql=values["query"],
            parallel=str(values.get("match") or f"{file.stem}-{row}"),
        )
        for row, values in rows(file, ("question", "db_id", "query"))
    ]


def read_multispider(
    path: Path | str,
    split: str = "",
    databases: Path | str = "",
    languages: Sequence[str] = (),
    variant: str = "with_English_value",
) -> list[Example]:
    """MultiSpider (Dou et al. 2023): `multispider/<variant>/dev_<language>.json`, databases in `spider/database`.

    Both layouts are found: the hub's (`dataset/multispider/...` beside `dataset/spider/...`) and a bare variant
    folder, whatever the letter case of its name.

    Raises:
        DataError: names the file, the row and the next step.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError("no such folder; give the folder that holds MultiSpider", path=root)
    folder = _variant_folder(root, variant)
    name = split or "dev"
    found = {language: folder / f"{name}_{language}.json" for language in languages or LANGUAGES}
    found = {language: file for language, file in found.items() if file.is_file() or languages}
    if not found:
        raise DataError(f"no files {name}_<language>.json; found: {_names(folder)}", path=folder)
    bases = [base for parent in (folder, *folder.parents[:3]) for base in (parent, parent / "spider")]
    store = Databases(databases or _first_folder(*bases, names=("database",)))
    contents = {language: rows(file, ("question", "db_id", "query")) for language, file in found.items()}
    # The files hold the same questions in the same order; where one lacks some, the query tells which are the same.
    aligned = len({len(content) for content in contents.values()}) == 1
    examples: list[Example] = []
    for language, content in contents.items():
        seen: Counter[tuple[str, str]] = Counter()
        for row, values in content:
            key = (values["db_id"], values["query"])
            seen[key] += 1
            examples.append(
                Example(
                    id=f"{name}-{language}-{row}",
                    question=values["question"].strip(),
                    language=language,
                    database=values["db_id"],
                    path=store[values["db_id"]],
                    sql=values["query"],
                    parallel=f"{name}-{row}" if aligned else f"{name}-{seen[key]}-{values['db_id']}-{values['query']}",
                )
            )
    return examples


def read_bird(path: Path | str, split: str = "", databases: Path | str = "") -> list[Example]:
    """BIRD (Li et al. 2023): `dev.json` with evidence and difficulty, `dev_databases/<db>/<db>.sqlite`.

    Mini-Dev's `mini_dev_sqlite.json` is found too. BIRD's difficulty is kept as a tag: hardness is Spider's measure.

    Raises:
        DataError: names the file, the row and the next step.
    """
    path = Path(path)
    name = split or "dev"
    file = (
        path if path.is_file() else _existing(path, f"{name}.json", f"{name}_sqlite.json", f"mini_{name}_sqlite.json")
    )
    folders = (f"{name}_databases", f"{file.stem}_databases", "dev_databases", "train_databases", "databases")
    store = Databases(databases or _first_folder(file.parent, path, names=folders))
    examples: list[Example] = []
    for row, values in rows(file, ("question", "db_id")):
        number = values.get("question_id", row)
        difficulty = str(values.get("difficulty") or "")
        examples.append(
            Example(
                id=f"{file.stem}-{number}",
                question=values["question"].strip(),
                language="en",
                database=values["db_id"],
                path=store[values["db_id"]],
                sql=_text(values, ("SQL", "sql", "query"), file, row),
                evidence=str(values.get("evidence") or "").strip(),
                tags=(difficulty,) if difficulty else (),
                parallel=f"{file.stem}-{number}",
            )
        )
    return examples


class Databases:
    """Finds `<folder>/<db>/<db>.sqlite`, whatever the letter case (Spider's ids and folders differ in it)."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        entries = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        self._entries = {entry.name.lower(): entry for entry in entries}
        self._found: dict[str, Path] = {}

    def __getitem__(self, name: str) -> Path:
        """The database file; the place where it should be if it does not exist."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Path:
        candidates = [
            entry for key, entry in self._entries.items() if key in {name.lower() + s for s in _DATABASE_SUFFIXES}
        ]
        folder = self._entries.get(name.lower())
        if folder is not None and folder.is_dir():
            files = {entry.name.lower(): entry for entry in sorted(folder.iterdir())}
            candidates += [
                files[name.lower() + suffix] for suffix in _DATABASE_SUFFIXES if name.lower() + suffix in files
            ]
        return candidates[0] if candidates else self.folder / name / f"{name}.sqlite"


def rows(file: Path, needed: Sequence[str]) -> list[tuple[int, Mapping[str, Any]]]:
    """`(position from 0, row)` of a JSON list of objects.

    Raises:
        DataError: the file is no such list, or a row lacks a needed text.
    """
    content = read_json(file)
    if not isinstance(content, list):
        raise DataError(f"expected a JSON list of questions, found {type(content).__name__}", path=file)
    for position, row in enumerate(content):
        if not isinstance(row, dict):
            raise DataError(f"row {position}: expected an object, found {type(row).__name__}", path=file)
        for name in needed:
            _text(row, (name,), file, position)
    return list(enumerate(content))


def _text(row: Mapping[str, Any], names: Sequence[str], file: Path, position: int) -> str:
    """The first of `names` that holds a text (Spider's `sql` is a parse tree, others' is the query)."""
    for name in names:
        if isinstance(row.get(name), str):
            return str(row[name])
    wanted = " or ".join(repr(name) for name in names)
    raise DataError(
        f"row {position} has no text {wanted}; its fields are: {', '.join(sorted(row)) or 'none'}", path=file
    )


def _split_files(folder: Path, split: str) -> list[Path]:
    if not folder.is_dir():
        raise DataError("no such file or folder", path=folder)
    names = SPIDER_SPLITS.get(split, (f"{split}.json",))
    files = [folder / name for name in names if (folder / name).is_file()]
    if not files:
        present = [file.stem for file in sorted(folder.glob("*.json")) if "tables" not in file.stem]
        hint = nearest(split, present) if present else "; this folder holds no JSON files"
        raise DataError(f"split {split!r} needs {' or '.join(names)}{hint}", path=folder)
    return files


def _existing(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"needs {' or '.join(names)}; found: {_names(folder)}", path=folder)


def _first_folder(*parents: Path, names: Sequence[str]) -> Path:
    """The first `parent/name` that is a folder; where none is, the place looked at first."""
    places = [parent / name for parent in parents for name in names]
    return next((place for place in places if place.is_dir()), places[0])


def _variant_folder(root: Path, variant: str) -> Path:
    places = [root, root / "multispider", root / "dataset" / "multispider"]
    for place in places:
        for entry in sorted(place.iterdir()) if place.is_dir() else ():
            if entry.is_dir() and entry.name.lower() == variant.lower():
                return entry
    if any(root.glob("*_??.json")):
        return root
    raise DataError(
        f"no folder {variant!r} here, in multispider/ or in dataset/multispider/; found: {_names(root)}", path=root
    )


def _names(folder: Path, most: int = 8) -> str:
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return "nothing" if folder.is_dir() else "no such folder"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
