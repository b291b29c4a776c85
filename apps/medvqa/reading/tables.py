"""Tables of questions as data sets are handed around: JSON, JSONL, CSV, TSV and Parquet, and where they lie."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.medvqa.reading.records import Reading
from apps.medvqa.reading.vocabulary import SPLITS, split_name
from common.errors import DataError, MissingDependency, UsageError
from common.files import read_json, read_jsonl, text_lines

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt")
#: Lists in a JSON object that hold a data set's rows.
_LISTS = (
    *("data", "rows", "questions", "annotations", "examples", "samples"),
    *("results", "predictions", "answers", "outputs"),
)
#: `train-00000-of-00003` and `train-00000-of-00003-0a1b2c`, as the hub names the parts of a table.
_SHARD = re.compile(r"-\d{5}-of-\d{5}.*$")
_SPLIT_WORD = re.compile(r"(?:^|[^a-z])(train|val|dev|test)(?:ing|id|idate|idation)?(?:set)?(?=$|[^a-z])")


def read_table(path: Path, reading: Reading) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield `(where, row)` for each row, and count it; rows that are no objects are dropped and named.

    Raises:
        DataError: the file cannot be read, or is a pickle (opening one runs code).
    """
    readers = {".json": _json, ".jsonl": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        raise DataError(pickle_advice(path), path=path)
    if suffix not in readers:
        raise DataError(f"expected a table ({' '.join(readers)})", path=path)
    for where, row in readers[suffix](path):
        reading.read += 1
        where = f"{path.name}: {where}"
        if not isinstance(row, Mapping):
            reading.note("", "malformed", f"expected an object, found {type(row).__name__}", where)
        elif None in row:
            reading.note("", "malformed", "the row has more columns than the header", where)
        else:
            yield where, row


def pickle_advice(path: Path) -> str:
    """What to say of a pickle, which is not read."""
    return (
        "pickles are not read, because opening one runs whatever code it brings; where you trust its origin, convert "
        f'it: python -c "import json, pickle; json.dump(pickle.load(open({path.name!r}, {"rb"!r})), '
        f'open({path.with_suffix(".json").name!r}, {"w"!r}))"'
    )


def find_tables(path: Path, pattern: str, depth: int = 3) -> list[tuple[str, Path]]:
    """Tables under a folder whose names fit, with the split that their names, or their folders', speak of.

    Args:
        path: a folder, or one table, which is taken whatever its name is.
        pattern: for the whole name, in any case.
        depth: of folders that are looked into.

    Returns:
        `(split, file)` by split (train, validation, test) and name; the split is empty where no name speaks of one.
    """
    if path.is_file():
        return [(split_in(path), path)]
    found = []
    for place, folders, names in os.walk(path):
        level = len(Path(place).relative_to(path).parts)
        folders[:] = sorted(name for name in folders if level < depth and not name.startswith((".", "__MACOSX")))
        fitting = (name for name in names if re.fullmatch(pattern, name, re.IGNORECASE) and not name.startswith("."))
        found += [Path(place) / name for name in fitting]
    tables = [(split_in(file), file) for file in found]
    return sorted(tables, key=lambda table: ((*SPLITS, table[0]).index(table[0]), table[1].as_posix()))


def split_in(file: Path) -> str:
    """The split that a file's name speaks of, or else its folder's; empty where neither does."""
    words = _SPLIT_WORD.findall(_SHARD.sub("", file.stem).lower())
    folder = split_name(file.parent.name)
    return split_name(words[-1]) if words else folder if folder in SPLITS else ""


def one_version(tables: Iterable[tuple[str, Path]], split: str) -> list[tuple[str, Path]]:
    """The tables of a split: those with that stem if there are any; else of each split those with the shortest name.

    Of `train.csv` and `train_2.csv` the split `train` is the first and `train_2` the second; the parts of one table
    belong together. A single table whose name speaks of no split is taken for the one that is asked for.

    Raises:
        UsageError: there is no such split; names those that there are.
        DataError: several tables are meant.
    """
    tables = list(tables)
    if len(tables) == 1 and not tables[0][0]:
        return [(split_name(split), tables[0][1])]
    stems = {file: _SHARD.sub("", file.stem) for _, file in tables}
    wanted = [table for table in tables if split_name(split) == split and stems[table[1]].lower() == split.lower()]
    wanted = wanted or [table for table in tables if not split or table[0] == split_name(split)]
    if not wanted:
        known = sorted({name for name, _ in tables if name} | set(stems.values()))
        raise UsageError(f"no split {split!r}; the data set has {', '.join(known) or 'no splits'}")
    shortest = {name: min((stems[file] for own, file in wanted if own == name), key=len) for name, _ in wanted}
    wanted = [(name, file) for name, file in wanted if stems[file] == shortest[name]]
    for name in shortest:
        places = {(file.parent, file.suffix, stems[file]): file for own, file in wanted if own == name}
        if len(places) > 1:
            found = ", ".join(map(str, places.values()))
            raise DataError(f"several tables may be the split {name!r}: {found}; give one of them as the path")
    return wanted


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    content = read_json(path)
    if isinstance(content, dict):
        content = next((content[name] for name in _LISTS if isinstance(content.get(name), list)), content)
    if isinstance(content, dict) and content and all(isinstance(row, dict) for row in content.values()):
        content = [{"id": key, **row} for key, row in content.items()]
    if not isinstance(content, list):
        raise DataError(f"expected a list of rows, found {type(content).__name__}", path=path)
    return ((f"row {number}", row) for number, row in enumerate(content))


def _jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    return ((f"line {number}", row) for number, row in read_jsonl(path))


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    lines = (f"{line}\n" for _, line in text_lines(path))
    table = csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        for row in table:
            yield f"line {table.line_num}", row
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", path=path, line=table.line_num) from error


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingDependency("pyarrow", "medvqa") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    yield f"row {number}", row
                    number += 1
    except (ArrowException, OSError) as error:
        raise DataError(f"not Parquet: {error}", path=path) from error
