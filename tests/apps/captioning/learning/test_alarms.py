from __future__ import annotations

import math

import pytest

from apps.captioning.learning.alarms import CaptionAlarms


def figures(**changed: float) -> dict[str, float]:
    usual = {"repeated": 0.01, "unterminated": 0.0, "drift": 0.0, "length": 14.0}
    return {**usual, **changed}


def kinds(rows, window: int = 10) -> list[str]:
    alarms = CaptionAlarms(window)
    return [kind for row in rows for kind, message, values in alarms.update(row) if message and values]


def test_a_healthy_run_raises_no_alarm():
    assert kinds([figures()] * 50) == []


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("repetition", {"repeated": 0.4}),
        ("unterminated", {"unterminated": 0.5}),
        ("drift", {"drift": 0.2}),
        ("length", {"length": 1.2}),
    ],
)
def test_each_alarm_rings_when_its_pattern_holds(kind, changed):
    assert kinds([figures()] * 5 + [figures(**changed)] * 9) == []
    assert kinds([figures()] * 5 + [figures(**changed)] * 10) == [kind]
    # One good step in between, and it is no pattern.
    assert kinds([figures(**changed)] * 9 + [figures()] + [figures(**changed)] * 9) == []


def test_figures_that_are_absent_or_no_number_ring_nothing():
    assert kinds([{"reward": 1.0}] * 20) == []
    assert kinds([figures(repeated=math.nan)] * 20) == []
