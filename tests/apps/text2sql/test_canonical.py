"""Queries that differ in spelling only become one text with the same result; nothing free survives in words."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from apps.text2sql.execution.database import open_database
from apps.text2sql.meaning.canonical import canonical
from apps.text2sql.meaning.verbalise import OTHER_VALUE, string_values, verbalise
from tests.apps.text2sql.test_linking import SCHEMA

GOLD = "SELECT name, age FROM singer WHERE age > 30 AND country = 'France' ORDER BY age DESC"


@pytest.mark.parametrize(
    "same",
    [
        'select Name,   AGE\nfrom SINGER where country="France" and age > 30 order by age desc;',
        "SELECT /* hi */ s.name, s.age FROM singer s WHERE s.age > 30 AND s.country = 'France' ORDER BY s.age DESC--x",
        "SELECT name AS a, age AS b FROM singer WHERE 30 < age AND (country = 'France') ORDER BY b DESC",
        "SELECT singer.name, age FROM singer WHERE singer.country = 'France' AND singer.age > 30 ORDER BY 2 DESC",
    ],
)
def test_spelling_makes_no_difference(same: str) -> None:
    assert canonical(same, SCHEMA) == canonical(GOLD, SCHEMA)
    assert verbalise(same, SCHEMA) == verbalise(GOLD, SCHEMA)


@pytest.mark.parametrize(
    "other",
    [
        GOLD.replace(">", ">="),
        GOLD.replace("DESC", "ASC"),
        GOLD.replace("SELECT", "SELECT DISTINCT"),
        GOLD.replace("30", "31"),
        GOLD.replace("AND", "OR"),
        GOLD.replace("name, age", "country, age"),
        GOLD + " LIMIT 1",
        GOLD.replace("France", "Spain"),
    ],
)
def test_meaning_makes_a_difference(other: str) -> None:
    assert canonical(other, SCHEMA) != canonical(GOLD, SCHEMA)
    values = string_values(GOLD, SCHEMA)
    assert verbalise(other, SCHEMA, values=values) != verbalise(GOLD, SCHEMA, values=values)


@pytest.mark.parametrize(
    ("bracketed", "plain"),
    [
        ("(a = 1 OR b = 2) AND c = 3", "a = 1 OR b = 2 AND c = 3"),
        ("NOT (a = 1 OR b = 2)", "NOT a = 1 OR b = 2"),
        ("(a = 1 AND b = 2) IS NULL", "a = 1 AND b = 2 IS NULL"),
    ],
)
def test_brackets_that_mean_something_stay(bracketed: str, plain: str) -> None:
    one, other = (f"SELECT id FROM t WHERE {condition}" for condition in (bracketed, plain))
    assert canonical(one) != canonical(other)
    assert verbalise(one) != verbalise(other)
    assert canonical(canonical(one)) == canonical(one)


def test_brackets_of_an_and_inside_an_or_mean_nothing() -> None:
    assert canonical("SELECT id FROM t WHERE a = 1 OR (b = 2 AND c = 3)") == canonical(
        "SELECT id FROM t WHERE a = 1 OR b = 2 AND c = 3"
    )


def test_words() -> None:
    values = string_values(GOLD, SCHEMA)
    assert verbalise(GOLD, SCHEMA, values=values) == (
        "show name with age from singer where age greater than 30 and country is france sorted by age descending"
    )
    patterns = {
        verbalise(f"SELECT name FROM singer WHERE name LIKE '{p}'", SCHEMA, values={"a"})
        for p in ("%a%", "a%", "%a", "a")
    }
    assert len(patterns) == 4
    assert OTHER_VALUE in verbalise(GOLD.replace("France", "Spain"), SCHEMA, values=values)
    assert (
        verbalise("SELECT count(DISTINCT country) FROM singer", SCHEMA)
        == "show number of distinct country from singer"
    )


QUESTION = "how many platypus wear hats"
PASTES = [
    f"SELECT name FROM singer -- {QUESTION}",
    f"/* {QUESTION} */ SELECT name FROM singer",
    f"SELECT '{QUESTION}' FROM singer",
    f"SELECT name FROM singer WHERE country = '{QUESTION}'",
    f"SELECT name FROM singer WHERE country IN ({', '.join(repr(word) for word in QUESTION.split())})",
    f'SELECT name FROM singer WHERE country = "{QUESTION}"',
    f'SELECT name AS "{QUESTION}" FROM singer',
    f'SELECT name AS "{QUESTION}" FROM singer ORDER BY "{QUESTION}"',
    f'SELECT "{QUESTION}".name FROM singer AS "{QUESTION}"',
    f'WITH "{QUESTION}" AS (SELECT name FROM singer) SELECT name FROM "{QUESTION}"',
    f'WITH w("{QUESTION}") AS (SELECT name FROM singer) SELECT "{QUESTION}" FROM w',
    f'SELECT "{QUESTION}" FROM (SELECT name AS "{QUESTION}" FROM singer) AS x',
    f'SELECT CAST(name AS "{QUESTION}") FROM singer',
    f"SELECT CAST(name AS {QUESTION.replace(' ', '_')}) FROM singer",
    f'SELECT sum(age) OVER "{QUESTION}" FROM singer WINDOW "{QUESTION}" AS (ORDER BY age)',
    f"SELECT x'{QUESTION.encode().hex()}' FROM singer",
    f"SELECT name FROM singer WHERE name LIKE '%{QUESTION}%' ESCAPE '!'",
    f"SELECT json_extract(name, '$.{QUESTION}') FROM singer",
    f"SELECT name -> '{QUESTION}' FROM singer",
    f"SELECT strftime('{QUESTION}', name) FROM singer",
    f'SELECT name COLLATE "{QUESTION}" FROM singer',
    f'SELECT name FROM singer INDEXED BY "{QUESTION}"',
    f"SELECT name FROM singer GROUP BY '{QUESTION}' HAVING max('{QUESTION}') > 'a'",
    "SELECT how_many_platypus(name, 'wear', 'hats') FROM singer",
]


@pytest.mark.parametrize("sql", PASTES)
@pytest.mark.parametrize("schema", [SCHEMA, None])
def test_no_word_of_a_pasted_question_is_spoken(sql: str, schema: object) -> None:
    spoken = verbalise(sql, schema, values=string_values(GOLD, SCHEMA)).casefold()  # type: ignore[arg-type]
    for word in ("platypus", "hats", "wear"):
        assert word not in spoken, spoken


def test_canonical_gives_the_same_result_on_every_spider_gold(shared: Path) -> None:
    folder = shared / "data" / "spider_dev_en"
    for row in json.loads((folder / "dev.json").read_text(encoding="utf-8"))[::3]:
        path = folder / "database" / row["db_id"] / f"{row['db_id']}.sqlite"
        database = open_database(path)
        text = canonical(row["query"], database.schema())
        assert canonical(text, database.schema()) == text
        database.close()
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        connection.text_factory = bytes
        rows = [Counter(connection.execute(sql).fetchall()) for sql in (row["query"], text)]
        connection.close()
        assert rows[0] == rows[1], text
