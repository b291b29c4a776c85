"""The defects of other evaluations, by their number in the reference: each must be absent here.

Numbers 9, 28, 34, 35 and 36 are about rewards and schema linking and are tested with those.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.text2sql.execution.database import Limits
from apps.text2sql.execution.sqlite import SqliteDatabase
from apps.text2sql.execution.statement import extract_sql
from apps.text2sql.execution.workers import Judge
from apps.text2sql.verdicts.compare import close, overlap
from apps.text2sql.verdicts.verdict import PRESETS, judge

SCRIPT = """
CREATE TABLE emp(id INTEGER PRIMARY KEY, name TEXT, pay REAL, value INT);
INSERT INTO emp VALUES (1,'Ann',100.0,1),(2,'Bob',200.0,2),(3,'Cai',200.0,3);
CREATE TABLE nil(x INT);
CREATE TABLE raw(t TEXT);
INSERT INTO raw VALUES (CAST(x'c3' AS TEXT));
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one database; neither it nor its list of files may change."""
    connection = sqlite3.connect(tmp_path / "emp.sqlite")
    connection.executescript(SCRIPT)
    connection.close()
    monkeypatch.chdir(tmp_path)
    before = hashlib.sha256((tmp_path / "emp.sqlite").read_bytes()).hexdigest()
    yield tmp_path
    assert hashlib.sha256((tmp_path / "emp.sqlite").read_bytes()).hexdigest() == before
    assert os.listdir(tmp_path) == ["emp.sqlite"]


@pytest.fixture
def database(folder: Path) -> SqliteDatabase:
    return SqliteDatabase(folder / "emp.sqlite", Limits(seconds=30.0))


def verdict(database: SqliteDatabase, gold: str, pred: str, preset: str = "strict") -> str:
    return judge(database, gold, pred, preset).verdict.value


NIL = "SELECT x FROM nil"
WRITES = {
    1: "DELETE FROM emp",
    2: "DROP TABLE emp",
    3: "PRAGMA user_version = 1",
    4: "COMMIT",
    5: "ATTACH 'evil.db' AS e",
    11: "WITH c AS (SELECT 1) DELETE FROM emp",
    12: "INSERT INTO nil VALUES (1) RETURNING x",
    13: "SELECT x FROM nil; DROP TABLE emp",
    15: "DROP TABLE IF EXISTS nil",
    26: "DELETE FROM nil",
    30: "WITH c AS (SELECT 1) INSERT INTO nil SELECT * FROM c",
    36: "VACUUM INTO 'copy.db'",
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pred", WRITES.values(), ids=[f"defect {number}" for number in WRITES])
def test_writes_are_rejected_and_change_nothing(pred: str, preset: str, database: SqliteDatabase) -> None:
    assert verdict(database, NIL, pred, preset) == "rejected"
    assert verdict(database, "SELECT count(*) FROM emp", "SELECT 3", preset) == "correct"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pred", ["", "   ", ";", "-- SELECT x FROM nil", "/* */"])
def test_3_4_5_nothing_is_not_an_empty_result(pred: str, preset: str, database: SqliteDatabase) -> None:
    assert verdict(database, NIL, pred, preset) == "invalid"


def test_1_gold_is_unaffected_by_the_prediction(folder: Path) -> None:
    with Judge(1) as workers:
        golds, preds = ["SELECT id FROM emp"] * 3, ["DELETE FROM emp", "DROP TABLE emp", "SELECT id FROM emp"]
        got = workers([folder / "emp.sqlite"] * 3, golds, preds)
    assert [judgement.verdict.value for judgement in got] == ["rejected", "rejected", "correct"]


@pytest.mark.parametrize("preset", PRESETS)
def test_6_18_a_failing_gold_is_nobodys_success_and_stops_nothing(preset: str, database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT nope FROM emp", "SELECT id FROM emp", preset) == "gold_error"
    assert verdict(database, "SELECT id FROM emp", "SELECT id FROM emp", preset) == "correct"


def test_7_newlines_are_not_flattened(database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT id FROM emp", "-- all of them\nSELECT id -- the key\nFROM emp") == "correct"


def test_8_extraction_never_raises() -> None:
    for text in ("", "Assistant", "<answer>", "```", "</answer><answer>", "<think></think>"):
        assert extract_sql(text) is None


def test_10_two_empty_results_are_told_apart(database: SqliteDatabase) -> None:
    assert verdict(database, NIL, "SELECT x FROM nil WHERE x > 0") == "correct_empty"


@pytest.mark.parametrize("preset", PRESETS)
def test_14_invalid_utf8_equals_itself(preset: str, database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT t FROM raw", "SELECT t FROM raw", preset) == "correct"


@pytest.mark.parametrize("preset", PRESETS)
def test_16_a_column_called_value(preset: str, database: SqliteDatabase) -> None:
    assert (
        verdict(
            database, "SELECT value FROM emp WHERE value > 1", "SELECT e.value FROM emp e WHERE e.value >= 2", preset
        )
        == "correct"
    )


@pytest.mark.parametrize("preset", ["strict", "spider_testsuite"])
def test_17_many_equal_columns_take_milliseconds(preset: str, database: SqliteDatabase) -> None:
    nine = ", ".join(["value % 2"] * 9)
    ten = ", ".join(["1 - value % 2"] * 10)
    start = time.monotonic()
    assert verdict(database, f"SELECT {nine} FROM emp", f"SELECT {nine} FROM emp LIMIT 3", preset) == "correct"
    assert verdict(database, f"SELECT {nine}, value % 2 FROM emp", f"SELECT {ten} FROM emp", preset) == "wrong"
    assert time.monotonic() - start < 1.0


def test_18_side_files_are_no_databases(folder: Path) -> None:
    journal = folder / "emp.sqlite-journal"
    journal.touch()
    try:
        assert verdict(SqliteDatabase(folder / "emp.sqlite"), "SELECT count(*) FROM emp", "SELECT 3") == "correct"
    finally:
        journal.unlink()


def test_19_33_time_limits_fire_inside_the_engine(folder: Path) -> None:
    database = SqliteDatabase(folder / "emp.sqlite", Limits(seconds=0.3))
    execution = database.run("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c")
    assert execution.status == "timeout"
    assert execution.seconds < 0.3 + 0.05 + 0.5  # the half second is for a loaded machine
    assert database.run("SELECT 1").rows == [(1,)]


def test_20_distinct_and_order_are_read_from_the_tree(database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT COUNT(DISTINCT pay) FROM emp", "SELECT COUNT(pay) FROM emp") == "wrong"
    gold = "SELECT id FROM emp WHERE name <> 'order by'"
    assert verdict(database, gold, "SELECT id FROM emp ORDER BY id DESC") == "correct"


def test_21_rows_may_be_permuted_within_a_tie(database: SqliteDatabase) -> None:
    gold = "SELECT name FROM emp ORDER BY pay"
    assert verdict(database, gold, "SELECT name FROM emp ORDER BY pay, id DESC") == "correct"
    assert verdict(database, gold, "SELECT name FROM emp ORDER BY id DESC") == "wrong"


def test_22_soft_score_does_not_see_row_order_or_repeats() -> None:
    rows = [(1, "a"), (2, "b")]
    assert overlap(rows, rows[::-1]).soft_f1 == 1.0
    assert overlap([(1, 1, 2)], [(2, 1, 1)]).soft_f1 == 1.0


@pytest.mark.parametrize("preset", ["strict", "defog"])
def test_23_nothing_is_broadcast(preset: str, database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT 1 FROM emp", "SELECT 1", "strict") == "wrong"
    assert verdict(database, "SELECT 1, 1", "SELECT 1", preset) == "wrong"
    assert verdict(database, NIL, "SELECT 1", preset) == "wrong"
    assert verdict(database, "SELECT 1 AS a, 2 AS a", "SELECT 1 AS a, 2 AS a", preset) == "correct"


def test_24_25_27_strict_compares_rows_and_whole_integers(database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT NULL", "SELECT 0") == "wrong"
    assert (
        verdict(database, "SELECT id, name FROM emp WHERE id < 3", "SELECT 1, 'Bob' UNION ALL SELECT 2, 'Ann'")
        == "wrong"
    )
    assert verdict(database, "SELECT 9007199254740993", "SELECT 9007199254740992") == "wrong"
    assert verdict(database, "SELECT '10', 2", "SELECT 10, '2'") == "wrong"


def test_26_comments_are_no_pattern_matters(database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT '/*', id, '*/' FROM emp", "SELECT '/*', id, '*/' FROM emp") == "correct"
    assert verdict(database, "SELECT 1", "/* a */ SELECT 1 /* b */") == "correct"


def test_29_equality_does_not_hang_on_a_hash() -> None:
    near = 0.1 + 0.2
    assert close(0.3, near)
    assert hash(0.3) != hash(near)
    assert overlap([(0.3,)], [(near,)]).cell_recall == 1.0


def test_31_with_select_is_a_query(database: SqliteDatabase) -> None:
    assert verdict(database, "SELECT id FROM emp", "WITH e AS (SELECT id FROM emp) SELECT id FROM e") == "correct"


def test_32_a_word_in_a_comment_or_a_text_is_left_alone(database: SqliteDatabase) -> None:
    gold = "SELECT DISTINCT 'DISTINCT', name FROM emp -- DISTINCT"
    assert verdict(database, gold, "SELECT 'DISTINCT', name FROM emp", "spider_testsuite") == "correct"
