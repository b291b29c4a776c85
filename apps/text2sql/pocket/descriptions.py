"""What the tables and columns of the pocket databases mean, for prompts that describe a schema."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.en import COLUMNS
from apps.text2sql.pocket.world import DATABASES, Database, Table

_UNITS = {
    "length": "length in seconds",
    "weight": "weight in kilograms",
    "distance": "distance in kilometres",
    "area": "area in hundreds of square metres",
    "age": "age in years",
    "date": "date, as YYYY-MM-DD",
    "hours": "hours of teaching",
    "days": "for how many days",
    "nights": "for how many nights",
    "rating": "rating from 1 to 5",
    "speed": "top speed in kilometres an hour",
    "score": "score out of 100",
    "visitors": "visitors a day",
}


def _column(column: str, table: Table) -> str:
    text = _UNITS.get(column, COLUMNS[column][0])
    return f"{text} of the {table.name}" + (" (may be unknown)" if column in table.nullable else "")


def _describe(database: Database) -> dict[str, dict[str, str]]:
    described = {}
    for table in database.tables:
        columns = {"": f"one row for each {table.name}", "id": f"number of the {table.name}"}
        columns |= {column: _column(column, table) for column in table.columns}
        columns |= {f"{parent}_id": f"the {parent} that the {table.name} belongs to" for parent in table.parents}
        described[table.name] = columns
    return described


# Database -> table -> column -> description; the column "" is the table itself.
DESCRIPTIONS: dict[str, dict[str, dict[str, str]]] = {name: _describe(db) for name, db in DATABASES.items()}
