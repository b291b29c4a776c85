"""`ask`: agreement is by result, the exit code and the streams are what a script relies on, errors are readable."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.text2sql import ask
from apps.text2sql.assistant import SHOWN_ROWS, Answer, ModelAssistant, inspect_database, vote
from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.execution.workers import Judge
from common.errors import DataError, TouchstoneError, UsageError


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ask") / "music.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, photo BLOB);"
            "INSERT INTO singer VALUES (1, '[red]Ada', 52, x'00ff'), (2, 'Bo', 31, NULL), (3, NULL, 45, NULL);"
        )
    connection.close()
    return str(path)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(workers=1) as judge:
        yield judge


def answer(judge: Judge, database: str, *queries: str) -> Answer:
    return Answer("q", vote(judge, database, queries), len(queries), queries[0] if queries else "")


def test_queries_with_the_same_result_vote_together(judge, database):
    found = answer(
        judge,
        database,
        "SELECT count(*) FROM singer WHERE age > 50",
        "SELECT name FROM singer WHERE age > 40",
        "SELECT name FROM singer WHERE NOT age <= 40",
        "SELECT name FROM singer WHERE age >= 45 -- the same rows",
        "SELECT nothing FROM singer",
    )
    assert [candidate.votes for candidate in found.candidates] == [3, 1, 1]
    assert found.best.sql == "SELECT name FROM singer WHERE age > 40"
    assert not found.agrees
    assert "only 3 of 5" in found.warning
    assert "2 other results" in found.warning


def test_a_query_that_runs_ranks_before_many_that_fail_alike(judge, database):
    found = answer(judge, database, "SELECT x FROM singer", "SELECT y FROM singer", "SELECT age FROM singer")
    assert found.best.sql == "SELECT age FROM singer"
    assert [candidate.votes for candidate in found.candidates] == [1, 2]


def test_ties_go_to_the_first_sample_and_repeats_count(judge, database):
    found = answer(judge, database, "SELECT 1", "SELECT 2", "SELECT 2", "SELECT 1")
    assert found.best.sql == "SELECT 1"
    assert [candidate.votes for candidate in found.candidates] == [2, 2]


def test_samples_without_a_query_count_against_agreement(judge, database):
    found = answer(judge, database, "SELECT 1", "", "")
    assert found.best.votes == 1
    assert "2 without a query" in found.warning
    nothing = answer(judge, database, "", "")
    assert nothing.best is None
    assert not nothing.agrees


def test_order_matters_where_the_query_asks_for_it(judge, database):
    found = answer(judge, database, "SELECT id FROM singer ORDER BY id", "SELECT id FROM singer ORDER BY id DESC")
    assert len(found.candidates) == 2


def test_long_results_are_cut_and_counted(judge, database):
    found = answer(
        judge,
        database,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n",
    )
    assert len(found.best.execution.rows) == SHOWN_ROWS
    assert ask.row_note(found.best.execution) == f"{SHOWN_ROWS} of 5,000 rows"


def test_output_is_the_query_the_rows_and_no_markup(judge, database, capsys):
    found = answer(judge, database, "SELECT name, age, photo FROM singer")
    assert ask.show(found) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("SELECT name, age, photo FROM singer\n")
    assert "[red]Ada" in printed.out
    assert "NULL" in printed.out
    assert "x'00ff'" in printed.out
    assert "3 rows" in printed.out
    assert printed.err == ""


def test_disagreement_is_a_warning_on_stderr_with_the_other_queries(judge, database, capsys):
    found = answer(judge, database, "SELECT age FROM singer", "SELECT age FROM singer", "SELECT id FROM singer")
    assert ask.show(found) == 0
    printed = capsys.readouterr()
    assert "disagree" in printed.err
    assert "1 of 3: SELECT id FROM singer" in printed.err
    assert "disagree" not in printed.out


def test_json_holds_everything_a_program_needs(judge, database, capsys):
    found = answer(judge, database, "SELECT photo FROM singer", "SELECT id FROM singer")
    assert ask.show(found, json_output=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["sql"] == "SELECT photo FROM singer"
    assert printed["columns"] == ["photo"]
    assert printed["rows"] == [["00ff"], [None], [None]]
    assert (printed["votes"], printed["samples"], printed["agrees"], printed["row_count"]) == (1, 2, False, 3)
    assert printed["others"] == [{"sql": "SELECT id FROM singer", "votes": 1, "status": "ok"}]


def test_no_query_or_none_that_runs_is_a_failed_run(judge, database, capsys):
    with pytest.raises(TouchstoneError, match="no such column"):
        ask.show(answer(judge, database, "SELECT x FROM singer"))
    with pytest.raises(TouchstoneError, match="no query"):
        ask.show(answer(judge, database, ""))
    capsys.readouterr()
    assert ask.show(answer(judge, database, "SELECT x FROM singer"), json_output=True) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "error"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such"),
        (b"hello, I am text", "neither an SQLite nor a DuckDB"),
        (b"", "no table"),
        (b"SQLite format 3\0" + b"\xff" * 3000, "broken"),
    ],
)
def test_a_file_that_is_no_database_is_named(tmp_path, content, message):
    path = tmp_path / "broken.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        ask.run_ask(Text2SqlConfig(), "How many?", str(path))
    assert "broken.sqlite" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_database_that_another_process_writes_can_still_be_asked(judge, database):
    writer = sqlite3.connect(database)
    try:
        writer.execute("BEGIN EXCLUSIVE")
        assert inspect_database(database).tables[0].name == "singer"
        assert answer(judge, database, "SELECT count(*) FROM singer").best.execution.rows == [(3,)]
    finally:
        writer.close()


def test_wrong_usage_is_said_before_a_model_is_loaded(judge, database):
    with pytest.raises(UsageError, match="samples"):
        ModelAssistant(Text2SqlConfig(), judge, samples=0)
    with pytest.raises(UsageError, match="empty"):
        ModelAssistant(Text2SqlConfig(), judge).ask("  ", database)


def test_the_first_sample_is_greedy_and_the_others_are_drawn_the_same_way_each_time(judge, database, monkeypatch):
    import torch

    from common.models import language

    calls = []

    def generate(model, tokenizer, prompts, max_new_tokens, temperature=0.0, n=1, **_):
        calls.append((temperature, n, torch.initial_seed()))
        assert "How many singers?" in str(prompts[0])
        return [[f"SELECT {number}" if temperature else "SELECT count(*) FROM singer" for number in range(n)]]

    monkeypatch.setattr(language, "generate", generate)
    monkeypatch.setattr(language, "load_language_model", lambda config, training: ("model", "tokenizer"))
    config = Text2SqlConfig(seed=7)
    assistant = ModelAssistant(config, judge, samples=4)
    found = assistant.ask(" How many singers? ", database)
    assert [call[:2] for call in calls] == [(0.0, 1), (config.evaluate.temperature, 3)]
    assert calls[1][2] == 7
    assert found.samples == 4
    assert found.best.sql == "SELECT count(*) FROM singer"
    assert Path(database).is_file()


def test_the_command_runs_a_real_model_and_says_when_it_knows_no_sql(database, tmp_path, capsys):
    from apps.text2sql.__main__ import APP
    from common.models.language import save_language_model
    from tests.common.training import tiny

    folder = save_language_model(tiny.model(), tiny.tokenizer(), tmp_path / "model")
    arguments = ["ask", "How many singers?", "--database", database, "--samples", "3", "--model.path", str(folder)]
    arguments += ["--model.device", "cpu", "--evaluate.max_new_tokens", "8"]
    assert APP.main(arguments) == 1
    printed = capsys.readouterr()
    assert "error: the model wrote no query" in printed.err
    assert printed.out == ""
    assert APP.main([*arguments, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["sql"], found["status"], found["samples"]) == (None, "no_sql", 3)
