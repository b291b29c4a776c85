"""VLM-RL's counting: what it gives, and where it goes wrong (reference, defect 3)."""

from __future__ import annotations

import math

import pytest

from apps.driving.measures import vlm_rl
from tests.apps.driving.measures.made import episode
from tests.apps.driving.small_roads import route_from, street


@pytest.fixture(scope="module")
def route():
    roads = street(200.0)
    return route_from(roads, 0, 101)


def along(route, start, stop, right=0.0):
    """A row of a track each metre, to the right of the route."""
    return [(x, float(route.xyz[0, 1]) + right, 0.0, 5.0) for x in range(start, stop + 1)]


def test_on_the_route_it_counts_the_points_that_were_passed(route):
    # Point 50 is not passed by standing on it.
    assert vlm_rl.completion(route, along(route, 0, 50)) == pytest.approx(50 / 101)


def test_a_car_that_never_moved_has_some_completion_all_the_same(route):
    assert vlm_rl.completion(route, []) == pytest.approx(1 / 101)


def test_far_off_the_route_it_goes_on_counting(route):
    assert vlm_rl.completion(route, along(route, 0, 50, right=80.0)) == pytest.approx(50 / 101)


def test_beyond_the_end_it_starts_over_and_is_clipped(route):
    assert vlm_rl.completion(route, along(route, 0, 150)) == 1.0


def test_success_asks_for_the_place_alone(route):
    assert vlm_rl.success(route, along(route, 99, 99))
    assert vlm_rl.success(route, along(route, 96, 96))
    assert not vlm_rl.success(route, along(route, 94, 94))
    assert not vlm_rl.success(route, [])


def test_the_interval_between_collisions_forgets_the_steps_after_the_last():
    hit = [("vehicle", 5.0, 1)]
    drives = [episode(steps=10), episode(steps=20, hits=hit), episode(steps=5, hits=hit), episode(steps=1000)]

    assert vlm_rl.collision_interval(drives) == pytest.approx((30 + 5) / 2)
    assert math.isnan(vlm_rl.collision_interval(drives[:1]))
