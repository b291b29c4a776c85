"""Cars: car following, bends, junctions, the end of the road."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.backends.junctions import EgoClaims
from apps.driving.backends.lanes import SIDEWAYS, Lanes
from apps.driving.backends.traffic import HARDEST, Fleet, Others, idm
from apps.driving.backends.ways import Ways
from apps.driving.geometry import overlaps, wrap
from apps.driving.roads.network import RoadNetwork
from tests.apps.driving.small_roads import WIDTH, Drawing, arriving, crossroads, line, ring, route_from, street

NOBODY_ELSE = Others(*(np.zeros(0) for _ in Others._fields))


def someone(x: float, y: float, yaw: float = 0.0, speed: float = 0.0, long: float = 2.3, wide: float = 0.9) -> Others:
    return Others(*(np.array([value]) for value in (x, y, 0.0, yaw, speed, long, wide)))


def cars(roads: RoadNetwork, nodes: list[int], seed: int = 0) -> Fleet:
    return Fleet(Lanes.of(roads), nodes, np.tile([2.3, 0.9], (len(nodes), 1)), np.random.default_rng(seed))


def go(fleet: Fleet, seconds: float, others: Others = NOBODY_ELSE) -> Fleet:
    for _ in range(round(seconds * 10)):
        fleet.step(0.1, others)
    return fleet


def spread(roads: RoadNetwork, count: int, seed: int = 0) -> list[int]:
    """So many spawn points, none twice."""
    return [int(node) for node in np.random.default_rng(seed).permutation(roads.spawns)[:count]]


def touching(fleet: Fleet) -> list[tuple[int, int]]:
    found = []
    for car in range(len(fleet.poses)):
        x, y, _, yaw = fleet.poses[car]
        hit = overlaps((x, y, yaw), tuple(fleet.extents[car]), fleet.poses, fleet.extents)
        found += [(car, int(other)) for other in np.flatnonzero(hit) if other != car]
    return found


def one(value: float) -> np.ndarray:
    return np.array([value])


def test_idm_by_hand() -> None:
    """v = 10, v0 = 20, s = 20, Δv = 2, T = 1.5; a = 1, b = 1.5, s0 = 2."""
    wish = 2.0 + 10 * 1.5 + 10 * 2 / (2 * math.sqrt(1.5))
    expected = 1.0 - 0.5**4 - (wish / 20.0) ** 2
    assert idm(one(10.0), one(20.0), one(20.0), one(2.0), one(1.5)) == pytest.approx([expected])
    assert idm(one(0.0), one(20.0), one(math.inf), one(0.0), one(1.5)) == pytest.approx([1.0])


@given(st.floats(0, 40), st.floats(0.5, 40), st.floats(-5, 200), st.floats(-40, 40), st.floats(0.5, 3))
def test_idm_stays_within_what_a_car_can_do(v: float, v0: float, gap: float, closing: float, headway: float) -> None:
    value = idm(one(v), one(v0), one(gap), one(closing), one(headway))[0]
    assert -HARDEST <= value <= 1.0
    further = idm(one(v), one(v0), one(gap + 5.0), one(closing), one(headway))[0]
    assert further >= value


def test_a_free_car_comes_to_its_speed_and_keeps_to_the_lane() -> None:
    fleet = go(cars(street(600.0), [0]), 30.0)
    assert 0.8 * 10.0 - 0.1 <= fleet.speed[0] <= 1.05 * 10.0
    assert fleet.poses[0, 1] == pytest.approx(WIDTH / 2)
    assert fleet.poses[0, 3] == pytest.approx(0.0)


def test_it_slows_down_for_bends() -> None:
    radius = 12.0
    fleet = go(cars(ring(radius, limit=30.0), [0]), 30.0)
    assert fleet.speed[0] ** 2 / radius <= SIDEWAYS * 1.05**2 * 1.05
    assert fleet.speed[0] > 3.0


def test_it_stops_behind_what_stands_on_its_way_and_passes_what_stands_beside() -> None:
    fleet = go(cars(street(), [0]), 40.0, someone(100.0, WIDTH / 2))
    bumper = fleet.poses[0, 0] + 2.3
    assert fleet.speed[0] < 0.05
    assert 100.0 - 2.3 - 4.0 < bumper < 100.0 - 2.3 - 0.5
    fleet = go(cars(street(), [0]), 20.0, someone(100.0, -WIDTH / 2, math.pi))
    assert fleet.poses[0, 0] > 110.0


def test_it_stops_for_a_person_on_the_road_and_not_on_the_pavement() -> None:
    fleet = go(cars(street(), [0]), 40.0, someone(80.0, WIDTH / 2 + 0.5, math.pi / 2, 1.0, 0.25, 0.3))
    assert fleet.poses[0, 0] + 2.3 < 80.0 - 0.3
    fleet = go(cars(street(), [0]), 20.0, someone(80.0, WIDTH + 1.5, 0.0, 1.0, 0.25, 0.3))
    assert fleet.poses[0, 0] > 90.0


def test_it_stops_for_something_across_the_road() -> None:
    fleet = go(cars(street(), [0]), 40.0, someone(80.0, 0.0, math.pi / 2))
    assert 60.0 < fleet.poses[0, 0] + 2.3 < 80.0 - 0.9


def test_it_does_not_stop_for_someone_on_a_bridge() -> None:
    roads = street()
    lifted = roads.xyz.copy()
    lifted[-1, 2] = 9.0  # somewhere in this town there is a hill
    roads = RoadNetwork(**{**{name: getattr(roads, name) for name in roads.__dataclass_fields__}, "xyz": lifted})
    above = someone(80.0, 0.0, math.pi / 2)._replace(z=np.array([6.0]))
    assert go(cars(roads, [0]), 20.0, above).poses[0, 0] > 90.0


def test_a_platoon_keeps_its_order_and_its_distance() -> None:
    fleet = cars(street(600.0), [0, 12, 24, 36])
    for _ in range(400):
        fleet.step(0.1, NOBODY_ELSE)
        assert (np.diff(fleet.poses[:, 0]) > 4.6 + 0.5).all()


@pytest.mark.parametrize("seed", range(3))
def test_traffic_at_a_crossroads_neither_crashes_nor_jams(seed: int) -> None:
    roads = crossroads()
    fleet = cars(roads, spread(roads, 16, seed), seed)
    fleet.start(NOBODY_ELSE)
    way, still = np.zeros(16), np.zeros(16)
    for step in range(1500):
        fleet.step(0.1, NOBODY_ELSE)
        way += 0.1 * fleet.speed
        still = np.where(fleet.speed < 0.1, still + 0.1, 0.0)
        assert still.max() < 60.0
        if step % 5 == 0:
            assert not touching(fleet)
    assert way.min() > 150.0


def test_ways_that_cross_are_not_driven_together() -> None:
    roads = crossroads()
    fleet = cars(roads, spread(roads, 12), 1)
    lanes = Lanes.of(roads)
    together = 0
    for _ in range(600):
        fleet.step(0.1, NOBODY_ELSE)
        inside = np.flatnonzero(fleet.junctions.inside).tolist()
        together = max(together, len(inside))
        held = [fleet.ways.passages[car][0].strips for car in inside]
        for index, strips in enumerate(held):
            for others in held[:index]:
                assert not any(other in lanes.conflicts[strip] for strip in strips for other in others)
    assert together >= 2  # who does not cross anybody need not wait


def test_right_turns_of_opposite_arms_do_not_conflict_and_straights_across_do() -> None:
    roads = crossroads()
    lanes = Lanes.of(roads)
    inside = [index for index, strip in enumerate(lanes.strips) if strip.junction >= 0]
    assert len(inside) == 12
    sizes = sorted(len(lanes.conflicts[index]) for index in inside)
    assert sizes[0] < 4  # a right turn meets only who leaves by the same arm
    assert sizes[-1] > 5
    for index in inside:
        assert all(index in lanes.conflicts[other] for other in lanes.conflicts[index])


def test_left_turns_of_opposite_arms_conflict() -> None:
    """Their centres stay apart, but the cars, turned towards each other, would not."""
    roads = crossroads()
    lanes = Lanes.of(roads)
    left = []
    for index, strip in enumerate(lanes.strips):
        turn = wrap(float(roads.yaw[strip.nodes[-1]] - roads.yaw[strip.nodes[0]]))
        if strip.junction >= 0 and turn < -1.0:
            left.append(index)
    assert len(left) == 4
    for index in left:
        start = roads.yaw[lanes.strips[index].nodes[0]]
        opposite = [one for one in left if abs(wrap(float(roads.yaw[lanes.strips[one].nodes[0]] - start))) > 3.0]
        assert opposite[0] in lanes.conflicts[index]


def test_a_claim_of_the_ego_keeps_others_out() -> None:
    roads = crossroads()
    lanes = Lanes.of(roads)
    fleet = cars(roads, spread(roads, 6))
    everything = list(lanes.conflicts)
    for _ in range(400):
        fleet.step(0.1, NOBODY_ELSE, everything)
    assert not fleet.junctions.inside.any()
    for _ in range(100):
        fleet.step(0.1, NOBODY_ELSE)
    assert fleet.junctions.inside.any()


@pytest.mark.parametrize(("behind", "enters"), [(3.0, False), (30.0, True)])
def test_nobody_enters_a_junction_without_room_behind_it(behind: float, enters: bool) -> None:
    roads = crossroads()
    fleet = cars(roads, spread(roads, 1))
    place = 10.0 + behind + 2.3
    turn = np.arange(4) * math.pi / 2
    x, y = place * np.cos(turn) - WIDTH / 2 * np.sin(turn), place * np.sin(turn) + WIDTH / 2 * np.cos(turn)
    wall = Others(x, y, 0 * x, turn, 0 * x, 0 * x + 2.3, 0 * x + 0.9)
    inside = False
    for _ in range(600):
        fleet.step(0.1, wall)
        inside |= bool(np.abs(fleet.poses[0, :2]).max() < 9.0)
    assert inside == enters


def test_a_junction_of_several_strips_is_one_passage() -> None:
    drawing = Drawing("fork")
    first = drawing.lane(line((0.0, 0.0), (50.0, 0.0)))
    into = drawing.lane(line((51.0, 0.0), (60.0, 0.0)), junction=1)
    ways = [drawing.lane(line((61.0, y), (70.0, y)), junction=1) for y in (0.0, 0.5)]
    ends = [drawing.lane(line((71.0, y), (120.0, y))) for y in (0.0, 0.5)]
    drawing.join(first, into)
    for way, end in zip(ways, ends, strict=True):
        drawing.join(into, way)
        drawing.join(way, end)
    ways_ = Ways(Lanes.of(drawing.network()), [0], np.random.default_rng(0))
    [passage] = ways_.passages[0]
    assert len(passage.strips) == 2
    assert (passage.enter, passage.leave) == pytest.approx((51.0, 70.0), abs=0.2)
    assert ways_.end[0] == pytest.approx(120.0, abs=0.3)


def test_claims_of_the_ego() -> None:
    roads = crossroads()
    start = arriving(roads)
    route = route_from(roads, start, 80)
    inside = np.flatnonzero(roads.junction[route.nodes] >= 0)
    strip = int(Lanes.of(roads).strip_of[route.nodes[inside[0]]])

    def held(metres: float, speed: float, aside: float = 0.0) -> tuple[int, ...]:
        index = int(np.clip(inside[0] + metres, 0, len(route.xyz) - 1))
        x, y = route.xyz[index, :2]
        return EgoClaims(Lanes.of(roads), route).held(x, y + aside, speed, 2.35)

    assert held(-20.0, 5.0) == ()  # too far
    assert held(-10.0, 5.0) == (strip,)
    assert held(-20.0, 12.0) == (strip,)  # faster
    assert held(-4.0, 0.2) == ()  # stands before it
    assert held(3.0, 0.0) == (strip,)  # stands in it
    assert held(float(len(inside)) + 6.0, 5.0) == ()  # is through
    assert held(-10.0, 5.0, aside=20.0) == ()  # who knows


def test_at_the_end_of_the_road_a_car_leaves_and_comes_back() -> None:
    roads = street(100.0)
    fleet = go(cars(roads, [0]), 40.0)
    assert fleet.away.tolist() == [True]
    assert np.abs(fleet.poses[0, :2]).min() > 1e6
    fleet.enter(0, 5)
    assert not fleet.away.any()
    assert fleet.poses[0, 0] == pytest.approx(5.0)
    go(fleet, 3.0)
    assert 6.0 < fleet.poses[0, 0] < 20.0


def test_turns_are_drawn_from_the_generator() -> None:
    roads = crossroads()
    nodes = spread(roads, 8)
    one, same, other = (go(cars(roads, nodes, seed), 40.0).poses.tobytes() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_all_turns_are_taken() -> None:
    roads = crossroads()
    fleet = cars(roads, spread(roads, 12))
    strips = Lanes.of(roads).strip_of
    driven: set[int] = set()
    for _ in range(3000):
        fleet.step(0.1, NOBODY_ELSE)
        driven |= {int(strips[node]) for node in fleet.ways.nodes[np.arange(12), fleet.ways.at]}
    assert driven == set(range(len(Lanes.of(roads).strips)))


def test_a_ring_is_driven_round_and_round() -> None:
    fleet = go(cars(ring(20.0), [0, 60]), 120.0)
    assert np.hypot(*fleet.poses[:, :2].T) == pytest.approx(20.0, abs=0.1)
    assert (fleet.ways.arc[:, 0] > 2 * math.pi * 20.0).all()


def test_every_point_lies_in_one_strip_and_strips_hang_together() -> None:
    for roads in (street(), ring(), crossroads()):
        lanes = Lanes.of(roads)
        seen = np.concatenate([strip.nodes for strip in lanes.strips])
        assert sorted(seen.tolist()) == list(range(len(roads)))
        for strip in lanes.strips:
            for first, then in zip(strip.nodes, strip.nodes[1:], strict=False):
                assert then in roads.following(first)
            ends = {int(lanes.strips[index].nodes[0]) for index, _ in strip.successors}
            assert ends == set(roads.following(strip.nodes[-1]).tolist())
