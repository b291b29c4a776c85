"""Schedules: what a config may write, and that a value depends on the step alone and does not jump."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from common.schedule import Schedule, read_schedule


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [
        (3, 0, 3.0),
        (0.5, 10**6, 0.5),
        # VLM3D's weight of the VLM reward.
        ([0, 300.0, 1.0, 10000], 0, 300.0),
        ([0, 300.0, 1.0, 10000], 5000, 150.5),
        ([0, 300.0, 1.0, 10000], 20000, 1.0),
        ([1000, 10.0, 1000.0, 5000], 999, 10.0),
        # Piecewise: further pairs of value and step.
        ([0, 0.0, 1.0, 10, 3.0, 20], 10, 1.0),
        ([0, 0.0, 1.0, 10, 3.0, 20], 15, 2.0),
        ([0, 0.0, 1.0, 10, 3.0, 20], 99, 3.0),
        ({"kind": "cosine", "points": [[0, 0.0], [100, 1.0]]}, 50, 0.5),
        ({"kind": "cosine", "points": [[0, 0.0], [100, 1.0]]}, 25, 0.1464466),
        ({"kind": "step", "points": [[0, 1.0], [100, 0.0]]}, 99, 1.0),
        ({"kind": "step", "points": [[0, 1.0], [100, 0.0]]}, 100, 0.0),
        ({"points": [[0, 0.0], [10, 1.0], [20, 0.0]]}, 15, 0.5),
    ],
)
def test_what_a_config_writes(value: Any, step: int, expected: float) -> None:
    assert read_schedule(value)(step) == pytest.approx(expected, abs=1e-6)


@given(
    kind=st.sampled_from(["linear", "cosine"]),
    values=st.lists(st.floats(-100, 100), min_size=1, max_size=5),
    gaps=st.lists(st.integers(10, 1000), min_size=5, max_size=5),
    step=st.integers(-10, 6000),
)
def test_continuous_and_within_its_values(kind: str, values: list[float], gaps: list[int], step: int) -> None:
    places = [sum(gaps[:row]) for row in range(len(values))]
    schedule = Schedule(tuple(zip(map(float, places), values, strict=True)), kind)
    low, high = schedule.bounds
    assert low - 1e-9 <= schedule(step) <= high + 1e-9
    # A cosine is at its steepest pi / 2 times as steep as a line; a line goes at most all the way in 10 steps.
    assert abs(schedule(step + 1) - schedule(step)) <= 1.58 * (high - low) / 10 + 1e-9


@pytest.mark.parametrize(
    "value",
    [
        "fast",
        True,
        [0, 1],
        [0, 1.0, 2.0],
        [10, 1.0, 2.0, 10],
        [0, float("nan"), 1.0, 5],
        {"kind": "cubic", "points": [[0, 1.0]]},
        {"points": []},
        {"points": [[0, 1.0, 2.0]]},
        {"point": [[0, 1.0]]},
        None,
    ],
)
def test_what_is_no_schedule_names_the_option(value: Any) -> None:
    with pytest.raises(UsageError, match=r"vlm\.weight"):
        read_schedule(value, "vlm.weight")
