"""Progress on a route: what is driven counts, once, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.environment.tracker import RouteTracker
from tests.apps.driving import ways


def follow(tracker, points, yaws=None, reach=None):
    """The gains of driving from point to point; the nose along the way unless told."""
    gains = []
    for number in range(1, len(points)):
        (x0, y0), (x, y) = points[number - 1], points[number]
        yaw = math.atan2(y - y0, x - x0) if yaws is None else yaws[number]
        gains.append(tracker.update(x, y, yaw, math.hypot(x - x0, y - y0) if reach is None else reach))
    return gains


def begun(route, tolerance=3.0):
    tracker = RouteTracker(route, tolerance)
    tracker.start(route.xyz[0, 0], route.xyz[0, 1], route.yaw[0])
    return tracker


@pytest.mark.parametrize("route", [ways.straight(), ways.circle(), ways.circle(turns=2.5), ways.crossing()])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_perfect_drive_gains_the_whole_route_and_no_more(route, stride):
    tracker = begun(route)
    points = [*route.xyz[::stride, :2].tolist(), route.xyz[-1, :2].tolist()]
    gains = follow(tracker, points, yaws=[*route.yaw[::stride].tolist(), route.yaw[-1]])
    assert sum(gains) == pytest.approx(1.0, abs=1e-9)
    assert tracker.progress == pytest.approx(sum(gains), abs=1e-12)
    assert tracker.place.point == len(route.xyz) - 2


def test_a_car_that_begins_a_little_further_on_is_on_its_route_to_the_end():
    route = ways.straight()
    tracker = RouteTracker(route, tolerance=1.0)
    tracker.start(*route.xyz[5, :2], route.yaw[5])
    for x, y, _ in route.xyz[6:]:
        tracker.update(x, y, 0.0, 1.0)
        assert not tracker.off_route
    assert tracker.progress == pytest.approx(1.0)


@given(seed=st.integers(0, 1000), stride=st.floats(0.1, 2.5), wobble=st.floats(0.0, 4.0))
def test_gains_add_up_and_the_place_moves_no_further_than_the_car(seed, stride, wobble):
    rng = np.random.default_rng(seed)
    route = ways.crossing()
    tracker = begun(route)
    x, y, yaw, total = 0.0, 0.0, 0.0, 0.0
    for _ in range(150):
        yaw += rng.normal(0, 0.1 * wobble)
        nx, ny = x + stride * math.cos(yaw), y + stride * math.sin(yaw)
        before = tracker.place
        total += tracker.update(nx, ny, yaw, stride)
        x, y = nx, ny
        assert tracker.place.point - before.point <= math.ceil(stride) + 3
        assert tracker.progress == pytest.approx(total, abs=1e-12)
        assert tracker.gained <= tracker.length + 1e-9
        assert tracker.place.s - before.s <= stride + 2.5


def test_a_crossing_of_the_route_with_itself_gives_no_credit():
    route = ways.crossing()
    tracker = begun(route)
    follow(tracker, [(x, 0.0) for x in range(31)])
    # The route's end lies 30 m to the left of here; its start is a second and a half behind.
    follow(tracker, [(30.0, -y) for y in range(31)])
    assert tracker.gained == pytest.approx(30.0, abs=3.5)
    assert tracker.off_route


def test_a_route_that_ends_where_it_starts_is_not_done_at_its_start():
    tracker = begun(ways.circle())
    assert tracker.progress == 0.0
    tracker.update(0.0, 0.0, 0.0, 0.0)
    assert tracker.progress == 0.0
    tracker.update(-1.0, 0.0, 0.0, 1.0)
    assert tracker.progress == 0.0


def test_metres_off_the_route_are_never_made_good():
    tracker = begun(ways.straight(100))
    follow(tracker, [(float(x), 0.0) for x in range(21)])
    off = follow(tracker, [(20.0, 0.0), (20.5, 3.5), *[(x + 0.0, 3.5) for x in range(21, 41)]])
    assert tracker.off_route
    assert sum(off) == pytest.approx(0.0, abs=1e-9)
    follow(tracker, [(40.0, 3.5), (41.0, 1.0), *[(x + 0.0, 0.0) for x in range(42, 101)]])
    assert not tracker.off_route
    assert tracker.gained == pytest.approx(100 - 20 - 0.0, abs=2.0)
    assert tracker.gained <= 80.0


def test_far_from_the_route_the_place_waits_and_can_be_taken_up_again():
    tracker = begun(ways.straight(100))
    follow(tracker, [(float(x), 0.0) for x in range(21)])
    follow(tracker, [(20.0, float(y)) for y in range(31)])
    assert tracker.place.point <= 21
    follow(tracker, [(20.0, float(y)) for y in range(30, -1, -1)])
    gains = follow(tracker, [(float(x), 0.0) for x in range(20, 31)])
    assert sum(gains) * 100 == pytest.approx(10.0, abs=1e-6)


def test_a_jump_gains_nothing_there_or_afterwards():
    tracker = begun(ways.straight(100))
    follow(tracker, [(0.0, 0.0), (1.0, 0.0)])
    assert tracker.update(60.0, 0.0, 0.0, 1.0) == 0.0
    gains = follow(tracker, [(60.0, 0.0), (61.0, 0.0), (62.0, 0.0)])
    assert sum(gains) == 0.0


@pytest.mark.parametrize("nose", [math.pi, 2.4, -2.4, math.pi / 2])
def test_with_the_nose_against_the_route_nothing_is_gained(nose):
    tracker = begun(ways.straight())
    points = [(float(x), 0.0) for x in range(31)]
    assert sum(follow(tracker, points, yaws=[nose] * 31)) == 0.0


def test_back_and_forth_pays_once():
    tracker = begun(ways.straight())
    there = [(float(x), 0.0) for x in range(31)]
    follow(tracker, there)
    gained = tracker.gained
    for _ in range(3):
        assert sum(follow(tracker, there[::-1], yaws=[0.0] * 31)) == 0.0
        assert sum(follow(tracker, there)) == pytest.approx(0.0, abs=1e-9)
    assert tracker.gained == pytest.approx(gained)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_hills_do_not_shift_the_offset(slope):
    tracker = begun(ways.straight(slope=slope))
    tracker.update(10.0, 1.25, 0.0, 10.0)
    assert tracker.place.offset == pytest.approx(1.25)


@pytest.mark.parametrize(("y", "offset"), [(1.0, 1.0), (-1.0, -1.0), (0.0, 0.0)])
def test_right_is_positive(y, offset):
    tracker = begun(ways.straight())
    tracker.update(5.2, y, 0.0, 6.0)
    assert tracker.place.offset == pytest.approx(offset)


@given(st.floats(-20.0, 20.0))
def test_heading_is_wrapped(yaw):
    tracker = begun(ways.straight())
    tracker.update(1.0, 0.0, yaw, 1.0)
    assert -math.pi < tracker.place.heading <= math.pi
    assert math.cos(tracker.place.heading) == pytest.approx(math.cos(yaw), abs=1e-9)


def test_behind_the_end_the_car_is_off_the_route():
    tracker = begun(ways.straight(20))
    follow(tracker, [(float(x), 0.0) for x in range(31)])
    assert tracker.off_route
    assert tracker.progress == pytest.approx(1.0)
