from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from sqlglot import exp

from apps.text2sql.data import Example, load_examples
from apps.text2sql.data_config import DataConfig, PromptConfig
from apps.text2sql.execution.database import Column, Execution, ForeignKey, Schema, Table
from apps.text2sql.execution.statement import extract_sql, parse_query
from apps.text2sql.parts.partial import is_well_formed
from apps.text2sql.prompts import messages, target
from apps.text2sql.schemas.retrieval import ValueIndex, distinct_values, value_index
from apps.text2sql.schemas.schema import compact, ddl, mschema
from apps.text2sql.schemas.schema_cache import database_view
from tests.apps.text2sql.data_folders import bird_folder, write_database

ODD = Schema(
    "sqlite",
    (
        Table("order", (Column("id", "INTEGER", True), Column("Home Town", "TEXT"), Column('say "hi"', ""))),
        Table(
            "line", (Column("order_id", "INT", True), Column("n", "INT", True), Column("sku", "TEXT", not_null=True))
        ),
        Table("item", (Column("id", "INT", True), Column("code", "TEXT"))),
    ),
    (ForeignKey("line", "order_id", "order", "id"), ForeignKey("line", "sku", "item", "code")),
)


def example(path: Path, question: str = "How many?", evidence: str = "") -> Example:
    return Example("1", question, "en", "music", path, "SELECT 1", evidence)


def test_compact_is_one_line_a_table_with_keys(tmp_path: Path) -> None:
    view = database_view(write_database(tmp_path / "music.sqlite"))
    assert compact(view.schema) == "country: id name\nsinger: id name age country_id>country"


def test_the_pocket_prompt_is_the_schema_and_the_question_on_one_line(tmp_path: Path) -> None:
    (message,) = messages(example(write_database(tmp_path / "music.sqlite"), "How\nmany ?"))
    assert message["role"] == "user"
    assert message["content"].splitlines() == [
        "country: id name",
        "singer: id name age country_id>country",
        "How many ?",
    ]


def test_odd_names_are_quoted_and_keys_without_primary_key_are_named() -> None:
    assert compact(ODD).splitlines() == [
        '"order": id "Home Town" "say ""hi"""',
        'line: order_id>"order" n sku>item.code',
        "item: id code",
    ]


def test_ddl_runs_as_sql_and_builds_the_same_schema(tmp_path: Path) -> None:
    file = tmp_path / "odd.sqlite"
    connection = sqlite3.connect(file)
    connection.executescript(ddl(ODD))
    connection.close()
    view = database_view(file)
    assert [(t.name, [(c.name, c.primary_key) for c in t.columns]) for t in view.schema.tables] == [
        (t.name, [(c.name, c.primary_key) for c in t.columns]) for t in ODD.tables
    ]
    assert set(view.schema.foreign_keys) == set(ODD.foreign_keys)


def test_ddl_shows_descriptions_and_values_as_comments(tmp_path: Path) -> None:
    path = bird_folder(tmp_path) / "dev_databases/music/music.sqlite"
    view = database_view(path, "music", 2)
    text = ddl(view.schema, view.values)
    assert "  age INTEGER, -- age in years (≥ 18 always); e.g. 30, 41" in text
    # A description that only repeats the name is left out.
    assert "  name TEXT, -- e.g. 'Joe Sharp', 'Rose White'" in text
    assert "FOREIGN KEY (country_id) REFERENCES country (id)" in text


def test_values_with_quotes_and_line_breaks_stay_on_one_line() -> None:
    text = ddl(ODD, {("item", "code"): ("it's\na --trap", "x" * 100, b"\x01\x02", None)})
    line = next(line for line in text.splitlines() if line.lstrip().startswith("code"))
    assert "'it''s a --trap'" in line
    assert len(line) < 120
    sqlite3.connect(":memory:").executescript(text)


def test_mschema_follows_xiyans_layout(tmp_path: Path) -> None:
    path = bird_folder(tmp_path) / "dev_databases/music/music.sqlite"
    view = database_view(path, "music", 2)
    assert mschema(view.schema, "music", view.values).splitlines() == [
        "【DB_ID】 music",
        "【Schema】",
        "# Table: country",
        "[",
        "(id:INTEGER, Primary Key, Examples: [1, 2]),",
        "(name:TEXT, the country’s name (é), Examples: [France, Japan])",
        "]",
        "# Table: singer",
        "[",
        "(id:INTEGER, Primary Key, Examples: [1, 2]),",
        "(name:TEXT, Examples: [Joe Sharp, Rose White]),",
        "(age:INTEGER, age in years (≥ 18 always), Examples: [30, 41]),",
        "(country_id:INTEGER, Examples: [1, 2])",
        "]",
        "【Foreign keys】",
        "singer.country_id=country.id",
    ]


@pytest.mark.parametrize("schema", ["ddl", "mschema", "compact"])
def test_the_reasoning_prompt_holds_schema_hint_values_and_question(tmp_path: Path, schema: str) -> None:
    path = write_database(tmp_path / "music.sqlite")
    asked = example(path, "How old is Rose White?", "old means age")
    text = messages(asked, PromptConfig("reasoning", schema=schema))[0]["content"]  # type: ignore[arg-type]
    for part in (
        "SQLite",
        "singer",
        "country_id",
        "Hint: old means age",
        "Question: How old is Rose White?",
        "<think>",
    ):
        assert part in text
    assert "- singer.name = 'Rose White'" in text
    assert "SELECT 1" not in text  # the gold
    plain = PromptConfig("reasoning", schema=schema, hits=0)  # type: ignore[arg-type]
    assert "may mean" not in messages(asked, plain)[0]["content"]


@pytest.mark.parametrize("style", ["pocket", "reasoning"])
def test_the_taught_completion_is_well_formed_and_holds_the_query(style: str) -> None:
    completion = target("SELECT 1", style)
    assert extract_sql(completion) == "SELECT 1"
    assert is_well_formed(completion, style)


def test_a_changed_database_is_read_again(tmp_path: Path) -> None:
    path = write_database(tmp_path / "music.sqlite")
    before = messages(example(path))[0]["content"]
    write_database(
        path, "CREATE TABLE album (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO album VALUES (1, 'Thriller');"
    )
    after = messages(example(path))[0]["content"]
    assert "album: id title" in after
    assert "album" not in before
    assert [hit.value for hit in value_index(path).search("who sang thriller")] == ["Thriller"]


def test_spiders_keys_and_words_come_from_tables_json(shared: Path) -> None:
    folder = shared / "data/spider_dev_en/database"
    # This database file declares no foreign keys.
    schema = database_view(folder / "concert_singer/concert_singer.sqlite", "concert_singer").schema
    assert "Singer_ID>singer" in compact(schema)
    columns = {column.name: column for table in schema.tables for column in table.columns}
    assert columns["Is_male"].description == ""
    car = database_view(folder / "car_1/car_1.sqlite", "car_1").schema
    words = {column.name: column.description for table in car.tables for column in table.columns}
    assert words["MPG"] == "" or words["MPG"].lower() != "mpg"
    assert words["Edispl"].lower() != "edispl"


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("How old is joe sharp?", "Joe Sharp"),
        ("Wie viele Sänger kommen aus Cote d'Ivoire?", "Côte d'Ivoire"),
        ("東京子は何歳ですか", "東京子"),
        ("How many singers are from Franc?", "France"),
    ],
)
def test_values_are_found_in_any_language_and_spelling(tmp_path: Path, question: str, value: str) -> None:
    hits = value_index(write_database(tmp_path / "music.sqlite")).search(question)
    assert value in [hit.value for hit in hits]


def test_what_the_question_does_not_mention_is_not_shown(tmp_path: Path) -> None:
    index = value_index(write_database(tmp_path / "music.sqlite"))
    assert index.search("How many singers are there?") == []
    assert index.search("") == []


def test_short_values_count_as_whole_words_only(tmp_path: Path) -> None:
    script = "CREATE TABLE p (sex TEXT, code TEXT); INSERT INTO p VALUES ('F', '12'), ('M', '120');"
    index = value_index(write_database(tmp_path / "p.sqlite", script))
    assert index.search("How many females in 1200?") == []
    assert {hit.value for hit in index.search("sex F and code 12")} == {"F", "12"}


def test_a_decimal_is_a_whole_word() -> None:
    index = ValueIndex([("p", "grade", "3.5"), ("p", "grade", "3")])
    assert index.search("Who was graded 3.5?")[0].value == "3.5"
    assert index.search("Who was graded 13.5?") == []


def test_mysql_reads_names_in_backquotes() -> None:
    class Recorder:
        dialect = "mysql"
        asked: ClassVar[list[str]] = []

        def run(self, sql: str) -> Execution:
            self.asked.append(parse_query(sql, "mysql").tree.sql("mysql"))
            return Execution("ok")

    distinct_values(Recorder(), "order", "home town", 3)  # type: ignore[arg-type]
    assert Recorder.asked == ["SELECT DISTINCT `home town` FROM `order` WHERE NOT `home town` IS NULL LIMIT 3"]
    assert compact(replace(ODD, dialect="mysql")).splitlines()[0] == '`order`: id `Home Town` `say "hi"`'


def test_most_values_that_spiders_questions_name_are_shown_and_fast(shared: Path) -> None:
    examples = load_examples(DataConfig(format="spider", path=str(shared / "data/spider_dev_en")))
    start = time.process_time()
    prompts = [prompt[0]["content"] for prompt in (messages(one, PromptConfig("reasoning")) for one in examples)]
    assert time.process_time() - start < 30
    named = shown = 0
    for text, asked in zip(prompts, examples, strict=True):
        tree = parse_query(asked.sql).tree
        words = [literal.name for literal in tree.find_all(exp.Literal) if literal.is_string]
        words += [c.name for c in tree.find_all(exp.Column) if c.this.quoted]
        for word in {word for word in words if len(word) > 2 and word.lower() in asked.question.lower()}:
            if "%" not in word and word in asked_values(asked.path):
                named += 1
                shown += f"= '{word.replace(chr(39), chr(39) * 2)}'" in text
    assert named > 200
    assert shown / named > 0.97


def asked_values(path: Path) -> set[str]:
    index = value_index(path)
    return {value for places in index._places for _, _, value in places}
