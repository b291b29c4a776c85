"""Worker processes: batches, deaths, hangs, caches and copies."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.text2sql.execution.database import Limits
from apps.text2sql.execution.worker import Worker, pack, unpack
from apps.text2sql.execution.workers import GRACE, Judge
from apps.text2sql.verdicts.verdict import Verdict
from common.errors import RewardError, TouchstoneError
from tests.apps.text2sql.verdict_cases import FOREVER, SCRIPT

# One step that SQLite cannot interrupt: searching a long text for a long text that is nearly everywhere in it.
STUCK = "SELECT instr(hex(zeroblob(2000000)), hex(zeroblob(1000000)) || 'b')"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yard") / "yard.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SCRIPT)
    connection.close()
    return path


@pytest.fixture(scope="module")
def workers() -> Iterator[Judge]:
    with Judge(2, Limits(seconds=0.5)) as judge:
        yield judge


def verdicts(judge: Judge, path: Path, gold: str, preds: list[str]) -> list[str]:
    return [j.verdict.value for j in judge([path] * len(preds), [gold] * len(preds), preds)]


def test_order_is_kept_and_duplicates_are_answered(workers: Judge, yard: Path) -> None:
    preds = [
        "SELECT 1",
        "select  1 -- one",
        "SELECT 2",
        "",
        "SELECT 1",
        "DROP TABLE person",
        "SELECT nope FROM person",
    ]
    expected = ["correct", "correct", "wrong", "invalid", "correct", "rejected", "pred_error"]
    assert verdicts(workers, yard, "SELECT 1", preds) == expected
    assert workers([], [], []) == []


def test_many_golds_over_both_workers(workers: Judge, yard: Path) -> None:
    golds = [f"SELECT {i}" for i in range(200)]
    preds = [f"SELECT {i if i % 3 else i + 1}" for i in range(200)]
    got = [j.verdict.value for j in workers([yard] * 200, golds, preds)]
    assert got == ["correct" if i % 3 else "wrong" for i in range(200)]


def test_a_stuck_query_is_killed_and_blamed_alone(yard: Path) -> None:
    with Judge(1, Limits(seconds=0.3)) as judge:
        preds = ["SELECT 1", STUCK, "SELECT 2", FOREVER, "SELECT 1.0"]
        start = time.monotonic()
        assert verdicts(judge, yard, "SELECT 1", preds) == ["correct", "timeout", "wrong", "timeout", "correct"]
        assert time.monotonic() - start < 4 * (0.3 + GRACE) + 10  # and two starts of a worker
        assert judge.restarts == 1


def test_a_stuck_gold_cannot_be_judged(yard: Path) -> None:
    with Judge(1, Limits(seconds=0.3)) as judge:
        assert verdicts(judge, yard, STUCK, ["SELECT 1", "SELECT 2"]) == ["gold_error", "gold_error"]
        assert verdicts(judge, yard, "SELECT 1", ["SELECT 1"]) == ["correct"]


def test_a_death_costs_the_other_golds_of_its_task_nothing(yard: Path) -> None:
    golds = [f"SELECT {i}" for i in range(16)]
    preds = list(golds)
    preds[5] = golds[10] = STUCK  # sixteen golds of one prediction each go out four at a time
    expected = ["correct"] * 16
    expected[5], expected[10] = "timeout", "gold_error"
    with Judge(1, Limits(seconds=0.3)) as judge:
        assert [j.verdict.value for j in judge([yard] * 16, golds, preds)] == expected
        assert judge.restarts == 2


def test_each_row_is_told_as_soon_as_it_is_known(workers: Judge, yard: Path) -> None:
    told: list[tuple[int, Verdict]] = []
    golds = [f"SELECT {i // 2}" for i in range(40)]
    got = workers([yard] * 40, golds, ["SELECT 3"] * 40, seen=lambda row, one: told.append((row, one.verdict)))
    assert sorted(told) == [(row, one.verdict) for row, one in enumerate(got)]


def test_a_killed_worker_comes_back(yard: Path) -> None:
    with Judge(1) as judge:
        assert verdicts(judge, yard, "SELECT 1", ["SELECT 1"]) == ["correct"]
        process = judge._processes[0]
        assert process is not None
        os.kill(process.process.pid, signal.SIGKILL)
        process.process.wait()
        assert verdicts(judge, yard, "SELECT 1", ["SELECT 1", "SELECT 2"]) == ["correct", "wrong"]


def test_memory_is_bounded(yard: Path) -> None:
    limits = Limits(seconds=60.0, memory_bytes=20_000_000)
    bomb = (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 2000000) "
        "SELECT max(x) FROM (SELECT x FROM c ORDER BY -x)"
    )
    with Judge(1, limits) as judge:
        assert verdicts(judge, yard, "SELECT 1", [bomb, "SELECT 1"]) == ["limit", "correct"]


def test_timeouts_stop_near_the_limit(workers: Judge, yard: Path) -> None:
    workers([yard], ["SELECT 1"], ["SELECT 1"])
    (execution,) = workers.execute(yard, [FOREVER])
    assert execution.status == "timeout"
    assert execution.seconds < 0.5 + 0.05 + 0.5  # the second half second is for a loaded machine


def test_a_changed_database_is_read_again(workers: Judge, tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE t(x INT); INSERT INTO t VALUES (1)")
    assert verdicts(workers, path, "SELECT x FROM t", ["SELECT 1", "SELECT 2"]) == ["correct", "wrong"]
    connection.execute("UPDATE t SET x = 2")
    connection.commit()
    assert verdicts(workers, path, "SELECT x FROM t", ["SELECT 1", "SELECT 2"]) == ["wrong", "correct"]
    connection.close()
    path.unlink()
    assert verdicts(workers, path, "SELECT x FROM t", ["SELECT 2"]) == ["gold_error"]


def test_a_missing_database_is_no_fault_of_the_prediction(workers: Judge, yard: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk.sqlite"
    junk.write_bytes(b"no database at all")
    got = workers([tmp_path / "none.sqlite", junk, yard], ["SELECT 1"] * 3, ["SELECT 1"] * 3)
    assert [j.verdict for j in got] == [Verdict.GOLD_ERROR, Verdict.GOLD_ERROR, Verdict.CORRECT]
    assert "no such database file" in got[0].reason
    (execution,) = workers.execute(junk, ["SELECT 1"])
    assert (execution.status, execution.code) == ("error", "database")


def test_pickled_copies_start_their_own_workers(yard: Path) -> None:
    with Judge(1, preset="bird", keep_rows=3) as judge:
        verdicts(judge, yard, "SELECT 1", ["SELECT 1"])
        with pickle.loads(pickle.dumps(judge)) as copy:
            assert (copy.preset, copy.keep_rows, copy.limits) == ("bird", 3, judge.limits)
            assert verdicts(copy, yard, "SELECT 1", ["SELECT 1"]) == ["correct"]
            assert copy._processes[0] is not judge._processes[0]


def test_rows_come_back_only_where_asked(yard: Path, workers: Judge) -> None:
    with Judge(1, keep_rows=2) as judge:
        (kept,) = judge([yard], ["SELECT id FROM person ORDER BY id"], ["SELECT id, name FROM person ORDER BY id"])
    assert kept.gold.rows == [(1,), (2,)]
    assert kept.pred.rows == [(1, "Ada"), (2, "Ben")]
    assert (kept.gold.count, kept.pred.count) == (6, 6)
    (bare,) = workers([yard], ["SELECT id FROM person"], ["SELECT name FROM person"])
    assert (bare.gold.rows, bare.pred.rows, bare.pred.count) == ([], [], 6)
    assert bare.overlap.tuple_cardinality == 1.0


def test_execute_brings_back_rows_of_every_kind(workers: Judge, yard: Path) -> None:
    texts = [
        "SELECT 1, 2.5, 'ä', x'00ff', NULL",
        "DROP TABLE person",
        "SELECT t FROM raw",
        "SELECT 1, 2.5, 'ä', x'00ff', NULL",
    ]
    one, drop, raw, again = workers.execute(yard, texts)
    assert one.rows == [(1, 2.5, "ä", b"\x00\xff", None)]
    assert again == one
    assert drop.status == "rejected"
    assert raw.rows == [("\udcffA",), ("plain",)]


def test_columns_of_different_length_are_the_callers_fault(workers: Judge, yard: Path) -> None:
    with pytest.raises(RewardError, match="differ in length"):
        workers([yard], ["SELECT 1"], ["SELECT 1", "SELECT 2"])
    with pytest.raises(TouchstoneError, match="at least 1"):
        Judge(0)


def test_other_dialects_are_translated(workers: Judge, yard: Path) -> None:
    gold = "SELECT name FROM person WHERE name ILIKE 'b%' LIMIT 5"
    pred = "SELECT CAST(name AS VARCHAR(10)) FROM person WHERE LOWER(name) LIKE 'b%'"
    got = workers([yard] * 3, [gold] * 3, [pred, "DELETE FROM person", "SELECT FROM WHERE"], ["postgres"] * 3)
    assert [j.verdict.value for j in got] == ["correct", "rejected", "invalid"]


def test_golds_are_run_once(yard: Path, tmp_path: Path) -> None:
    """In the worker's own words: the same reference object answers until the file changes."""
    with (tmp_path / "out").open("wb") as output:
        worker = Worker(Limits(), output)
        first = worker.reference(str(yard), "SELECT id FROM person", None)
        assert worker.reference(str(yard), "SELECT id FROM person", None) is first
        assert worker.reference(str(yard), "SELECT date('now')", None) is not worker.reference(
            str(yard), "SELECT date('now')", None
        )
        os.utime(yard)
        assert worker.reference(str(yard), "SELECT id FROM person", None) is not first


def test_judgements_survive_the_pipe(workers: Judge, yard: Path) -> None:
    (judgement,) = workers([yard], ["SELECT id FROM person"], ['SELECT id, name FROM person WHERE name = "Ben"'])
    assert unpack(pack(judgement, 0)) == judgement
    assert judgement.flags == {"double_quoted_literal"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_its_own_workers(yard: Path) -> None:
    with Judge(1) as judge:
        verdicts(judge, yard, "SELECT 1", ["SELECT 1"])
        child = os.fork()
        if child == 0:
            right = verdicts(judge, yard, "SELECT 1", ["SELECT 1.0", "SELECT 3"]) == ["correct", "wrong"]
            judge.close()
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert verdicts(judge, yard, "SELECT 1", ["SELECT 2"]) == ["wrong"]
