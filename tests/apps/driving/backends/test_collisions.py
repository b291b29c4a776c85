"""Contacts: nobody slips through, each is told once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.driving.backends.base import Kind
from apps.driving.backends.collisions import AGAIN, Contacts, first_touches, impulse
from apps.driving.geometry import overlaps

CAR = (2.35, 0.93)


def touches(before: tuple, after: tuple, starts: list, ends: list, extents: list, z: float = 0.0) -> list:
    return first_touches(
        before, after, z, CAR, np.array(starts, float), np.array(ends, float), np.array(extents, float)
    )


def test_a_fast_car_does_not_jump_over_a_person() -> None:
    person = [[25.0, 0.0, 0.0, 0.0]]
    found = touches((0.0, 0.0, 0.0), (50.0, 0.0, 0.0), person, person, [[0.25, 0.3]])
    assert [row for row, _ in found] == [0]
    assert found[0][1] == pytest.approx((25.0 - 0.25 - 2.35) / 50.0, abs=0.02)


def test_two_that_pass_through_each_other_meet() -> None:
    found = touches((0, 0, 0), (6.0, 0, 0), [[12.0, 0, 0, math.pi]], [[0.0, 0, 0, math.pi]], [[2.3, 0.9]])
    assert [row for row, _ in found] == [0]
    crossing = touches((0, 0, 0), (0, 0, 0), [[0, -8.0, 0, math.pi / 2]], [[0, 8.0, 0, math.pi / 2]], [[2.3, 0.9]])
    assert [row for row, _ in crossing] == [0]


def test_who_is_on_another_deck_or_has_been_put_elsewhere_is_not_met() -> None:
    there = [[3.0, 0.0, 8.0, 0.0]]
    assert touches((0, 0, 0), (5.0, 0, 0), there, there, [[2.3, 0.9]]) == []
    assert touches((0, 0, 0), (0, 0, 0), [[-1e7, 0, 0, 0]], [[900.0, 0, 0, 0]], [[2.3, 0.9]]) == []


def test_the_first_comes_first() -> None:
    people = [[40.0, 0, 0, 0], [10.0, 0, 0, 0], [25.0, 9.0, 0, 0]]
    found = touches((0, 0, 0), (50.0, 0, 0), people, people, [[0.25, 0.3]] * 3)
    assert [row for row, _ in found] == [1, 0]


PLACE = st.floats(-8.0, 8.0)


@given(
    st.tuples(PLACE, PLACE, st.floats(-3, 3)), PLACE, PLACE, st.tuples(PLACE, PLACE, st.floats(-3, 3)), PLACE, PLACE
)
def test_against_a_finer_cut(start: tuple, dx: float, dy: float, other: tuple, ex: float, ey: float) -> None:
    """What a thousand looks at a slightly smaller box find is found."""
    end = (start[0] + dx, start[1] + dy, start[2])
    there, then = (other[0], other[1], 0.0, other[2]), (other[0] + ex, other[1] + ey, 0.0, other[2])
    # Who touches at the start was told a step before, and may be gone at the first look.
    assume(not overlaps(start, CAR, np.array([there]), np.array([[2.3, 0.9]]))[0])
    found = touches(start, end, [there], [then], [[2.3, 0.9]])
    small = (CAR[0] - 0.25, CAR[1] - 0.25)
    for part in np.linspace(0.0, 1.0, 200)[1:]:
        pose = (start[0] + part * dx, start[1] + part * dy, start[2])
        at = np.array([[other[0] + part * ex, other[1] + part * ey, 0.0, other[2]]])
        if overlaps(pose, small, at, np.array([[2.3, 0.9]]))[0]:
            assert found
            return


def test_one_contact_is_told_once_in_five_seconds() -> None:
    contacts = Contacts()
    assert contacts.new([7, 7, 3], 0.0) == [7, 3]
    assert contacts.new([7], 0.1) == []
    assert contacts.new([7], AGAIN) == []  # still touching a moment ago
    assert contacts.new([3], AGAIN) == [3]
    assert contacts.new([7], 3 * AGAIN) == [7]


def test_leaning_on_somebody_is_one_contact() -> None:
    contacts = Contacts()
    told = [time for time in np.arange(0.0, 30.0, 0.1) if contacts.new([1], float(time))]
    assert told == [0.0]


def test_a_person_gives_a_smaller_push_than_a_car() -> None:
    assert impulse(1760.0, Kind.WALKER, 10.0) == pytest.approx(1760 * 80 / 1840 * 10)
    assert impulse(1760.0, Kind.WALKER, 10.0) < impulse(1760.0, Kind.VEHICLE, 10.0)
