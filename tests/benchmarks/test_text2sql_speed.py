"""Verdicts per second and core, on Spider's dev golds. Run with `-m benchmark`, best on an idle machine.

Counted in CPU seconds of the caller and its worker together, so that other load on the machine matters less (it still
does: a core shared with other work is slower). The worker runs and its connections are open, as in the middle of a
training; every text is new to it, so each gold and each prediction is parsed and executed.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from apps.text2sql.execution.workers import Judge
from apps.text2sql.verdicts.verdict import Verdict

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads CPU times from /proc"),
]

REPEATS = 3
Pairs = list[tuple[Path, str]]


@pytest.fixture(scope="module")
def golds(shared: Path) -> Pairs:
    """Distinct pairs of database and gold: repeated questions would be answered from the batch's own duplicates."""
    root = shared / "data/spider_dev_en"
    rows = json.loads((root / "dev.json").read_text("utf-8"))
    pairs = dict.fromkeys((row["db_id"], row["query"]) for row in rows)
    return [(root / "database" / name / f"{name}.sqlite", query) for name, query in pairs]


def rate(rows: list[tuple[Path, str, str]]) -> tuple[float, list[Verdict]]:
    """Verdicts per CPU second, best of the repeats, and the verdicts."""
    best, verdicts = 0.0, []
    with Judge(1) as judge:
        for repeat in range(REPEATS + 1):
            texts = [[f"/* {repeat} */ {row[column]}" for row in rows] for column in (1, 2)]
            started = _cpu_of(judge) if repeat else 0.0
            own = time.process_time()
            judgements = judge([row[0] for row in rows], *texts)
            seconds = time.process_time() - own + _cpu_of(judge) - started
            verdicts = [judgement.verdict for judgement in judgements]
            if repeat:  # the first round starts the worker and opens the databases
                best = max(best, len(rows) / seconds)
    return best, verdicts


def _cpu_of(judge: Judge) -> float:
    process = judge._processes[0]
    assert process is not None
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_golds_against_themselves(golds: Pairs, record_property: pytest.RecordProperty) -> None:
    speed, verdicts = rate([(path, gold, gold) for path, gold in golds])
    record_property("verdicts_per_second_and_core", round(speed))
    print(f"\ngolds against themselves: {speed:.0f} verdicts/s per core ({len(golds)} distinct pairs)")
    assert set(verdicts) <= {Verdict.CORRECT, Verdict.CORRECT_EMPTY}
    assert speed >= 800


def test_grpo_groups(golds: Pairs, record_property: pytest.RecordProperty) -> None:
    """Groups of eight with 60 % duplicates: the gold and other queries on its database, 3.2 different ones a group."""
    rng = random.Random(0)
    others: dict[Path, list[str]] = {}
    for path, gold in golds:
        others.setdefault(path, []).append(gold)
    rows = []
    for number, (path, gold) in enumerate(golds):
        distinct = [gold, *rng.sample(others[path], 3 if number % 5 == 0 else 2)]
        group = [*distinct, *rng.choices(distinct, k=8 - len(distinct))]
        rng.shuffle(group)
        rows += [(path, gold, pred) for pred in group]
    speed, verdicts = rate(rows)
    record_property("grpo_verdicts_per_second_and_core", round(speed))
    print(f"\nGRPO groups of 8, 60 % duplicates: {speed:.0f} verdicts/s per core")
    assert len(verdicts) == 8 * len(golds)
    assert Verdict.GOLD_ERROR not in verdicts
    assert speed >= 3 * 800
