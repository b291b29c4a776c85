"""Fills the databases of the pocket world and writes them as SQLite files: the same bytes on every call."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import tempfile
from collections.abc import Collection, Iterable
from functools import cache, lru_cache
from pathlib import Path

from apps.text2sql.pocket.concepts import DATE, NUMBER, SPANS, TEXT, THINGS, YEAR
from apps.text2sql.pocket.meaning import Value
from apps.text2sql.pocket.recombine import find_database
from apps.text2sql.pocket.world import DATABASES, Database, Table
from common.errors import UsageError
from common.files import write_bytes

POOLS: dict[str, str] = {
    "person": "Anna Ben Carla David Emma Felix Grace Hugo Ines Jack Kate Leo Mia Nina Oscar Paul Rosa Sam Tina Vera "
    "Will Yuki Zoe Amir Bao Dora Finn Gina Hana Ivan Lina Marco Noah Olga Pablo Rita",
    "brand": "Alpha Nova Orion Luna Delta Metro Royal Sunrise Vega Atlas Lotus Prime Echo Summit Coral Zenith",
    "team": "Lions Eagles Tigers Sharks Wolves Bears Hawks Rockets",
    "work": "Blue_River Night_Rain Golden_Sky Lost_City Silent_Sea Red_Moon First_Snow Wild_Roses Last_Train "
    "Green_Hills Dark_Forest Summer_Wind White_Bird Long_Road Old_Bridge New_Day Small_World "
    "Deep_Water Stone_Garden Winter_Light Broken_Clock Bright_Star Hidden_Door Quiet_Street Magic_Box Paper_Moon",
    "course": "Algebra Biology Chemistry Physics History Music Drama Latin Geometry Poetry Economics Robotics",
    "product": "Lamp Chair Table Pencil Bag Cup Clock Shirt Basket Hat Desk Mirror Blanket Bottle Candle Honey Vase",
    "dish": "Soup Pizza Salad Curry Pasta Rice Steak Sushi Tacos Stew Noodles Risotto Omelet Burger Lasagna Ramen",
    "animal": "Bella Rex Max Coco Simba Milo Lola Rocky Nala Toby Daisy Bruno Ruby Oreo Kiki Pepper Ginger Sunny",
    "vehicle": "Comet Falcon Puma Spark Breeze Storm Swift Titan Arrow Pearl Dart Fox Cobra Nomad Pilot Raven",
    "department": "Sales Finance Research Legal Marketing Design Support Security Training Logistics",
    "city": "Paris Rome Berlin Tokyo Madrid Hanoi London Oslo Lima",
    "country": "France Italy Germany Japan Spain Vietnam China Peru",
    "color": "red blue green black white",
    "genre": "rock jazz pop folk",
    "level": "basic middle advanced",
    "animal_type": "lion horse goat bear zebra",
    "account_type": "savings current student business",
    "room_type": "single double suite family",
}
_TYPES = {NUMBER: "INTEGER", YEAR: "INTEGER", DATE: "TEXT", TEXT: "TEXT"}
_ROWS = (8, 14, 24)


def _pool(name: str) -> list[str]:
    return [word.replace("_", " ") for word in POOLS[name].split()]


def _texts(table: Table, column: str, rows: int, rng: random.Random) -> list[Value]:
    thing = THINGS[table.name]
    if column in ("name", "title"):
        pool = _pool(thing.names)
        rng.shuffle(pool)
        values: list[Value] = list(pool[:rows])
        while len(values) < rows:  # more rows than words: some names are shared
            values.append(rng.choice(pool))
        if rows > 8 and thing.kind in ("person", "thing"):
            values[rows // 2] = values[1]
        return values
    pool = _pool(thing.types if column == "type" else column)
    rng.shuffle(pool)
    pool = pool[: max(3, min(len(pool), rows // 3 + 1))]
    # Uneven shares, so that "the most common" has one answer and counts differ.
    weights = [2.2 / (1 + 0.6 * place) for place in range(len(pool))]
    return list(rng.choices(pool, weights, k=rows))


def _numbers(table: Table, column: str, rows: int, rng: random.Random) -> list[Value]:
    concept = table.concept(column)
    low, high, step = SPANS.get((table.name, column), concept.span)
    count = round((high - low) / step) + 1
    grid: list[Value] = [
        round(low + step * i, 1) if isinstance(step, float) else int(low + step * i) for i in range(count)
    ]
    if column not in table.nullable and len(grid) >= rows and column == _first_number(table):
        return rng.sample(grid, rows)  # no ties: one highest and one lowest
    # Elsewhere values are drawn from few levels: there are duplicates and ties.
    levels = rng.sample(grid, min(len(grid), max(5, rows * 2 // 3)))
    return rng.choices(levels, k=rows)


def _first_number(table: Table) -> str:
    numbers = (c for c in table.columns if table.concept(c).kind in (NUMBER, YEAR) and c not in table.nullable)
    return next(numbers, "")


def _dates(rows: int, rng: random.Random) -> list[Value]:
    days: list[Value] = [
        f"{rng.choice((2021, 2022, 2023))}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        for _ in range(rows * 2 // 3 + 1)
    ]
    return rng.choices(days, k=rows)


def _foreign_keys(parent_rows: int, rows: int, rng: random.Random) -> list[Value]:
    """Some parents have no children, the others have different numbers of them."""
    with_children = rng.sample(range(1, parent_rows + 1), parent_rows - max(1, parent_rows // 6))
    weights = [1 + 2.5 * rng.random() for _ in with_children]
    return list(rng.choices(with_children, weights, k=rows))


def table_rows(database: Database) -> dict[str, list[dict[str, Value | None]]]:
    """The contents of every table, made from nothing but names and fixed numbers."""
    contents: dict[str, list[dict[str, Value | None]]] = {}
    for place, table in enumerate(database.tables):
        count = _ROWS[place] if table.parents or place == 0 else _ROWS[0] + 2 * place
        rng = random.Random(f"pocket/{database.name}/{table.name}")
        columns: dict[str, list[Value | None]] = {"id": list(range(1, count + 1))}
        for column in table.columns:
            kind = table.concept(column).kind
            if kind == TEXT:
                values = _texts(table, column, count, rng)
            elif kind == DATE:
                values = _dates(count, rng)
            else:
                values = _numbers(table, column, count, rng)
            columns[column] = list(values)
            if column in table.nullable:
                for row in rng.sample(range(count), max(1, count // 7)):
                    columns[column][row] = None
        for parent in table.parents:
            columns[f"{parent}_id"] = list(_foreign_keys(len(contents[parent]), count, rng))
        contents[table.name] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return contents


def creation_script(database: Database) -> str:
    """`CREATE TABLE` statements, with types, keys and NOT NULL."""
    statements = []
    for table in database.tables:
        lines = ["id INTEGER PRIMARY KEY"]
        for column in table.columns:
            concept = table.concept(column)
            sql_type = "REAL" if isinstance(concept.span[2], float) else _TYPES[concept.kind]
            sql_type = "DATE" if concept.kind == DATE else sql_type
            lines.append(f"{column} {sql_type}{'' if column in table.nullable else ' NOT NULL'}")
        lines += [f"{parent}_id INTEGER NOT NULL REFERENCES {parent}(id)" for parent in table.parents]
        statements.append(f"CREATE TABLE {table.name} ({', '.join(lines)});")
    return "\n".join(statements)


def fill(connection: sqlite3.Connection, database: Database) -> None:
    """Create and fill the tables in an empty SQLite database."""
    connection.executescript(creation_script(database))
    for name, rows in table_rows(database).items():
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", [tuple(row.values()) for row in rows])
    connection.commit()


def _signature(database: Database) -> int:
    """What the file must hold: kept in SQLite's `user_version`, so that a file of an older world is rebuilt."""
    text = creation_script(database) + repr(table_rows(database))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def _current(path: Path, signature: int) -> bool:
    try:
        header = path.read_bytes()[:64]
    except OSError:
        return False
    # SQLite's file format: the magic text, and the user version at byte 60.
    return header[:16] == b"SQLite format 3\x00" and int.from_bytes(header[60:64], "big") == signature


def _build(path: Path, database: Database, signature: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / path.name
        connection = sqlite3.connect(scratch)
        connection.execute("PRAGMA synchronous = OFF")  # a scratch file: a torn one is thrown away
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA page_size = 1024")
        connection.execute(f"PRAGMA user_version = {signature}")
        fill(connection, database)
        connection.execute("VACUUM")
        connection.close()
        data = bytearray(scratch.read_bytes())
    # Bytes 24-27, 92-95 (change counters) and 96-99 (SQLite's version) vary with the library: make them constant.
    data[24:28] = data[92:96] = (1).to_bytes(4, "big")
    data[96:100] = (3_040_000).to_bytes(4, "big")
    write_bytes(path, bytes(data))


def build_databases(folder: Path, names: Iterable[str] = tuple(DATABASES)) -> dict[str, Path]:
    """Write every pocket database that is missing or out of date.

    Args:
        folder: where `<name>.sqlite` go; made if absent.
        names: which ones.

    Returns:
        The file of each database.
    """
    paths = {}
    for name in names:
        path = Path(folder) / f"{name}.sqlite"
        signature = _cached_signature(name)
        if not _current(path, signature):
            _build(path, find_database(name), signature)
        paths[name] = path
    return paths


@cache
def _cached_signature(name: str) -> int:
    return _signature(find_database(name))


@lru_cache(maxsize=1)
def default_folder() -> Path:
    """`assets/text2sql/databases` of the checkout if complete or writable, else a folder of the user's cache."""
    root = Path(__file__).resolve().parents[3]
    folder = root / "assets" / "text2sql" / "databases"
    if (root / "pyproject.toml").is_file():
        complete = all(_current(folder / f"{name}.sqlite", _cached_signature(name)) for name in DATABASES)
        if complete or os.access(folder if folder.is_dir() else root, os.W_OK):
            return folder
    return _cache_folder()


def _cache_folder() -> Path:
    home = Path.home() / ".cache"
    try:
        home.mkdir(parents=True, exist_ok=True)
        writable = os.access(home, os.W_OK)
    except OSError:
        writable = False
    return (home if writable else _temporary()) / "touchstone" / "text2sql" / "databases"


def _temporary() -> Path:
    """A folder of this user's below the one for temporary files, in which everybody writes.

    Raises:
        UsageError: somebody else made it.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"touchstone-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != user):
        raise UsageError(f"{folder} belongs to somebody else; remove it, or set HOME to a folder that can be written")
    return folder


def database_files(names: Collection[str], folder: Path | None = None) -> dict[str, Path]:
    """The files of these databases, written where missing: in `folder`, or else the named ones in
    `default_folder()` and the recombined ones in the user's cache.
    """
    named = sorted(name for name in names if name in DATABASES)
    recombined = sorted(name for name in names if name not in DATABASES)
    paths = build_databases(folder or default_folder(), named)
    return paths | build_databases(folder or _cache_folder(), recombined)
