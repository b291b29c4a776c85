from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from apps.text2sql.data import load_examples
from apps.text2sql.data_config import DataConfig
from apps.text2sql.execution.statement import parse_query
from apps.text2sql.measures.hardness import Counts, count, hardness
from tests.apps.text2sql import spider_script


@pytest.mark.parametrize(
    ("sql", "grade"),
    [
        ("SELECT name FROM singer", "easy"),
        ("SELECT count(*) FROM singer WHERE age > 3", "easy"),
        ("SELECT name, age FROM singer WHERE age > 3", "medium"),
        ("SELECT country, count(*) FROM singer GROUP BY country", "medium"),
        ("SELECT T1.name FROM a AS T1 JOIN b AS T2 ON T1.id = T2.id WHERE T2.x = 1", "medium"),
        ("SELECT name FROM a GROUP BY name ORDER BY count(*) DESC LIMIT 1", "hard"),
        ("SELECT name FROM a WHERE x > (SELECT avg(x) FROM a)", "hard"),
        ("SELECT name FROM a EXCEPT SELECT name FROM b", "hard"),
        ("SELECT name, x FROM a WHERE x > (SELECT avg(x) FROM a) AND y = 1", "extra"),
        ("SELECT a.n FROM a JOIN b ON a.i = b.i JOIN c ON c.i = b.i WHERE c.x = 1 GROUP BY a.n LIMIT 2", "extra"),
        ("WITH t AS (SELECT 1 AS x) SELECT x FROM t", "easy"),
        ("(VALUES (1))", "easy"),
        ("not a query", ""),
    ],
)
def test_grades(sql: str, grade: str) -> None:
    assert hardness(sql) == grade


def test_a_word_in_a_literal_is_no_clause() -> None:
    assert hardness("SELECT name FROM a WHERE x = 'ORDER BY (SELECT LIKE OR'") == "easy"


def test_the_pocket_worlds_grades_are_the_same() -> None:
    examples = load_examples(DataConfig(format="pocket", split="heldout", languages=["en"], limit=300))
    grades = [hardness(example.sql) for example in examples]
    assert set(grades) == {"easy", "medium", "hard", "extra"}
    assert grades == [example.hardness for example in examples]


def test_every_count_agrees_with_the_script_on_spider_dev(shared: Path) -> None:
    rows = json.loads((shared / "data/spider_dev_en/dev.json").read_text(encoding="utf-8"))
    ours = [count(parse_query(row["query"]).tree) for row in rows]
    theirs = [Counts(*spider_script.counts(row["sql"])) for row in rows]
    # Spider's parser loses the OR between the two join conditions of four queries; their grade is the same.
    differing = [row["query"] for row, own, other in zip(rows, ours, theirs, strict=True) if own != other]
    assert len(differing) == 4
    assert all(" ON " in query and " OR " in query for query in differing)
    assert [own.grade for own in ours] == [other.grade for other in theirs]
    assert Counter(own.grade for own in ours) == {"easy": 248, "medium": 446, "hard": 174, "extra": 166}
