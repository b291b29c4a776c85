"""Height, slope and the way to the next lane."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from apps.driving.backends.ground import Ground
from apps.driving.backends.lanes import Lanes
from apps.driving.backends.pavements import Pavements
from apps.driving.geometry import corners
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.planner import planner_of
from tests.apps.driving.small_roads import WIDTH, Drawing, crossroads, hill, line, ring, street


def test_a_flat_town_is_flat() -> None:
    assert Ground.of(street()).under(20.0, 3.0, 0.0) == (0.0, 0.0, 0.0)


def test_height_and_slope_of_a_hill() -> None:
    ground = Ground.of(hill(grade=0.06))
    for x in (10.2, 10.5, 10.9, 150.0):
        height, east, south = ground.under(x, 1.0, 0.06 * x)
        assert height == pytest.approx(0.06 * x, abs=1e-9)
        assert (east, south) == pytest.approx((0.06, 0.0), abs=1e-9)


def test_the_decks_of_a_bridge_are_told_apart_by_height() -> None:
    drawing = Drawing("bridge")
    drawing.lane(line((-50.0, 0.0), (50.0, 0.0)))
    over = line((0.0, -50.0), (0.0, 50.0))
    drawing.lane(np.column_stack([over, np.full(len(over), 6.0)]))
    ground = Ground.of(drawing.network())
    for place in ((0.2, 0.1), (1.4, 0.3), (0.1, 1.6)):
        assert ground.under(*place, 0.3)[0] == 0.0
        assert ground.under(*place, 5.5)[0] == 6.0


def test_beside_is_the_distance_to_the_lane() -> None:
    ground = Ground.of(street())
    for y, far in ((0.0, 0.0), (WIDTH - 0.3, 0.0), (WIDTH + 1.0, 1.0), (-WIDTH - 2.5, 2.5)):
        assert ground.beside(100.0, y) == pytest.approx(far, abs=0.25)
    assert ground.beside(1e6, -1e6) == 25.0


def test_one_and_many_say_the_same() -> None:
    ground = Ground.of(ring())
    points = np.random.default_rng(0).uniform(-90, 90, (500, 2))
    assert ground.beside_all(points).tolist() == [ground.beside(x, y) for x, y in points.tolist()]


def test_no_lane_is_pavement_and_the_middle_of_a_junction_is_asphalt() -> None:
    roads = crossroads()
    ground = Ground.of(roads)
    boxes = corners(np.column_stack([roads.xyz, roads.yaw]), np.tile([2.35, 0.93], (len(roads), 1)))
    assert ground.beside_all(boxes).max() < 0.5
    assert ground.beside(0.0, 0.0) == 0.0


def test_the_ground_goes_with_its_roads() -> None:
    roads = ring()
    assert Ground.of(roads) is Ground.of(roads)
    assert Ground.of(roads) is not Ground.of(ring())


@pytest.mark.parametrize("make", [Ground.of, Lanes.of, Pavements.of, planner_of])
def test_what_is_made_of_roads_does_not_hold_them(make: Callable[[RoadNetwork], object]) -> None:
    roads = ring()
    make(roads)
    left = weakref.ref(roads)
    del roads
    gc.collect()
    assert left() is None
