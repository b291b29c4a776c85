"""Targets that read text: SQL that a model wrote, answers to medical questions, prompts of scenes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.fuzz.harness import Target
from tests.fuzz.mutations import texts

QUERIES = [
    "SELECT count(*) FROM singer",
    "SELECT name, age FROM singer WHERE country = 'France' AND age > 20 ORDER BY age DESC LIMIT 3",
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer GROUP BY T1.id HAVING count(*) >= 2",
    "WITH a AS (SELECT id FROM singer UNION ALL SELECT singer FROM concert) SELECT * FROM a WHERE id NOT IN (1, 2)",
    "SELECT CASE WHEN age BETWEEN 1 AND 9 THEN 'x' ELSE NULL END, CAST(age AS REAL), x'00ff', \"name\" FROM singer",
    "SELECT avg(age) OVER (PARTITION BY country ORDER BY age ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM singer",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n -- comment",
    "DELETE FROM singer; DROP TABLE concert",
    "<think>so</think><answer>```sql\nSELECT 1;\n```</answer>",
]
WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT",
    "NATURAL",
    "CROSS",
    "ON",
    "USING",
    "UNION",
    "ALL",
    "EXCEPT",
    "INTERSECT",
    "WITH",
    "RECURSIVE",
    "AS",
    "DISTINCT",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "AND",
    "OR",
    "NOT",
    "IN",
    "EXISTS",
    "LIKE",
    "GLOB",
    "BETWEEN",
    "IS",
    "NULL",
    "(",
    ")",
    ",",
    ";",
    ".",
    "*",
    "=",
    "<>",
    "<",
    ">=",
    "||",
    "+",
    "-",
    "/",
    "%",
    "~",
    "&",
    "'",
    '"',
    "`",
    "[",
    "]",
    "--",
    "/*",
    "*/",
    ":x",
    "?1",
    "@v",
    "$1",
    "0x1F",
    "1e9",
    ".5",
    "count(",
    "max(",
    "printf(",
    "randomblob(",
    "load_extension(",
    "pragma_table_info(",
    "VALUES",
    "INSERT",
    "UPDATE",
    "DELETE",
    "ATTACH",
    "PRAGMA",
    "EXPLAIN",
    "VACUUM",
    "singer",
    "concert",
    "name",
    "age",
    "id",
    "x'00'",
    "N'é'",
    "INTERVAL",
    "ARRAY[",
    "::",
    "->",
    "->>",
    "@>",
    "OVER",
    "(",
    "PARTITION",
    "WINDOW",
    "FILTER",
    "LATERAL",
    "QUALIFY",
    "TABLESAMPLE",
    "PIVOT",
    "UNNEST",
    "GENERATE_SERIES",
    "COLLATE",
    "ESCAPE",
]

ANSWERS = [
    "No acute cardiopulmonary process; the previously seen 3 x 4.5 cm mass in the right upper lobe has resolved.",
    "There is a small left pleural effusion, no pneumothorax.",
    "yes", "C", "B. bilateral", "about 1.5-2 cm (15 to 20 mm)", "grade III/IV", "T2-weighted axial MRI of the brain",
    "<think>left or right?</think><answer>the left kidney</answer>", "{\"answer\": \"liver\"}", "\\boxed{42}",
]  # fmt: skip
CLINICAL = [
    "no",
    "not",
    "without",
    "absent",
    "left",
    "right",
    "bilateral",
    "upper",
    "lower",
    "lobe",
    "kidney",
    "liver",
    "mm",
    "cm",
    "3.5",
    "1/2",
    "½",
    "grade",
    "stage",
    "T1",
    "T2",
    "and",
    "or",
    "mild",
    "severe",
    "<answer>",
    "</answer>",
    "<think>",
    "</think>",
    "A)",
    "B.",
    "(c)",
    ";",
    ":",
    "-",
    "--",
    "–",
    "—",
    "/",
    "%",
    "°",
    "±",
    "<",
    ">",
    "≥",
    "x",
    "×",
    "the",
    "of",
    "a",
    "is",
    "are",
    "there",
    "years",
    "old",
]

PROMPTS = [
    "a red cube left of a blue sphere",
    "three small green cones on top of a large yellow cylinder, and a purple torus behind them",
    "two boxes that are not red, one of them inside a bowl",
    "a photo of a hamburger with lettuce, 4k, trending",
]
SCENE = [
    "a",
    "an",
    "the",
    "one",
    "two",
    "three",
    "ten",
    "hundred",
    "999999",
    "red",
    "blue",
    "green",
    "cube",
    "cubes",
    "sphere",
    "cone",
    "torus",
    "cylinder",
    "left",
    "right",
    "of",
    "on",
    "top",
    "under",
    "behind",
    "in",
    "front",
    "between",
    "above",
    "below",
    "next",
    "to",
    "and",
    ",",
    ".",
    ";",
    "not",
    "no",
    "without",
    "that",
    "is",
    "are",
    "it",
    "them",
    "small",
    "large",
    "each",
    "other",
]


def sql() -> Target:
    from apps.text2sql.execution.extraction import extract_sql
    from apps.text2sql.execution.statement import Refused, parse_query, strip_distinct, translate
    from apps.text2sql.meaning.canonical import canonical
    from apps.text2sql.meaning.verbalise import string_values, verbalise
    from apps.text2sql.measures.clauses import read_clauses

    schema = _schema()

    def parse(value: tuple[str, str]) -> None:
        text, dialect = value
        extracted = extract_sql(text)
        assert extracted is None or isinstance(extracted, str)
        statement = parse_query(text, dialect)
        assert parse_query(statement.sql, dialect).key == statement.key
        for read in (
            lambda: strip_distinct(statement),
            lambda: translate(statement, "duckdb"),
            lambda: canonical(text, schema, dialect),
            lambda: string_values(text, schema, dialect),
            lambda: verbalise(text, schema, dialect=dialect),
            lambda: read_clauses(text, schema, dialect),
        ):
            try:
                read()
            except Refused:
                continue

    dialects = st.sampled_from(["sqlite", "sqlite", "sqlite", "postgres", "mysql", "duckdb"])
    return Target(st.tuples(texts(QUERIES, WORDS), dialects), parse, (Refused,), examples=60)


def queries() -> Target:
    """The same texts, run: whatever a query says, the database answers within its limits."""
    import sqlite3
    import tempfile
    from pathlib import Path

    from apps.text2sql.execution.database import Limits, open_database

    path = Path(tempfile.mkdtemp(prefix="touchstone-fuzz-")) / "music.sqlite"
    with sqlite3.connect(path) as made:
        made.executescript(_TABLES)
        made.execute("INSERT INTO singer VALUES (1, 'Ann', 30, 'France'), (2, 'Bo', NULL, x'ff')")
        made.execute("INSERT INTO concert VALUES (1, 1, '2020-01-01')")
    before = path.read_bytes()
    database = open_database(str(path), Limits(seconds=0.5))

    def parse(text: str) -> None:
        found = database.run(text)
        assert found.status in ("ok", "invalid", "rejected", "error", "limit", "timeout"), found
        assert found.ok or found.reason
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    return Target(texts(QUERIES, WORDS), parse, (), examples=40)


def answers() -> Target:
    from apps.medvqa.answers import AnswerScorer
    from common.errors import RewardError

    scorer = AnswerScorer()
    said = texts(ANSWERS, CLINICAL)
    completion: Any = said | st.builds(lambda text: [{"role": "assistant", "content": text}], said)

    def parse(value: tuple[Any, str, str, list[str]]) -> None:
        found = scorer.score(*value)
        assert 0 <= found.score <= 1
        assert all(0 <= part <= 1 for part in found.parts.values() if part == part), found.parts

    question = st.sampled_from(["", "What is abnormal? A: mass, B: effusion", "Is there a mass?"]) | said
    return Target(
        st.tuples(completion, said, question, st.lists(said, max_size=3)), parse, (RewardError,), examples=60
    )


def prompts() -> Target:
    from apps.text3d.prompts import parse as read
    from apps.text3d.prompts import questions, write

    def parse(text: str) -> None:
        prompt = read(text)
        questions.questions(prompt, 30.0, contrasts=True)
        again = write(prompt)
        assert bool(again) == bool(prompt.objects)
        if again and not prompt.unknown:
            assert read(again) == prompt

    return Target(texts(PROMPTS, SCENE), parse, examples=60)


_TABLES = """CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INT, country TEXT);
    CREATE TABLE concert (id INTEGER PRIMARY KEY, singer INT REFERENCES singer(id), held DATE);"""


def _schema() -> Any:
    import sqlite3

    from apps.text2sql.execution.sqlite import read_schema

    with sqlite3.connect(":memory:") as made:
        made.executescript(_TABLES)
        return read_schema(made)
