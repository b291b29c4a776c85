"""The databases of the pocket world: which tables each has, and what each is used for."""

from __future__ import annotations

from dataclasses import dataclass

from apps.text2sql.pocket.concepts import PROPERTIES, Property


@dataclass(frozen=True)
class Table:
    """A table: its own `id`, its properties, then a foreign key `<parent>_id` for each parent.

    Attributes:
        name: a key of `concepts.THINGS`.
        columns: keys of `concepts.PROPERTIES`.
        nullable: those of `columns` that hold NULLs.
        parents: tables that the foreign keys point to; a foreign key is never NULL.
    """

    name: str
    columns: tuple[str, ...]
    nullable: frozenset[str]
    parents: tuple[str, ...]

    def concept(self, column: str) -> Property:
        """The concept behind one of the columns."""
        return PROPERTIES[column]

    @property
    def label(self) -> str:
        """The column by which a speaker names a row: its name or title, else its first column."""
        return next((c for c in self.columns if c in ("name", "title")), self.columns[0])


@dataclass(frozen=True)
class Database:
    """A database of the pocket world; tables in the order in which they are created."""

    name: str
    tables: tuple[Table, ...]

    def __getitem__(self, table: str) -> Table:
        return next(t for t in self.tables if t.name == table)

    def children(self, table: str) -> tuple[Table, ...]:
        """Tables with a foreign key to `table`."""
        return tuple(t for t in self.tables if table in t.parents)


def _table(text: str) -> Table:
    name, _, rest = text.partition(": ")
    words = rest.split()
    columns = tuple(w.rstrip("?") for w in words if not w.startswith(">"))
    nullable = frozenset(w.rstrip("?") for w in words if w.endswith("?"))
    return Table(name, columns, nullable, tuple(w[1:] for w in words if w.startswith(">")))


# `price?` holds NULLs; `>singer` is a foreign key singer_id.
_SPECIFICATION = {
    "music": ("label: name city", "singer: name age? country >label", "song: title year length? >singer"),
    "concerts": ("hall: name city capacity", "band: name genre country", "concert: date price? >hall >band"),
    "school": ("teacher: name age salary", "course: title level hours? >teacher", "student: name age score? >course"),
    "hospital": ("doctor: name age salary", "patient: name weight? city", "visit: date price? >doctor >patient"),
    "shop": ("shop: name city area?", "product: name price color >shop", "sale: date quantity? >product"),
    "library": ("author: name country age?", "book: title year pages? >author", "loan: date days? >book"),
    "flights": (
        "airline: name country",
        "airport: name city country",
        "flight: date distance price? >airline >airport",
    ),
    "football": (
        "stadium: name city capacity?",
        "team: name points >stadium",
        "player: name age goals? country >team",
    ),
    "cinema": ("film: title year rating?", "cinema: name city seats", "screening: date price? >film >cinema"),
    "zoo": ("zoo: name city area", "keeper: name age salary? >zoo", "animal: name type weight? >keeper"),
    "restaurant": (
        "restaurant: name city rating?",
        "chef: name age country >restaurant",
        "dish: name price calories? >chef",
    ),
    "bank": ("bank: name city", "client: name age country >bank", "account: type balance date? >client"),
    "hotel": ("hotel: name city stars?", "room: type price floor >hotel", "booking: date nights? >room"),
    "museum": ("museum: name city visitors?", "artist: name country", "painting: title year price? >artist >museum"),
    "farm": ("farmer: name age city", "farm: name area >farmer", "animal: name type weight? >farm"),
    "cars": ("brand: name country", "car: name color price year? >brand", "rental: date days? >car"),
    "company": (
        "company: name city",
        "department: name floor budget? >company",
        "employee: name age? salary >department",
    ),
    "trains": ("station: name city country", "train: name speed seats? >station", "ticket: date price? >train"),
    "safari": ("keeper: name age salary?", "animal: name type weight? >keeper", "visit: date price? >animal"),
    "league": ("team: name city points", "player: name age goals? >team", "rental: date days? >player"),
    "garage": ("brand: name country", "car: name color year? >brand", "visit: date price >car"),
    "press": ("author: name country age?", "book: title pages? price >author", "sale: date quantity? >book"),
    # Held out: the same, and never trained on.
    "opera": ("hall: name city seats", "singer: name age salary? >hall", "concert: title date price? >singer"),
    "market": ("farmer: name age? country", "product: name price color >farmer", "sale: date quantity? >product"),
    "clinic": ("doctor: name city salary", "animal: name type age?", "visit: date price? >doctor >animal"),
}

DATABASES: dict[str, Database] = {
    name: Database(name, tuple(_table(text) for text in tables)) for name, tables in _SPECIFICATION.items()
}
HELD_OUT_DATABASES: tuple[str, ...] = ("opera", "market", "clinic")
TRAINING_DATABASES: tuple[str, ...] = tuple(name for name in DATABASES if name not in HELD_OUT_DATABASES)
