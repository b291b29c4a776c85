"""What counts as a table or column of a query, on small queries and on every Spider dev gold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.text2sql.execution.database import Column, Schema, Table, open_database
from apps.text2sql.execution.statement import Refused
from apps.text2sql.parts.linking import linking_score, schema_items


def table(name: str, *columns: str) -> Table:
    return Table(name, tuple(Column(column, "TEXT", False, False) for column in columns))


SCHEMA = Schema(
    "sqlite",
    (
        table("singer", "singer_id", "name", "age", "country"),
        table("concert", "concert_id", "singer_id", "year", "Stadium Name"),
    ),
    (),
)


@pytest.mark.parametrize(
    ("sql", "tables", "columns"),
    [
        ("SELECT count(*) FROM singer", {"singer"}, set()),
        ("SELECT T1.Name FROM Singer AS T1", {"singer"}, {"singer.name"}),
        ('SELECT name FROM singer WHERE country = "France"', {"singer"}, {"singer.name", "singer.country"}),
        ("SELECT name FROM singer WHERE country = 'age'", {"singer"}, {"singer.name", "singer.country"}),
        (
            "SELECT * FROM concert WHERE 1",
            {"concert"},
            {f"concert.{c}" for c in ("concert_id", "singer_id", "year", "stadium name")},
        ),
        (
            "SELECT name FROM singer JOIN concert USING (singer_id) WHERE year > 2000",
            {"singer", "concert"},
            {"singer.name", "singer.singer_id", "concert.singer_id", "concert.year"},
        ),
        (
            "WITH age AS (SELECT singer_id AS name FROM concert) SELECT name FROM age",
            {"concert"},
            {"concert.singer_id"},
        ),
        (
            "SELECT country AS year, count(*) AS age FROM singer GROUP BY country ORDER BY age",
            {"singer"},
            {"singer.country"},
        ),
        (
            "SELECT name FROM singer WHERE EXISTS (SELECT 1 FROM concert WHERE concert.singer_id = singer.singer_id)",
            {"singer", "concert"},
            {"singer.name", "singer.singer_id", "concert.singer_id"},
        ),
        ("SELECT nosuch FROM singer", {"singer"}, {"?.nosuch"}),
        ("SELECT rowid FROM singer", {"singer"}, {"singer.rowid"}),
        ('SELECT "Stadium Name" FROM concert', {"concert"}, {"concert.stadium name"}),
    ],
)
def test_items(sql: str, tables: set[str], columns: set[str]) -> None:
    items = schema_items(sql, SCHEMA)
    assert (set(items.tables), set(items.columns)) == (tables, columns)


def test_score() -> None:
    gold = "SELECT name FROM singer WHERE country = 'France'"
    assert linking_score(gold, gold, SCHEMA) == 1.0
    assert linking_score('select s.NAME from singer s where s.country="Spain"', gold, SCHEMA) == 1.0
    assert linking_score("SELECT name FROM singer", gold, SCHEMA) == pytest.approx(2 / 3)
    assert linking_score("SELECT year FROM concert", gold, SCHEMA) == 0.0
    assert linking_score("SELECT name FROM", gold, SCHEMA) == 0.0
    assert linking_score("SELECT 1", gold, SCHEMA) == 0.0
    with pytest.raises(Refused):
        linking_score(gold, "DROP TABLE singer", SCHEMA)


def test_naming_every_column_does_not_pay() -> None:
    gold = "SELECT name FROM singer"
    assert linking_score("SELECT * FROM singer", gold, SCHEMA) < 0.5


def test_every_spider_gold_resolves_completely(shared: Path) -> None:
    """The double-quoted-literal fix: without it a fifth of these golds fail or count their literals as columns."""
    folder = shared / "data" / "spider_dev_en"
    rows = json.loads((folder / "dev.json").read_text(encoding="utf-8"))
    schemas: dict[str, Schema] = {}
    for row in rows:
        name = row["db_id"]
        if name not in schemas:
            database = open_database(folder / "database" / name / f"{name}.sqlite")
            schemas[name] = database.schema()
            database.close()
        items = schema_items(row["query"], schemas[name])
        assert items.tables, row["query"]
        assert not [column for column in items.columns if column.startswith("?")], row["query"]
    assert len(rows) == 1034
