"""People: on the pavement, over the road, and never in front of a car that could not stop."""

from __future__ import annotations

import numpy as np
import pytest

from apps.driving.backends.ground import Ground
from apps.driving.backends.pavements import ASIDE, Pavements
from apps.driving.backends.traffic import Others
from apps.driving.backends.walkers import FASTEST, Walkers
from apps.driving.roads.network import RoadNetwork
from tests.apps.driving.small_roads import WIDTH, crossroads, hill, street

ZEBRA = np.array([[[100.0, -WIDTH - 0.5, 0.0], [103.0, -WIDTH - 0.5, 0.0], [103.0, WIDTH + 0.5, 0.0],
                   [100.0, WIDTH + 0.5, 0.0]]])  # fmt: skip


def boxes(*rows: tuple[float, ...]) -> Others:
    """Cars: x, y, yaw, speed."""
    table = np.array(rows, float).reshape(-1, 4)
    x, y, yaw, speed = table.T
    return Others(x, y, 0.0 * x, yaw, speed, 0.0 * x + 2.3, 0.0 * x + 0.9)


NO_CARS = boxes()


def crowd(roads: RoadNetwork, count: int, seed: int = 0, parked: Others = NO_CARS) -> Walkers:
    rng = np.random.default_rng(seed)
    pavements = Pavements.of(roads)
    places = rng.permutation(len(pavements.xy))[:count].tolist()
    return Walkers(pavements, Ground.of(roads), places, parked, rng)


def test_pavements_lie_beside_the_road() -> None:
    for roads in (street(), crossroads()):
        pavements = Pavements.of(roads)
        beside = Ground.of(roads).beside_all(pavements.xy)
        assert len(pavements.xy) > 100
        assert beside.min() > 1.0
        assert beside.max() < ASIDE + 0.3


def test_people_walk_at_their_pace_and_use_both_pavement_and_road() -> None:
    roads = street()
    people, ground = crowd(roads, 20), Ground.of(roads)
    on_road = 0
    for _ in range(1500):
        before = people.poses
        people.step(0.1, NO_CARS)
        moved = np.hypot(*(people.poses - before)[:, :2].T)
        assert moved.max() <= FASTEST * 0.1 + 1e-9
        beside = ground.beside_all(people.poses[:, :2])
        assert (beside[~people.crossing] > 0.5).all()
        on_road += int((beside == 0.0).sum())
    assert on_road > 100


def test_with_crossings_the_road_is_crossed_only_there() -> None:
    roads = street(crossings=ZEBRA)
    people = crowd(roads, 30)
    seen = 0
    for _ in range(3000):
        people.step(0.1, NO_CARS)
        on_road = people.poses[np.abs(people.poses[:, 1]) < WIDTH]
        seen += len(on_road)
        assert ((on_road[:, 0] > 99.0) & (on_road[:, 0] < 104.0)).all()
    assert seen > 100


def test_they_come_over_the_road_and_walk_on_there() -> None:
    people = crowd(street(crossings=ZEBRA), 10)
    side = np.sign(people.poses[:, 1])
    changed = np.zeros(10, bool)
    for _ in range(6000):
        people.step(0.1, NO_CARS)
        away = np.abs(people.poses[:, 0] - 101.5) > 8.0
        changed |= away & (np.sign(people.poses[:, 1]) != side)
    assert changed.sum() >= 3


def test_nobody_steps_out_before_a_car_that_comes() -> None:
    """A car drives by again and again, fast; nobody steps out when it could not stop any more."""
    roads = street(crossings=ZEBRA)
    people = crowd(roads, 30)
    waited = 0
    for _ in range(60):
        for x in np.arange(20.0, 180.0, 1.4):
            crossing = people.crossing.copy()
            people.step(0.1, boxes((x, WIDTH / 2, 0.0, 14.0)))
            waited += int(people.waiting.sum())
            started = people.crossing & ~crossing
            # At 14 m/s and 5 m/s² a car stops in 20 m.
            assert not started.any() or x > 99.0 or x < 101.5 - 20.0
        for _ in range(30):
            people.step(0.1, NO_CARS)
    assert waited > 100


def test_nobody_walks_into_a_standing_car_and_who_is_held_up_goes_back() -> None:
    roads = street(crossings=ZEBRA)
    people, wall = crowd(roads, 30), boxes((101.5, 0.0, 0.0, 0.0), (106.0, 0.0, 0.0, 0.0), (97.0, 0.0, 0.0, 0.0))
    back = np.zeros(30, int)
    for _ in range(4000):
        crossing, side = people.crossing.copy(), np.sign(people.poses[:, 1])
        people.step(0.1, wall)
        inside = (np.abs(people.poses[:, 0] - 101.5) < 2.3) & (np.abs(people.poses[:, 1]) < 0.9)
        assert not inside.any()
        back += crossing & ~people.crossing & (side == np.sign(people.poses[:, 1]))
    assert back.sum() > 5
    assert not people.crossing.all()


def test_nobody_crosses_where_a_car_is_parked() -> None:
    roads = street(crossings=ZEBRA)
    people = crowd(roads, 20, parked=boxes((101.5, WIDTH + 0.9, 0.0, 0.0)))
    for _ in range(2000):
        people.step(0.1, NO_CARS)
        assert not people.crossing.any()


def test_who_was_hit_stands_for_a_while() -> None:
    people = crowd(street(), 1)
    people.step(0.1, NO_CARS)
    people.halt(0)
    here = people.poses[0, :2].copy()
    for _ in range(40):
        people.step(0.1, NO_CARS)
    assert people.poses[0, :2] == pytest.approx(here)
    for _ in range(40):
        people.step(0.1, NO_CARS)
    assert np.hypot(*(people.poses[0, :2] - here)) > 0.5


def test_drivers_expect_crossing_people_further_on() -> None:
    people = crowd(street(), 20)
    while not people.crossing.any():
        people.step(0.1, NO_CARS)
    people.step(0.1, NO_CARS)
    x, y, long = people.shadows()
    assert (long[people.crossing] > 0.4).all()
    assert (long[~people.crossing] == 0.25).all()
    assert np.hypot(x - people.poses[:, 0], y - people.poses[:, 1])[~people.crossing].max() == 0.0


def test_people_on_a_slope_walk_at_its_height() -> None:
    people = crowd(hill(grade=0.08), 12)
    for _ in range(300):
        people.step(0.1, NO_CARS)
        assert people.poses[:, 2] == pytest.approx(0.08 * people.poses[:, 0], abs=0.1)


def test_people_are_seeded() -> None:
    def walked(seed: int) -> bytes:
        people = crowd(street(), 8, seed)
        for _ in range(300):
            people.step(0.1, NO_CARS)
        return people.poses.tobytes()

    assert walked(3) == walked(3)
    assert walked(3) != walked(4)
