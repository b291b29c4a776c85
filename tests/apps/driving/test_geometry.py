"""Angles, frames and boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.geometry import corners, from_frame, near, overlaps, to_frame, wrap, wrapped

ANGLE = st.floats(-50.0, 50.0)
PLACE = st.floats(-20.0, 20.0)
HALF = st.floats(0.1, 5.0)


@given(ANGLE)
def test_wrap_keeps_the_direction_and_the_interval(angle: float) -> None:
    small = wrap(angle)
    assert -math.pi < small <= math.pi
    assert math.cos(small) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(small) == pytest.approx(math.sin(angle), abs=1e-9)
    assert float(np.cos(wrapped(angle) - small)) == pytest.approx(1.0, abs=1e-9)


def test_half_a_turn_is_positive() -> None:
    assert wrap(math.pi) == wrap(-math.pi) == math.pi
    assert wrapped([math.pi, -math.pi, 3 * math.pi]).tolist() == pytest.approx([math.pi] * 3)


@given(PLACE, PLACE, ANGLE, PLACE, PLACE)
def test_frames_are_inverse(x: float, y: float, yaw: float, px: float, py: float) -> None:
    there = to_frame(np.array([[px, py]]), x, y, yaw)
    assert from_frame(there, x, y, yaw)[0] == pytest.approx([px, py], abs=1e-9)


def test_right_of_the_looker_is_positive() -> None:
    # Looking along y (to the right of x), a point further along x lies to the left.
    assert to_frame([5.0, 3.0], 5.0, 1.0, math.pi / 2) == pytest.approx([2.0, 0.0], abs=1e-12)
    assert to_frame([6.0, 1.0], 5.0, 1.0, math.pi / 2) == pytest.approx([0.0, -1.0], abs=1e-12)


def test_corners_begin_front_right_and_go_round_by_the_rear() -> None:
    assert corners([1.0, 2.0, 0.0], [2.0, 1.0]).tolist() == [[3.0, 3.0], [-1.0, 3.0], [-1.0, 1.0], [3.0, 1.0]]
    turned = corners([[0.0, 0.0, 9.0, math.pi / 2]], [[2.0, 1.0]])
    assert turned[0, 0] == pytest.approx([-1.0, 2.0])


def _inside(point: np.ndarray, pose: tuple[float, float, float], extent: tuple[float, float], slack: float) -> bool:
    ahead, right = to_frame(point, *pose)
    return abs(ahead) <= extent[0] + slack and abs(right) <= extent[1] + slack


@given(PLACE, PLACE, ANGLE, HALF, HALF, ANGLE, HALF, HALF)
def test_boxes_overlap_when_points_of_one_lie_in_the_other(
    x: float, y: float, yaw: float, long: float, wide: float, yaw2: float, long2: float, wide2: float
) -> None:
    """Against a different method: a fine grid over one box, asked whether it lies in the other."""
    one, other = (0.0, 0.0, yaw2), (x / 3, y / 3, yaw)
    grid = np.stack(np.meshgrid(np.linspace(-long, long, 25), np.linspace(-wide, wide, 25)), -1).reshape(-1, 2)
    points = from_frame(grid, *other)
    said = overlaps(one, (long2, wide2), np.array([other]), np.array([[long, wide]]))[0]
    if any(_inside(point, one, (long2, wide2), -1e-6) for point in points):
        assert said
    elif said:
        # The grid is coarse: grown by its spacing it must find them.
        slack = max(long, wide) / 12
        assert any(_inside(point, one, (long2, wide2), slack) for point in points)


@given(PLACE, PLACE, ANGLE, ANGLE, HALF, HALF, HALF, HALF)
def test_overlap_is_mutual(
    x: float, y: float, yaw: float, yaw2: float, long: float, wide: float, long2: float, wide2: float
) -> None:
    one, other = (0.0, 0.0, yaw), (x, y, yaw2)
    there = overlaps(one, (long, wide), np.array([other]), np.array([[long2, wide2]]))
    back = overlaps(other, (long2, wide2), np.array([one]), np.array([[long, wide]]))
    grown = overlaps(other, (long2 + 1e-6, wide2 + 1e-6), np.array([one]), np.array([[long, wide]]))
    shrunk = overlaps(other, (long2 - 1e-6, wide2 - 1e-6), np.array([one]), np.array([[long, wide]]))
    assert there[0] == back[0] or grown[0] != shrunk[0]


def test_a_diagonal_neighbour_is_told_apart_by_its_own_side() -> None:
    """Apart along no side of the first box, but along one of the second."""
    assert not overlaps((0.0, 0.0, 0.0), (1.0, 1.0), np.array([[1.9, 1.9, math.pi / 4]]), np.array([[1.2, 1.2]]))[0]
    assert overlaps((0.0, 0.0, 0.0), (1.0, 1.0), np.array([[1.5, 1.5, math.pi / 4]]), np.array([[1.2, 1.2]]))[0]


def test_the_broad_phase_loses_nobody() -> None:
    rng = np.random.default_rng(0)
    poses = np.column_stack([rng.uniform(-15, 15, (300, 2)), np.zeros(300), rng.uniform(-4, 4, 300)])
    extents = rng.uniform(0.2, 3.0, (300, 2))
    found = near(0.0, 0.0, math.hypot(2.3, 0.9), poses, extents)
    hit = np.flatnonzero(overlaps((0.0, 0.0, 0.4), (2.3, 0.9), poses, extents))
    assert set(hit) <= set(found)
    assert 0 < len(hit) < len(found) < 300
