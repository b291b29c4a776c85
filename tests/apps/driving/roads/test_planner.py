"""The planner: shortest ways, lane changes, commands; and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.driving.roads.assembly import assemble, path_of
from apps.driving.roads.lane_changes import find_changes, wanted_points
from apps.driving.roads.library import SHIPPED, load_roads, opendrive_of
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.opendrive import from_opendrive
from apps.driving.roads.planner import KEPT, plan, plan_through, planner_of, random_routes
from apps.driving.roads.routes import Command, Route, RouteError
from common.errors import TouchstoneError, UsageError
from tests.apps.driving.roads.small import network

CHANGES = (Command.CHANGE_LEFT, Command.CHANGE_RIGHT)


def turns(angles: np.ndarray) -> np.ndarray:
    return np.angle(np.exp(1j * angles))


def equal(one: Route, other: Route) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("xyz", "yaw", "commands", "s", "nodes"))


def check(route: Route, roads: RoadNetwork) -> None:
    """What holds for every route."""
    count = len(route.xyz)
    for name in ("yaw", "width", "commands", "speed_limit", "s", "nodes"):
        assert len(getattr(route, name)) == count
    assert (route.town, route.digest) == (roads.name, roads.digest)
    steps = np.diff(route.s)
    assert route.s[0] == 0
    assert steps.min() > 0.5
    assert steps.max() < 1.6
    assert steps == pytest.approx(np.hypot(*np.diff(route.xyz[:, :2], axis=0).T))
    heading = np.arctan2(*np.diff(route.xyz[:, :2], axis=0).T[::-1])
    assert np.abs(turns(heading - route.yaw[:-1])).max() < 0.25
    assert np.abs(turns(np.diff(route.yaw))).max() < 0.5
    assert np.hypot(*(roads.xyz[route.nodes] - route.xyz)[:, :2].T).max() < 2.0
    assert (route.speed_limit > 0).all()
    assert (route.width > 0).all()
    inside = (roads.junction[route.nodes] >= 0) & ~np.isin(route.commands, CHANGES)
    assert np.isin(route.commands[inside], (Command.LEFT, Command.RIGHT, Command.STRAIGHT)).all()
    outside = (roads.junction[route.nodes] < 0) & ~np.isin(route.commands, CHANGES)
    assert (route.commands[outside] == Command.LANE_FOLLOW).all()


@pytest.mark.parametrize("name", SHIPPED)
def test_random_routes_can_be_driven(name: str) -> None:
    roads = load_roads(name)
    routes = random_routes(roads, 20, (100, 500), seed=3)
    assert len({route.name for route in routes}) == len(routes) == 20
    for route in routes:
        check(route, roads)
        assert 100 <= route.length <= 500
        assert equal(assemble(roads, path_of(route)), route)


def test_routes_through_a_carla_town(town04: RoadNetwork) -> None:
    routes = random_routes(town04, 30, (200, 1500), seed=0)
    for route in routes:
        check(route, town04)
    assert any(np.isin(route.commands, CHANGES).any() for route in routes)
    assert any(np.ptp(route.xyz[:, 2]) > 5 for route in routes)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["town", "village", "ring"]))
def test_no_way_is_shorter(seed: int, name: str) -> None:
    """Against the plain definition: relaxing all edges until nothing changes (no lane changes on these maps)."""
    roads = load_roads(name)
    start, end = (int(node) for node in np.random.default_rng(seed).choice(roads.spawns, 2, replace=False))
    way = np.hypot(*(roads.xyz[roads.next_node] - roads.xyz[roads.edge_from])[:, :2].T)
    best = np.full(len(roads), math.inf)
    best[start] = 0
    while True:
        better = best.copy()
        np.minimum.at(better, roads.next_node, best[roads.edge_from] + way)
        if np.array_equal(better, best):
            break
        best = better
    assert plan(roads, start, end).length == pytest.approx(best[end], abs=1e-6)


class TestCommands:
    @pytest.mark.parametrize("name", ["town", "village", "ring", "hills"])
    def test_they_say_which_way_the_road_turns(self, name: str) -> None:
        roads = load_roads(name)
        seen = set()
        for route in random_routes(roads, 30, (150, 400), seed=1):
            inside = roads.junction[route.nodes]
            for first in np.flatnonzero((inside >= 0) & (np.append(-1, inside[:-1]) != inside)):
                last = first
                while last + 1 < len(inside) and inside[last + 1] == inside[first]:
                    last += 1
                if first == 0 or last == len(inside) - 1:
                    continue
                turned = math.degrees(float(turns(route.yaw[last + 1] - route.yaw[first - 1])))
                command = Command(route.commands[first])
                assert (route.commands[first : last + 1] == command).all()
                # Axes are left-handed: a yaw that grows turns right.
                expected = Command.STRAIGHT if abs(turned) < 30 else Command.RIGHT if turned > 0 else Command.LEFT
                assert command == expected
                seen.add(command)
        assert seen == {Command.LEFT, Command.RIGHT, Command.STRAIGHT}

    def test_the_three_ways_through_a_crossroads(self, town: RoadNetwork) -> None:
        entry = int(np.flatnonzero(np.diff(town.next_start) == 3)[0])
        said = set()
        for follower in town.following(entry):
            path = [entry - 5 + step for step in range(6)] + [int(follower)]
            while town.junction[path[-1]] >= 0:
                path.append(int(town.following(path[-1])[0]))
            said.add(Command(assemble(town, path).commands[8]))
        assert said == {Command.LEFT, Command.RIGHT, Command.STRAIGHT}


class TestLaneChanges:
    def test_a_change_is_smooth_and_goes_to_its_side(self) -> None:
        roads = network()
        for start, end, command, side in ((2, 112, Command.CHANGE_RIGHT, 1), (62, 52, Command.CHANGE_LEFT, -1)):
            route = plan(roads, start, end)
            check(route, roads)
            changing = route.commands == command
            assert 15 < changing.sum() < 30
            across = np.diff(route.xyz[:, 1]) * side
            assert across.min() >= 0
            assert across.max() < 0.35
            assert (route.yaw[changing] * side > 0).all()
            assert np.abs(np.diff(route.yaw)).max() < 0.06
            assert route.xyz[-1, 1] == pytest.approx(roads.xyz[end, 1])
            # Of equal ways the one that changes early is taken.
            assert np.flatnonzero(changing)[0] < 6

    def test_no_change_is_planned_where_none_is_allowed(self) -> None:
        whole = network()
        roads = network(right=np.full(120, -1, np.int32))
        with pytest.raises(RouteError, match="no way from point 2 to point 112"):
            plan(roads, 2, 112)
        assert plan(roads, 62, 52).length < 60
        closed = whole.right.copy()
        closed[20:60] = -1
        route = plan(network(right=closed), 2, 112)
        changing = route.nodes[np.isin(route.commands, CHANGES)]
        assert ((changing % 60) < 20).all()

    def test_a_short_stretch_gets_a_short_change(self) -> None:
        open_for = np.full(120, -1, np.int32)
        open_for[8:20] = network().right[8:20]
        route = plan(network(right=open_for), 2, 112)
        assert 0 < np.isin(route.commands, CHANGES).sum() < 12
        open_for[14:] = -1
        with pytest.raises(RouteError, match="no way"):
            plan(network(right=open_for), 2, 112)

    def test_faster_roads_get_longer_changes(self) -> None:
        length = wanted_points(np.array([5, 15, 25.0]))
        assert length.tolist() == sorted(set(length.tolist()))
        # At most 2 m/s² sideways at the limit.
        assert (6 * 3.5 * np.array([15, 25.0]) ** 2 / length[1:] ** 2 < 2.1).all()

    def test_changes_lead_to_the_lane_beside(self, highway: RoadNetwork) -> None:
        changes = find_changes(highway)
        assert len(changes.start) > 1000
        assert (highway.lane[changes.start, 2] != highway.lane[changes.end, 2]).all()
        assert (changes.points <= changes.wanted).all()
        way = np.hypot(*(highway.xyz[changes.end] - highway.xyz[changes.start])[:, :2].T)
        assert (way < changes.points * 1.1 + 4).all()

    def test_the_highway_is_left_from_its_left_lane(self, highway: RoadNetwork) -> None:
        ramps = highway.spawns[(highway.speed_limit[highway.spawns] < 20) & (highway.lane[highway.spawns, 2] == -1)]
        left = highway.spawns[(highway.speed_limit[highway.spawns] > 20) & (highway.lane[highway.spawns, 2] == -1)]
        cost, _ = planner_of(highway).search(int(left[0]))
        route = plan(highway, int(left[0]), int(ramps[np.isfinite(cost[ramps])][0]))
        check(route, highway)
        assert (route.commands == Command.CHANGE_RIGHT).any()
        assert not (route.commands == Command.CHANGE_LEFT).any()


class TestRefusals:
    def test_unreachable_ends_name_the_next_step(self, highway: RoadNetwork) -> None:
        cost, _ = planner_of(highway).search(int(highway.spawns[0]))
        beyond = int(highway.spawns[~np.isfinite(cost[highway.spawns])][0])
        with pytest.raises(RouteError, match="choose an end on roads that it leads to"):
            plan(highway, int(highway.spawns[0]), beyond)

    def test_start_at_the_goal(self, town: RoadNetwork) -> None:
        with pytest.raises(ValueError, match="give plan_through a position on the way"):
            plan(town, 7, 7)

    def test_too_short(self, town: RoadNetwork) -> None:
        with pytest.raises(ValueError, match=r"3\.0 m long"):
            plan(town, 7, 10)
        with pytest.raises(RouteError, match="at least two points"):
            assemble(town, [7])
        with pytest.raises(RouteError, match="at least two points"):
            assemble(town, [])

    @pytest.mark.parametrize("node", [-1, 10**6])
    def test_points_that_do_not_exist(self, town: RoadNetwork, node: int) -> None:
        with pytest.raises(UsageError, match="is none of them"):
            plan(town, 3, node)
        with pytest.raises(RouteError, match="outside of map 'town'"):
            assemble(town, [3, node])

    def test_paths_that_jump(self, town: RoadNetwork) -> None:
        with pytest.raises(RouteError, match="cannot be reached from point 3 directly"):
            assemble(town, [2, 3, 40])

    def test_errors_are_the_callers(self) -> None:
        assert issubclass(RouteError, ValueError)
        assert issubclass(RouteError, TouchstoneError)
        assert RouteError.exit_code == 2

    def test_impossible_random_routes(self, town: RoadNetwork) -> None:
        with pytest.raises(UsageError, match=r"only \d+ of 3 routes of 90000"):
            random_routes(town, 3, (90_000, 90_001))
        with pytest.raises(UsageError, match="shortest <= longest"):
            random_routes(town, 3, (400, 100))
        with pytest.raises(UsageError, match="0 spawn points"):
            random_routes(network(spawns=np.zeros(0, np.int32)), 1)
        with pytest.raises(UsageError, match="only"):
            random_routes(network(), 50, (10, 60))


class TestThrough:
    def test_it_passes_all_positions_in_order(self, town: RoadNetwork) -> None:
        base = random_routes(town, 1, (350, 400), seed=5)[0]
        marks = np.linspace(0, len(base.xyz) - 1, 5).astype(int)
        route = plan_through(town, base.xyz[marks], yaw=float(base.yaw[0]))
        check(route, town)
        assert equal(route, base)

    def test_a_loop_ends_where_it_began(self, town: RoadNetwork) -> None:
        out = random_routes(town, 1, (200, 300), seed=8)[0]
        route = plan_through(town, [out.xyz[0], out.xyz[-1], out.xyz[0]], yaw=float(out.yaw[0]))
        check(route, town)
        assert route.nodes[0] == route.nodes[-1]
        assert route.length > out.length + 30

    def test_a_route_may_cross_itself(self) -> None:
        roads = load_roads("village")
        # From the east straight over the green, round by the church, and over the green again from the north.
        route = plan_through(roads, [(50.0, -12.0), (-30.0, -6.0), (1.0, -55.0), (1.0, 51.0)])
        check(route, roads)
        green = roads.junction[roads.nearest(0.0, 0.0)]
        entries = np.flatnonzero(np.diff((roads.junction[route.nodes] == green).astype(int)) == 1)
        assert len(entries) == 2
        headings = route.yaw[entries]
        assert abs(turns(headings[1] - headings[0])) > 1

    def test_places_off_the_road_are_named(self, town: RoadNetwork) -> None:
        with pytest.raises(RouteError, match=r"position 1 \(0\.0, 40\.0\) lies .* m off the nearest lane"):
            plan_through(town, [town.xyz[0, :2], (0.0, 40.0)])

    def test_positions_must_be_at_least_two_and_finite(self, town: RoadNetwork) -> None:
        for bad in ([(0.0, 0.0)], [], [(0.0, 0.0), (math.nan, 0.0)], [(1.0,), (2.0,)]):
            with pytest.raises(RouteError, match="positions must be"):
                plan_through(town, bad)

    def test_no_way_through(self) -> None:
        roads = network(right=np.full(120, -1, np.int32))
        with pytest.raises(RouteError, match=r"from position 1 .* to position 2"):
            plan_through(roads, [(2.0, 0.0), (20.0, 0.0), (40.0, 3.5)])


class TestRepeats:
    def test_equal_seeds_give_equal_routes(self, town: RoadNetwork) -> None:
        one, other = (random_routes(town, 5, seed=4) for _ in range(2))
        assert all(equal(a, b) and a.name == b.name for a, b in zip(one, other, strict=True))
        third = random_routes(town, 5, seed=5)
        assert not any(equal(a, b) for a, b in zip(one, third, strict=True))

    def test_kept_routes_are_the_same_and_cannot_be_changed(self, town: RoadNetwork) -> None:
        first, second = plan(town, 10, 200, "a"), plan(town, 10, 200, "b")
        assert (first.name, second.name) == ("a", "b")
        assert second.xyz is first.xyz
        with pytest.raises(ValueError, match="read-only"):
            first.xyz[0] = 0

    def test_not_all_routes_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("apps.driving.roads.planner.KEPT", 3)
        roads = network()
        for end in range(20, 30):
            plan(roads, 2, end)
        assert len(planner_of(roads)._kept) == 3
        assert KEPT > 3

    @pytest.mark.parametrize("name", ["town", "highway"])
    def test_routes_are_the_same_with_and_without_the_wheel(self, name: str) -> None:
        pytest.importorskip("carla", reason="CARLA's client library is not installed")
        by_wheel = from_opendrive(opendrive_of(load_roads(name)), name)
        ours, theirs = (random_routes(roads, 10, seed=2) for roads in (load_roads(name), by_wheel))
        assert all(equal(a, b) for a, b in zip(ours, theirs, strict=True))
