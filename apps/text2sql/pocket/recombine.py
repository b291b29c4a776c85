"""Databases by the hundred for demonstrations: known things and properties, drawn at random into new company.

A model that sees eighteen schemas learns them by heart; one that sees hundreds has to read the schema it is shown.
"""

from __future__ import annotations

import random
from functools import cache

from apps.text2sql.pocket.concepts import NUMBER, PROPERTIES, THINGS, YEAR
from apps.text2sql.pocket.world import DATABASES, HELD_OUT_DATABASES, Database, Table

RECOMBINED: tuple[str, ...] = tuple(f"mix{number:03d}" for number in range(300))

# What can be said of a kind of thing, besides what the named databases say of the thing itself.
_PROPERTIES = {
    "person": "age salary score weight country city points",
    "animal": "age weight color price speed",
    "place": "city country area capacity seats stars rating visitors floor budget",
    "group": "city country points budget rating year",
    "thing": "price date year rating",
    "event": "date price days quantity score",
}
# A foreign key leads from a later kind to an earlier one: songs have singers, singers have no songs.
_LEVELS = {"place": 0, "group": 0, "person": 1, "animal": 2, "thing": 2, "event": 3}


def find_database(name: str) -> Database:
    """A database by name, whether drawn up by hand or recombined.

    Raises:
        KeyError: there is none of this name.
    """
    if name in DATABASES:
        return DATABASES[name]
    if name not in RECOMBINED:
        raise KeyError(name)
    return _recombined(name)


@cache
def _recombined(name: str) -> Database:
    rng = random.Random(f"pocket/recombined/{name}")
    while True:
        database = _draw(name, rng)
        if database is not None and not _resembles_held_out(database):
            return database


def _kind(thing: str) -> str:
    return THINGS[thing].kind if THINGS[thing].names or THINGS[thing].types else "event"


@cache
def _known_columns(thing: str) -> tuple[str, ...]:
    """Every property that the thing has in a named database or could have by its kind; labels are left out."""
    found = {column for db in DATABASES.values() for t in db.tables if t.name == thing for column in t.columns}
    found |= set(_PROPERTIES[_kind(thing)].split())
    return tuple(sorted(found - {"name", "title", "type"}))


@cache
def _labels(thing: str) -> tuple[str, ...]:
    label = {"": (), "work": ("title",), "course": ("title",)}.get(THINGS[thing].names, ("name",))
    return label + (("type",) if THINGS[thing].types else ())


def _draw(name: str, rng: random.Random) -> Database | None:
    things = sorted(rng.sample(sorted(THINGS), 3), key=lambda thing: _LEVELS[_kind(thing)])
    tables: list[Table] = []
    for place, thing in enumerate(things):
        above = [t for t in things[:place] if _LEVELS[_kind(t)] < _LEVELS[_kind(thing)]]
        if place and not above:
            return None  # every table but the first belongs to another
        roll = rng.random()
        parents = tuple(above) if roll < 0.25 else tuple(above[-1:]) if roll < 0.8 else tuple(above[:1])
        labels = _labels(thing)
        columns = rng.sample(_known_columns(thing), rng.randint(1, 3) if labels else 2)
        shown = (*labels, *columns)
        optional = [c for c in columns if PROPERTIES[c].kind in (NUMBER, YEAR)]
        nullable = frozenset(rng.sample(optional, 1)) if optional and rng.random() < 0.5 else frozenset()
        tables.append(Table(thing, shown, nullable, parents))
    return Database(name, tuple(tables))


def _resembles_held_out(database: Database) -> bool:
    """The same three tables as a held-out database has."""
    tables = {t.name for t in database.tables}
    return any(tables == {t.name for t in DATABASES[held].tables} for held in HELD_OUT_DATABASES)
