"""What a data set says about its schemas beside the database files: words for tables and columns, and keys.

Spider's `tables.json` (many of Spider's database files declare no keys) and BIRD's `database_description/*.csv`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from common.files import read_json

if TYPE_CHECKING:
    from apps.text2sql.execution.database import ForeignKey, Schema, Table

#: BIRD's files come from many hands: UTF-8 with and without a mark, Windows' code page, and UTF-16.
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
#: A longer description costs more prompt than it helps.
_LONGEST = 200


@dataclass(frozen=True)
class Descriptions:
    """Words and keys for a database's tables and columns; every name in lower case.

    Attributes:
        tables: words by table.
        columns: words by (table, column).
        primary_keys: (table, column).
        foreign_keys: pairs of (table, column), the second the one that is pointed to.
    """

    tables: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[tuple[str, str], str] = field(default_factory=dict)
    primary_keys: frozenset[tuple[str, str]] = frozenset()
    foreign_keys: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = ()


def describe(schema: Schema, words: Descriptions) -> Schema:
    """The schema with words where it has none and keys where it declares none; words that only repeat a name go."""
    return replace(
        schema,
        tables=tuple(_described(table, words) for table in schema.tables),
        foreign_keys=(*schema.foreign_keys, *_undeclared(schema, words)),
    )


def _described(table: Table, words: Descriptions) -> Table:
    name = table.name.lower()
    keyless = not any(column.primary_key for column in table.columns)
    columns = tuple(
        replace(
            column,
            primary_key=column.primary_key or (keyless and (name, column.name.lower()) in words.primary_keys),
            description=column.description or _news(words.columns.get((name, column.name.lower()), ""), column.name),
        )
        for column in table.columns
    )
    return replace(
        table, columns=columns, description=table.description or _news(words.tables.get(name, ""), table.name)
    )


def _undeclared(schema: Schema, words: Descriptions) -> Iterator[ForeignKey]:
    """Foreign keys that the data set knows of and the database does not, in the schema's spelling."""
    from apps.text2sql.execution.database import ForeignKey

    names = {(t.name.lower(), c.name.lower()): (t.name, c.name) for t in schema.tables for c in t.columns}
    declared = {(key.table.lower(), key.column.lower()) for key in schema.foreign_keys}
    for column, target in words.foreign_keys:
        if column in names and target in names and column not in declared:
            declared.add(column)
            yield ForeignKey(*names[column], *names[target])


def find_descriptions(path: Path | str, database: str = "") -> Descriptions:
    """Descriptions that lie beside a database file in Spider's or BIRD's layout; empty ones where there are none.

    Args:
        path: the database file.
        database: its id in `tables.json`; the file's name without ending where empty.
    """
    path = Path(path)
    folder = path.parent / "database_description"
    if folder.is_dir():
        return read_bird_descriptions(folder)
    for place in list(path.parents)[1:3]:
        file = place / "tables.json"
        if file.is_file():
            # A file of that name need not be Spider's, and it is only a help.
            with suppress(DataError):
                return read_spider_descriptions(file).get((database or path.stem).lower(), Descriptions())
    return Descriptions()


@lru_cache(maxsize=8)
def read_spider_descriptions(file: Path) -> dict[str, Descriptions]:
    """Natural names of tables and columns from Spider's `tables.json`, by lower-case database id.

    Raises:
        DataError: the file has not Spider's layout.
    """
    entries = read_json(file)
    if not isinstance(entries, list):
        raise DataError(f"expected a list of databases, found {type(entries).__name__}", path=file)
    found = {}
    for position, entry in enumerate(entries):
        try:
            found[entry["db_id"].lower()] = _spider_entry(entry)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise DataError(
                f"entry {position} has not the layout of Spider's tables.json ({error!r})", path=file
            ) from error
    return found


def _spider_entry(entry: Mapping[str, Any]) -> Descriptions:
    tables = [str(name).lower() for name in entry["table_names_original"]]
    places = [
        (tables[table] if table >= 0 else "", str(column).lower()) for table, column in entry["column_names_original"]
    ]
    words = [str(column) for _, column in entry["column_names"]]
    # A key of several columns is a list in later versions of the file.
    keys = [number for key in entry["primary_keys"] for number in (key if isinstance(key, list) else [key])]
    return Descriptions(
        dict(zip(tables, map(str, entry["table_names"]), strict=True)),
        {place: text for place, text in zip(places, words, strict=True) if place[0]},
        frozenset(places[number] for number in keys),
        tuple((places[column], places[target]) for column, target in entry["foreign_keys"]),
    )


def read_bird_descriptions(folder: Path | str) -> Descriptions:
    """BIRD's description files, one CSV a table; one that is no such CSV is passed over, since it is only a help."""
    columns: dict[tuple[str, str], str] = {}
    for file in sorted(Path(folder).glob("*.csv")):
        for row in _csv_rows(file):
            name = row.get("original_column_name", "").lower()
            if name:
                columns[(file.stem.lower(), name)] = _bird_words(row)
    return Descriptions({}, columns)


def _csv_rows(file: Path) -> Iterator[dict[str, str]]:
    reader = csv.reader(io.StringIO(decode(file.read_bytes())), strict=False)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        for row in reader:
            yield {name: " ".join(value.split()) for name, value in zip(header, row, strict=False)}
    except csv.Error:
        return


def decode(data: bytes) -> str:
    """Text of a file of unknown encoding; never fails."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace").replace("\0", "")
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding).replace("\0", "")
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes every byte")


def _bird_words(row: Mapping[str, str]) -> str:
    description = row.get("column_description", "") or row.get("column_name", "")
    values = row.get("value_description", "")
    words = f"{description} ({values})" if values and description else description or values
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1].rstrip() + "…"


def _news(description: str, name: str) -> str:
    """The description, or nothing where it says no more than the name."""
    plain = "".join(c for c in description.lower() if c.isalnum())
    return "" if plain == "".join(c for c in name.lower() if c.isalnum()) else description
