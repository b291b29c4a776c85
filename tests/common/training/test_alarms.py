"""Alarms: silent on a healthy run, raised once by each way a run goes wrong."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from common.config import GrpoConfig
from common.training.alarms import AlarmMonitor, group_figures, trend
from common.training.grpo import run_grpo
from tests.common.training import tiny

GOLD = "heldout/exact"


def healthy(step: int) -> dict[str, float]:
    """A run that learns: reward and metric rise, entropy and flatness move a little, with noise."""
    wave = math.sin(7.0 * step)
    row = {
        "loss": 0.01 * wave,
        "grad_norm": 0.5,
        "reward": 0.4 + 0.002 * step + 0.02 * wave,
        "entropy": 0.6 - 0.002 * step,
        "groups/flat": 0.4 + 0.001 * step,
        "groups/same": 0.3,
        "groups/value": 1.0,
        "completions/distinct": 0.8 - 0.001 * step,
        "completions/clipped_ratio": 0.02,
    }
    if step % 10 == 0:
        row[GOLD] = 0.5 + 0.001 * step + 0.01 * wave
    return row


def play(changes: Any, steps: int = 120, monitor: AlarmMonitor | None = None) -> list[tuple[str, int]]:
    monitor = monitor or AlarmMonitor((0.0, 1.0), gold=GOLD)
    raised = []
    for step in range(1, steps + 1):
        raised += monitor.update(step, {**healthy(step), **changes(step)})
    return [(alarm.kind, alarm.step) for alarm in raised]


def test_a_healthy_run_is_silent() -> None:
    assert play(lambda step: {}) == []


def test_executable_nonsense_at_a_flat_tenth() -> None:
    """Learning rate 1e-3 with 0.1 paid for executable SQL: within 50 steps every group scores 0.1."""

    def collapse(step: int) -> dict[str, float]:
        share = min(1.0, step / 40)
        return {"groups/flat": share, "groups/same": share, "groups/value": 0.1, "reward": 0.3 - 0.2 * share}

    raised = dict(play(collapse))
    assert raised.keys() == {"flat_positive_reward", "flat_groups"}
    assert raised["flat_positive_reward"] <= 50


def test_groups_flat_at_the_worst_value_are_no_trap_but_nothing_to_learn_from() -> None:
    def hopeless(step: int) -> dict[str, float]:
        return {"groups/flat": 1.0, "groups/same": 1.0, "groups/value": 0.0, "reward": 0.0}

    assert [kind for kind, _ in play(hopeless)] == ["flat_groups"]


def test_a_solved_task_is_not_a_collapse() -> None:
    def solved(step: int) -> dict[str, float]:
        figures = {"groups/flat": 1.0, "groups/same": 1.0, "groups/value": 1.0, "reward": 0.99}
        return {**figures, "entropy": 0.6 if step < 20 else 0.001, "completions/distinct": 0.1 if step > 20 else 0.8}

    assert play(solved) == []


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        ("entropy_collapse", {"entropy": 0.004}),
        ("low_diversity", {"completions/distinct": 0.02}),
        ("truncated", {"completions/clipped_ratio": 0.9}),
        ("not_finite", {"loss": math.nan}),
        ("not_finite", {"grad_norm": math.inf}),
    ],
)
def test_each_pattern_has_its_alarm(kind: str, figures: dict[str, float]) -> None:
    raised = play(lambda step: figures if step > 60 else {})
    assert [name for name, _ in raised] == [kind]
    assert 60 < raised[0][1] <= 75


def test_supervised_learning_may_lower_the_entropy() -> None:
    monitor = AlarmMonitor()
    rows = [{"loss": 1.0, "entropy": 2.0 if step < 20 else 0.001} for step in range(60)]
    assert [alarm for step, row in enumerate(rows) for alarm in monitor.update(step, row)] == []


def test_reward_up_and_metric_down() -> None:
    def gamed(step: int) -> dict[str, float]:
        return {GOLD: 0.6 - 0.002 * (step - 50) + 0.005 * math.sin(step)} if step > 50 and step % 10 == 0 else {}

    raised = play(gamed)
    assert [kind for kind, _ in raised] == ["proxy_gold"]
    assert raised[0][1] >= 70


def test_noise_around_a_standing_metric_is_no_proxy_gold_gap() -> None:
    def noisy(step: int) -> dict[str, float]:
        return {GOLD: 0.5 + 0.03 * math.sin(3.0 * step)} if step % 10 == 0 else {}

    assert play(noisy, steps=400) == []


def test_an_alarm_is_raised_again_only_after_it_had_passed() -> None:
    def twice(step: int) -> dict[str, float]:
        return {"completions/clipped_ratio": 0.9} if step % 60 < 30 else {}

    steps = [step for _, step in play(twice, steps=180)]
    assert len(steps) == 3
    assert all(later - earlier > 30 for earlier, later in itertools.pairwise(steps))


def test_the_monitor_can_be_replayed_from_the_log() -> None:
    """Rows read back from JSON, with null for what was not a number, put the monitor where it was."""
    whole, split = AlarmMonitor(gold=GOLD), AlarmMonitor(gold=GOLD)
    for step in range(1, 70):
        whole.update(step, {**healthy(step), "completions/clipped_ratio": 0.9})
        split.update(step, {**healthy(step), "completions/clipped_ratio": 0.9, "kl": None})
    assert whole.update(70, {**healthy(70), "completions/clipped_ratio": 0.9}) == []
    assert split.update(70, {**healthy(70), "completions/clipped_ratio": 0.9}) == []
    assert split.measured == whole.measured


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([0.1] * 8, {"groups/flat": 1.0, "groups/same": 1.0, "groups/value": 0.1}),
        ([0.1] * 4 + [1.0] * 4, {"groups/flat": 1.0, "groups/same": 0.5}),
        ([0.1, 0.1, 0.1, 1.0] * 2, {"groups/flat": 0.0, "groups/same": 0.0}),
        ([0.1, 0.1, 0.12, 0.13, 0, 1, 0, 1], {"groups/flat": 0.5, "groups/same": 0.5}),
        ([0.1, math.nan, 0.1, 0.1, math.nan, math.nan, math.nan, math.nan], {"groups/flat": 1.0, "groups/same": 1.0}),
        ([math.nan] * 8, {}),
        ([math.inf, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], {"groups/flat": 1.0, "groups/value": 0.1}),
    ],
)
def test_how_flat_groups_are(rewards: list[float], expected: dict[str, float]) -> None:
    found = group_figures(rewards, 4, (0.0, 1.0))
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert bool(found) == bool(expected)


def test_trend_against_a_line_and_against_noise() -> None:
    change, t = trend([0, 10, 20, 30], [1.0, 2.0, 3.0, 4.0])
    assert change == pytest.approx(3.0)
    assert t == math.inf
    assert trend([1, 2, 3], [5.0, 5.0, 5.0]) == (0.0, 0.0)
    assert abs(trend([0, 1, 2, 3, 4], [0.0, 1.0, 0.0, 1.0, 0.0])[1]) < 1


def test_a_real_run_that_collapses_is_caught(new_run: Any) -> None:
    """A policy that is paid 0.1 for a cheap trick, at too high a learning rate, learns the trick and nothing else."""
    run = new_run()
    config = GrpoConfig(
        steps=40, prompts_per_step=4, generations=8, learning_rate=2e-2, max_completion_length=8, eval_every=20
    )
    run_grpo(
        run, tiny.model(), tiny.tokenizer(), tiny.grpo_rows(), tiny.FlatBonus(), config, lambda model: {"right": 0.0}
    )
    alarms = {alarm["kind"]: alarm for alarm in run.alarms("grpo")}
    assert "flat_positive_reward" in alarms
    assert alarms["flat_positive_reward"]["values"]["groups/value"] == pytest.approx(0.1, abs=0.01)
    assert alarms["flat_positive_reward"]["count"] == 1
    (marked,) = [row["step"] for row in run.rows() if "flat_positive_reward" in row.get("alarms", ())]
    assert marked == alarms["flat_positive_reward"]["step"]
