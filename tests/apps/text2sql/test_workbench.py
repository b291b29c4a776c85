"""The demo without a browser: names never become paths, uploads are checked, rewards are those of training."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.text2sql import demo_view, workbench
from apps.text2sql.assistant import Answer, Candidate
from apps.text2sql.data import LANGUAGES, Example
from apps.text2sql.execution.database import Column, Execution, ForeignKey, Schema, Table
from apps.text2sql.execution.workers import Judge
from apps.text2sql.reward_config import RewardConfig
from apps.text2sql.rewards import build_reward
from apps.text2sql.verdicts.verdict import Verdict
from apps.text2sql.workbench import Workbench, accept_upload, one_of_each_language, upload_name
from common.errors import DataError, UsageError

HOSTILE = "<img src=x onerror=alert(1)>"
GOLD = "SELECT name FROM singer WHERE age > 40"


class Nobody:
    def ask(self, question: str, database: str) -> Answer:
        return Answer(question, (), 1)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "music.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            'CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER); CREATE TABLE "odd ""table" (a);'
            "INSERT INTO singer VALUES (1, 'Ada', 52), (2, 'Bo', 31), (3, 'Cleo', 45);"
            'INSERT INTO "odd ""table" VALUES (1), (2), (3), (4), (5), (6), (7);'
        )
    connection.close()
    return path


@pytest.fixture(scope="module")
def bench(music: Path) -> Iterator[Workbench]:
    with Judge(workers=1) as judge:
        reward = build_reward(RewardConfig(recipe="contrastive", encoder="hash"))
        examples = [Example("1", "Who is over 40?", "en", "music", music, GOLD)]
        yield Workbench(Nobody(), judge, reward, {"music": music}, examples)


def test_only_known_names_and_the_visitors_own_upload_open(bench, music, tmp_path):
    assert bench.resolve("music", None) == str(music)
    upload = str(tmp_path / "mine.db")
    assert bench.resolve(upload_name(upload), upload) == upload
    for name, uploaded in (
        ("/etc/passwd", None),
        (str(music), None),
        ("../music", None),
        ("mine.db", upload),
        ("", None),
    ):
        with pytest.raises(UsageError, match="choose a database"):
            bench.resolve(name, uploaded)


def test_first_rows_of_any_table(bench, music):
    assert [row[1] for row in bench.rows_of(str(music), "singer").rows] == ["Ada", "Bo", "Cleo"]
    assert len(bench.rows_of(str(music), 'odd "table').rows) == workbench.SAMPLE_ROWS


def test_golds_belong_to_their_question_and_database(bench):
    assert bench.questions("music") == [("English", "Who is over 40?")]
    assert bench.gold("music", " Who is over 40? ") == GOLD
    assert bench.gold("other", "Who is over 40?") == ""
    assert bench.gold("music", "Who is over 50?") == ""


def test_an_assay_is_what_training_pays(bench, music):
    right = bench.assay("SELECT name FROM singer WHERE NOT age <= 40", GOLD, "Who is over 40?", str(music))
    assert (right.verdict, right.reward) == ("correct", 1.0)
    assert right.parts["execution"] == 1.0
    wrong = bench.assay("SELECT name FROM singer WHERE age < 40", GOLD, "Who is over 40?", str(music))
    assert wrong.verdict == "wrong"
    assert 0.0 <= wrong.reward <= 0.3
    assert wrong.parts["execution"] == 0.0
    assert not math.isnan(wrong.parts["contrastive"])
    assert wrong.execution.rows == [("Bo",)]
    hostile = bench.assay("DELETE FROM singer", GOLD, "", str(music))
    assert (hostile.verdict, hostile.reward) == ("rejected", 0.0)
    broken_reference = bench.assay(GOLD, "SELECT nothing FROM singer", "", str(music))
    assert broken_reference.verdict == "gold_error"
    assert math.isnan(broken_reference.reward)
    with pytest.raises(UsageError, match="must hold a query"):
        bench.assay(" ", GOLD, "", str(music))
    for query, reference in ((GOLD + " " * 20_000, GOLD), (GOLD, GOLD + " " * 20_000)):
        with pytest.raises(UsageError, match="at most 20,000 are read"):
            bench.assay(query, reference, "", str(music))


def test_a_question_longer_than_the_page_lets_through_is_refused(bench, music):
    with pytest.raises(UsageError, match="2,001 characters; at most 2,000"):
        bench.ask("x" * 2_001, str(music))


def test_nothing_but_uploads_is_opened(music, tmp_path):
    (tmp_path / "uploads").mkdir()
    with pytest.raises(UsageError, match="only a file that was uploaded"):
        accept_upload(str(music), tmp_path / "uploads")


def test_a_good_upload_is_accepted_and_stays_byte_for_byte(music, tmp_path):
    copy = tmp_path / "copy.db"
    copy.write_bytes(music.read_bytes())
    assert accept_upload(str(copy), tmp_path) == str(copy)
    assert copy.read_bytes() == music.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 a zip file", "not an SQLite database"),
        (b"", "not an SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 3000, "schema"),
        (b"SQLite format 3\0" + b"\0" * 1_100_000, "larger than 1 MB"),
    ],
)
def test_a_bad_upload_is_refused_without_saying_where_it_lies(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(workbench, "LARGEST_UPLOAD", 1_000_000)
    path = tmp_path / "bad.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        accept_upload(str(path), tmp_path)
    assert "bad.sqlite" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not path.exists(), "a refused upload is not kept"


def test_examples_are_one_a_language_short_and_different_where_possible():
    def example(number: int, language: str, sql: str, question: str = "q") -> Example:
        return Example(f"{number}-{language}", question, language, "d", Path("d"), sql)

    rows = [example(number, language, f"SELECT {number}") for number in range(9) for language in LANGUAGES]
    chosen = one_of_each_language(rows)
    assert [row.language for row in chosen] == list(LANGUAGES)
    assert len({row.sql for row in chosen}) == len(LANGUAGES)
    only_one = one_of_each_language([example(1, language, "SELECT 1") for language in LANGUAGES])
    assert [row.language for row in only_one] == list(LANGUAGES)
    long_first = one_of_each_language([example(1, "en", "SELECT 1", "long " * 40), example(2, "en", "SELECT 2")])
    assert [row.sql for row in long_first] == ["SELECT 2"]


def test_every_verdict_has_words():
    assert set(demo_view.VERDICTS) == {verdict.value for verdict in Verdict}


def test_everything_shown_is_escaped():
    execution = Execution("error", reason=HOSTILE)
    ran = Execution("ok", (HOSTILE,), [(HOSTILE,)], count=1)
    schema = Schema(
        "sqlite", (Table(HOSTILE, (Column(HOSTILE, HOSTILE),)),), (ForeignKey(HOSTILE, HOSTILE, HOSTILE, HOSTILE),)
    )
    answers = [
        Answer(HOSTILE, (), 1, HOSTILE),
        Answer(HOSTILE, (Candidate(HOSTILE, execution, 1),), 1),
        Answer(HOSTILE, (Candidate(HOSTILE, ran, 2), Candidate(HOSTILE, execution, 1)), 3),
    ]
    shown = [
        demo_view.schema_html(schema),
        *map(demo_view.agreement_html, answers),
        demo_view.verdict_html("wrong", HOSTILE),
        demo_view.parts_html(0.5, {HOSTILE: 0.5}, (0.0, 1.0)),
        demo_view.notice("bad", HOSTILE, HOSTILE),
    ]
    for text in shown:
        assert "<img" not in text
        assert "&lt;img" in text


def test_parts_are_bars_of_their_own_width():
    text = demo_view.parts_html(-1.0, {"semantic_match": 0.25, "not_asked": math.nan}, (-1.0, 7.5))
    assert "width:25.0%" in text
    assert "semantic match" in text
    assert "negative" in text
    assert "–" in text
    assert "nan" not in text.lower()
