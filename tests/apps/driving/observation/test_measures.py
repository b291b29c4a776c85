"""What the driver knows in numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.backends.base import NOBODY
from apps.driving.env_config import ObservationConfig
from apps.driving.environment.tracker import Place
from apps.driving.observation.measures import (
    MEASURES,
    NEIGHBOUR,
    Way,
    hazard,
    in_ego_frame,
    measures,
    neighbours,
    spread,
)
from tests.apps.driving.observation.scenes import HERE, ego, others
from tests.apps.driving.ways import circle, straight

angles = st.floats(-math.pi, math.pi)
metres = st.floats(-50.0, 50.0)


@given(metres, metres, angles, metres, metres)
def test_ahead_and_right_are_told_from_the_nose(x, y, yaw, ahead, right):
    point = (
        x + ahead * math.cos(yaw) - right * math.sin(yaw),
        y + ahead * math.sin(yaw) + right * math.cos(yaw),
    )
    assert in_ego_frame(np.array([point]), ego(x, y, yaw))[0] == pytest.approx((ahead, right), abs=1e-9)


def test_waypoints_lie_at_even_distances_ahead_and_go_straight_on_beyond_the_end():
    way = Way(straight(100), 30.0)
    assert way.ahead(10.0, 15, 2.0) == pytest.approx(np.array([(12.0 + 2 * k, 0.0) for k in range(15)]))
    assert way.ahead(100.0, 15, 2.0) == pytest.approx(np.array([(102.0 + 2 * k, 0.0) for k in range(15)]))
    assert len(way.ahead(100.0, 15, 2.0)) == 15


def test_waypoints_of_a_bend_lie_on_it():
    points = Way(circle(20.0, turns=0.5), 30.0).ahead(10.0, 10, 2.0)
    assert np.hypot(points[:, 0], points[:, 1] - 20.0) == pytest.approx(20.0, abs=0.05)
    assert np.hypot(*np.diff(points, axis=0).T) == pytest.approx(2.0, abs=0.02)


def test_the_cars_own_state_is_in_the_order_of_its_names():
    place = Place(0, 0.0, -1.5, math.pi / 2, 3.5)
    seen = measures(ego(speed=5.0, steer=-0.2, throttle=0.0, brake=0.6), place, 40.0, 3.0, 0.25)
    found = dict(zip(MEASURES, seen, strict=True))
    assert found == pytest.approx(
        {
            "steer": -0.2,
            "pedals": -0.6,
            "speed": 0.5,
            "yaw rate": 0.0,
            "offset": -0.5,
            "heading": 0.5,
            "lane width": 0.7,
            "left of the route": 0.4,
            "free way": 0.25,
        }
    )


def test_neighbours_are_the_nearest_in_sight_nearest_first_and_zeros_stand_for_nobody():
    config = ObservationConfig(neighbours=3, sight=40.0)
    actors = others((HERE + 20, 1.75), (HERE - 5, 1.75, math.pi), (HERE + 39, 1.75), (HERE + 41, 1.75), (HERE, 9.75))
    found = neighbours(ego(), actors, config)
    assert found.shape == (3, len(NEIGHBOUR))
    assert found[:, 1:3] * 40 == pytest.approx(np.array([(-5.0, 0.0), (0.0, 8.0), (20.0, 0.0)]), abs=1e-5)
    assert found[0, 3:5] == pytest.approx((-1.0, 0.0), abs=1e-6)
    assert found[:, 0].tolist() == [1.0, 1.0, 1.0]
    few = neighbours(ego(), others((HERE + 41, 1.75), (HERE + 6, 1.75)), config)
    assert few[0, 1] * 40 == pytest.approx(6.0, abs=1e-5)
    assert not few[1:].any()
    assert not neighbours(ego(), NOBODY, config).any()


def test_everybody_seen_does_not_depend_on_where_the_world_lies():
    config = ObservationConfig()
    plain = neighbours(ego(0.0, 0.0), others((10.0, 2.0, 0.3), (-4.0, 7.0, -1.0)), config)
    turn, cosine, sine = 2.2, math.cos(2.2), math.sin(2.2)
    moved = [(100 + x * cosine - y * sine, -50 + x * sine + y * cosine, yaw + turn) for x, y, yaw in
             ((10.0, 2.0, 0.3), (-4.0, 7.0, -1.0))]  # fmt: skip
    assert neighbours(ego(100.0, -50.0, turn), others(*moved), config) == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize(
    ("place", "metres"),
    [
        ((20.0, 0.0), (15.0, 21.0)),
        ((20.0, 1.5), (15.0, 21.0)),
        ((20.0, 4.0), (math.inf, math.inf)),
        ((20.0, 3.0, math.pi / 2), (15.0, 21.0)),
        ((-6.0, 0.0), (math.inf, math.inf)),
        ((60.0, 0.0), (math.inf, math.inf)),
    ],
    ids=str,
)
def test_the_hazard_is_the_nearest_thing_in_the_corridor_ahead(place, metres):
    way = np.stack([np.arange(2.0, 32.0, 2.0), np.zeros(15)], 1)
    low, high = metres
    assert low <= hazard(way, others(place), 2.0, 1.1) <= high
    if low < math.inf:
        assert hazard(way, others((28.0, 0.0), place), 2.0, 1.1) == hazard(way, others(place), 2.0, 1.1)


def test_nobody_is_no_hazard():
    assert hazard(np.zeros((3, 2)), NOBODY, 2.0, 1.1) == math.inf


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_the_spread_is_the_standard_deviation(values):
    assert spread(values) == pytest.approx(np.std(values), abs=1e-9)
