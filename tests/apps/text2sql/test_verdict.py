"""Verdicts: the shared cases, the reference's behaviour table and our own, under every convention."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from apps.text2sql.execution.database import Limits
from apps.text2sql.execution.sqlite import SqliteDatabase
from apps.text2sql.execution.workers import Judge
from apps.text2sql.verdicts.verdict import PRESETS, Verdict, find_preset, judge
from common.errors import UsageError
from tests.apps.text2sql.verdict_cases import FOREVER, OWN, SCRIPT, SECTION_8, Case

# Verdicts other than timeouts must not depend on how busy the machine is.
PATIENT = Limits(seconds=60.0, rows=20_000, value_bytes=5_000_000, result_bytes=20_000_000)
HASTY = replace(PATIENT, seconds=0.2)
CASES = [*SECTION_8, *OWN]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("yard") / "yard.sqlite", SCRIPT)


@pytest.fixture(scope="module")
def database(yard: Path) -> Iterator[SqliteDatabase]:
    opened = SqliteDatabase(yard, PATIENT)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def hasty(yard: Path) -> Iterator[SqliteDatabase]:
    opened = SqliteDatabase(yard, HASTY)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _nothing_changes(yard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No byte of the database, no file beside it and none in the working directory changes."""
    monkeypatch.chdir(tmp_path)
    before = digest(yard)
    yield
    assert digest(yard) == before
    assert os.listdir(yard.parent) == [yard.name]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, database: SqliteDatabase, hasty: SqliteDatabase) -> None:
    chosen = hasty if case.expected == "timeout" or FOREVER in case.gold else database
    got = {preset: judge(chosen, case.gold, case.pred, preset) for preset in case.by_preset()}
    assert {preset: judgement.verdict.value for preset, judgement in got.items()} == case.by_preset(), got


def test_there_are_enough_cases_of_our_own() -> None:
    assert len(OWN) >= 80
    assert len({case.name for case in CASES}) == len(CASES)


def test_shared_cases(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every shared case in every preset it lists, and once more through the workers; nothing on disk may change."""
    folder = tmp_path_factory.mktemp("shared")
    rows = [json.loads(line) for line in (shared / "cases/text2sql_shared.jsonl").read_text("utf-8").splitlines()]
    paths: dict[str, Path] = {}
    for row in rows:
        if row["setup"] not in paths:
            paths[row["setup"]] = make(folder / f"{len(paths)}.sqlite", row["setup"])
    before = {path: digest(path) for path in paths.values()}
    databases = {
        (setup, limits): SqliteDatabase(path, limits) for setup, path in paths.items() for limits in (PATIENT, HASTY)
    }
    wrong = []
    for row in rows:
        for preset, expected in row["expected"].items():
            limits = HASTY if expected == "timeout" else PATIENT
            got = judge(databases[row["setup"], limits], row["gold"], row["pred"], preset)
            if got.verdict.value != expected:
                wrong.append((row["name"], preset, expected, got))
    with Judge(2, replace(PATIENT, seconds=4.0)) as workers:
        judgements = workers(
            [paths[row["setup"]] for row in rows], [row["gold"] for row in rows], [row["pred"] for row in rows]
        )
    wrong += [
        (row["name"], "workers", row["expected"]["strict"], judgement)
        for row, judgement in zip(rows, judgements, strict=True)
        if judgement.verdict.value != row["expected"]["strict"]
    ]
    assert wrong == []
    assert {path: digest(path) for path in paths.values()} == before
    assert sorted(os.listdir(folder)) == sorted(path.name for path in paths.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_query_equals_itself(preset: str, database: SqliteDatabase) -> None:
    for case in CASES:
        if case.expected in ("timeout", "limit", "gold_error"):
            continue
        judgement = judge(database, case.pred, case.pred, preset)
        if judgement.verdict in (Verdict.WRONG, Verdict.PRED_ERROR, Verdict.REJECTED, Verdict.INVALID):
            # Only random numbers and the quirks a convention is known for may tell a query from itself.
            assert "gold_nondeterministic" in judgement.flags, (case, judgement)


def test_right_by_luck_does_not_pay(database: SqliteDatabase) -> None:
    right = sum(judge(database, "SELECT 1", "SELECT random() > 0").verdict is Verdict.CORRECT for _ in range(200))
    assert right < 40  # half of them equal the gold at first; a sixteenth keep doing so


def test_flags(database: SqliteDatabase) -> None:
    def flags(pred: str) -> set[str]:
        return set(judge(database, "SELECT 1", pred).flags)

    assert flags("SELECT 5") == {"no_table"}
    assert flags("WITH c AS (SELECT 5 AS x) SELECT x FROM c") == {"no_table"}
    assert flags('SELECT id FROM person WHERE name = "Ben"') == {"double_quoted_literal"}
    assert flags('SELECT "id", count(*) AS "n" FROM "person" ORDER BY "n"') == set()
    assert flags("SELECT random() FROM person") == {"nondeterministic"}


@pytest.mark.parametrize(
    ("pred", "code"),
    [
        ("SELECT id, name FROM person", "columns"),
        ("SELECT id FROM person WHERE id < 4", "row_count"),
        ("SELECT id FROM person ORDER BY id DESC", "order"),
        ("SELECT id + 1 FROM person ORDER BY id", "values"),
        ("SELECT id FROM nowhere", "no_such_table"),
        ("SELECT nope FROM person", "no_such_column"),
        ("DROP TABLE person", "write_attempt"),
        ("SELECT 1; SELECT 2", "multi_statement"),
        ("PRAGMA user_version", "not_a_query"),
        ("SELECT readfile('x')", "refused_function"),
        ("", "no_statement"),
        ("SELECT zeroblob(900000000)", "value_bytes" if sys.version_info >= (3, 11) else "memory"),
        ("SELECT a.x FROM big a, big b", "rows"),
    ],
)
def test_codes_tell_errors_apart(pred: str, code: str, database: SqliteDatabase) -> None:
    assert judge(database, "SELECT id FROM person ORDER BY id", pred).code == code


def test_overlap_is_invariant_to_row_order_where_the_gold_is(database: SqliteDatabase) -> None:
    gold = "SELECT id, name FROM person"
    up = judge(database, gold, "SELECT id, name, team FROM person ORDER BY id")
    down = judge(database, gold, "SELECT id, name, team FROM person ORDER BY id DESC")
    assert up.overlap == down.overlap
    assert up.overlap.cell_recall == 1.0
    assert 0.5 < up.overlap.soft_f1 < 1.0
    assert judge(database, gold, gold).overlap.soft_f1 == 1.0


def test_unknown_preset_is_the_callers_fault() -> None:
    with pytest.raises(UsageError, match="spider2"):
        find_preset("spidr")
