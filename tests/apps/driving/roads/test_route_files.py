"""Route files of our own and of the CARLA leaderboard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.driving.roads.leaderboard import plan_leaderboard, read_leaderboard
from apps.driving.roads.library import SHIPPED, load_roads
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.planner import plan, random_routes
from apps.driving.roads.route_files import evaluation_routes, read_routes, write_routes
from apps.driving.roads.routes import Route, RouteError
from common.errors import DataError, UsageError
from tests.apps.driving.roads.small import network


def equal(one: Route, other: Route) -> bool:
    names = ("xyz", "yaw", "width", "commands", "speed_limit", "s", "nodes")
    return one.name == other.name and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


class TestJson:
    @pytest.mark.parametrize("name", ["town", "highway"])
    def test_routes_come_back_exactly(self, name: str, tmp_path: Path) -> None:
        roads = load_roads(name)
        routes = random_routes(roads, 8, (150, 600), seed=1)
        back = read_routes(write_routes(tmp_path / "r.json", routes), roads)
        assert all(equal(a, b) for a, b in zip(routes, back, strict=True))

    def test_every_route_needs_its_own_name(self, tmp_path: Path, town: RoadNetwork) -> None:
        route = plan(town, 10, 200, "a")
        with pytest.raises(UsageError, match="'a' is not"):
            write_routes(tmp_path / "r.json", [route, route])
        with pytest.raises(UsageError, match="'' is not"):
            write_routes(tmp_path / "r.json", [replace(route, name="")])
        with pytest.raises(UsageError, match="no routes"):
            write_routes(tmp_path / "r.json", [])
        assert not list(tmp_path.iterdir())

    def test_a_file_is_of_one_map(self, tmp_path: Path, town: RoadNetwork) -> None:
        with pytest.raises(UsageError, match="of one map"):
            write_routes(tmp_path / "r.json", [plan(town, 10, 200, "a"), plan(network(), 2, 40, "b")])

    def test_routes_of_another_map_are_refused(self, tmp_path: Path, town: RoadNetwork) -> None:
        path = write_routes(tmp_path / "r.json", [plan(town, 10, 200, "a")])
        with pytest.raises(DataError, match="routes of map 'town', not of 'ring'"):
            read_routes(path, load_roads("ring"))
        with pytest.raises(DataError, match=r"another version of map 'town'.*plan them again"):
            read_routes(path, replace(town, digest="f" * 64))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"points": [[0, 10**7]]}, "route 1 cannot be read: its points are not among the map"),
            ({"points": [[0, 5], [50, 60]]}, "route 1 cannot be read: point 50"),
            ({"points": []}, "route 1 cannot be read"),
            ({"points": None}, "route 1 cannot be read"),
            ({"length": 17}, "route 1 says 17.0 m but is"),
            ({"length": "long"}, "route 1 cannot be read"),
        ],
    )
    def test_damaged_rows_are_named(
        self, change: dict[str, Any], message: str, tmp_path: Path, town: RoadNetwork
    ) -> None:
        path = write_routes(tmp_path / "r.json", [plan(town, 10, 200, "a")])
        content = json.loads(path.read_text())
        content["routes"][0].update(change)
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match=message):
            read_routes(path, town)

    def test_other_files_are_refused(self, tmp_path: Path, town: RoadNetwork) -> None:
        for text in ("[]", "{}", '{"format": 2, "routes": []}', '{"format": 1}'):
            (tmp_path / "r.json").write_text(text)
            with pytest.raises(DataError, match="not a route file"):
                read_routes(tmp_path / "r.json", town)
        with pytest.raises(DataError, match="no such file"):
            read_routes(tmp_path / "gone.json", town)

    def test_double_names_are_refused_on_reading(self, tmp_path: Path, town: RoadNetwork) -> None:
        path = write_routes(tmp_path / "r.json", [plan(town, 10, 200, "a"), plan(town, 10, 300, "b")])
        path.write_text(path.read_text().replace('"b"', '"a"'))
        with pytest.raises(DataError, match="two routes are called 'a'"):
            read_routes(path, town)


@pytest.mark.parametrize("name", SHIPPED)
def test_fixed_routes(name: str) -> None:
    routes = evaluation_routes(load_roads(name))
    assert len(routes) == 10
    assert all(150 <= route.length <= 400 for route in routes)
    assert len({(int(route.nodes[0]), int(route.nodes[-1])) for route in routes}) == 10


def test_maps_without_fixed_routes_say_how_to_make_some() -> None:
    with pytest.raises(DataError, match="random_routes"):
        evaluation_routes(network())


ROUTE = '<route id="{id}" town="{town}"><waypoints>{points}</waypoints></route>'


def leaderboard(path: Path, town: str, positions: Any, route_id: str = "7") -> Path:
    points = "".join(f'<position x="{x}" y="{y}" z="{z}"/>' for x, y, z in positions)
    path.write_text(f"<routes>{ROUTE.format(id=route_id, town=town, points=points)}</routes>")
    return path


class TestLeaderboard:
    def test_the_training_routes_are_read_without_their_map(self, shared: Path) -> None:
        path = shared / "data" / "carla_maps" / "routes_training.xml"
        if not path.is_file():
            pytest.skip(f"leaderboard routes not found at {path}")
        routes = read_leaderboard(path)
        assert len(routes) == 90
        assert {route.town for route in routes} == {"Town12"}
        assert sum(len(route.positions) for route in routes) == path.read_text().count("<position")
        assert routes[0].positions[0].tolist() == [983.5, 5382.2, 371]
        assert routes[0].scenarios[0] == "ParkingExit"

    def test_a_missing_map_is_an_error_on_planning_only(self, tmp_path: Path) -> None:
        route = read_leaderboard(leaderboard(tmp_path / "r.xml", "Town12", [(0, 0, 0), (9, 9, 0)]))[0]
        with pytest.raises(UsageError, match=r"route '7' needs map 'Town12': no map.*routes\.folders"):
            plan_leaderboard(route)

    def test_a_route_on_a_map_that_is_there(self, tmp_path: Path, town: RoadNetwork) -> None:
        drive = random_routes(town, 1, (300, 400), seed=1)[0]
        marks = np.linspace(0, len(drive.xyz) - 1, 6).astype(int)
        # As in CARLA's files: positions are rounded and somewhat above the ground.
        positions = np.round(drive.xyz[marks] + [0, 0, 0.5], 1)
        planned = plan_leaderboard(read_leaderboard(leaderboard(tmp_path / "r.xml", "town", positions))[0])
        assert planned.name == "7"
        assert planned.length == pytest.approx(drive.length, abs=3)
        for position in positions:
            assert np.hypot(*(planned.xyz - position)[:, :2].T).min() < 1

    def test_a_wrong_map_or_position_names_the_route(self, tmp_path: Path, town: RoadNetwork) -> None:
        route = read_leaderboard(leaderboard(tmp_path / "r.xml", "ring", [(0, 0, 0), (500, 500, 0)]))[0]
        with pytest.raises(UsageError, match="route '7' is on map 'ring', not on 'town'"):
            plan_leaderboard(route, town)
        with pytest.raises(RouteError, match="route '7': position 0"):
            plan_leaderboard(route)

    def test_version_1_files(self, tmp_path: Path) -> None:
        points = '<waypoint x="1" y="2" z="3" yaw="90"/><waypoint x="4" y="5" z="6" yaw="90"/>'
        (tmp_path / "r.xml").write_text(f'<routes><route id="0" town="Town01">{points}</route></routes>')
        assert read_leaderboard(tmp_path / "r.xml")[0].positions.tolist() == [[1, 2, 3], [4, 5, 6]]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("<routes>", "not XML"),
            ("<html/>", "not a leaderboard file"),
            ("<routes/>", "no <route>"),
            ('<routes><route id="1" town="T"/></routes>', "route '1' has 0 finite positions"),
            ('<routes><route town="T"/></routes>', "route 1 lacks .*id"),
            ('<!DOCTYPE a [<!ENTITY b "c">]><routes/>', "refused"),
            (
                '<routes><route id="1" town="T"><waypoint x="a" y="0" z="0"/></route></routes>',
                "route 1 lacks a number",
            ),
        ],
    )
    def test_broken_files_are_named(self, text: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "r.xml").write_text(text)
        with pytest.raises(DataError, match=rf"r\.xml.*{message}"):
            read_leaderboard(tmp_path / "r.xml")

    def test_double_ids_are_refused(self, tmp_path: Path) -> None:
        text = leaderboard(tmp_path / "r.xml", "T", [(0, 0, 0), (9, 9, 0)]).read_text()
        one = text.removeprefix("<routes>").removesuffix("</routes>")
        (tmp_path / "r.xml").write_text(f"<routes>{one}{one}</routes>")
        with pytest.raises(DataError, match="two routes have the id '7'"):
            read_leaderboard(tmp_path / "r.xml")
