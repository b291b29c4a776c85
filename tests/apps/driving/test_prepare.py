"""The `prepare` verb: maps, their surveys, fixed routes, and the routes of leaderboard files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.driving.__main__ import APP
from apps.driving.prepare import RELEASE
from apps.driving.roads.library import load_roads
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.route_files import read_routes
from apps.driving.roads.survey import survey
from tests.apps.driving.small_roads import Drawing, crossroads, line, ring, street


def prepared(source: Path | str, out: Path, *options: str, code: int = 0) -> Any:
    assert APP.main(["prepare", "--source", str(source), "--out", str(out), *options]) == code
    return json.loads((out / "report.json").read_text()) if (out / "report.json").exists() else None


class TestSurvey:
    def test_a_ring_is_one_part_without_ends(self) -> None:
        found = survey(ring(radius=60.0))
        assert (found.connected, found.parts, found.dead_ends, found.no_way_in) == (1.0, 1, 0, 0)
        assert found.kilometres == pytest.approx(2 * np.pi * 0.06, abs=0.002)
        assert found.limits == (43.2, 43.2)
        assert not found.remarks

    def test_a_street_has_two_ends_and_two_starts(self) -> None:
        found = survey(street())
        assert (found.lanes, found.dead_ends, found.no_way_in) == (2, 2, 2)
        assert any("2 lanes lead nowhere" in remark for remark in found.remarks)
        assert found.kilometres == pytest.approx(0.6, abs=0.002)

    def test_two_rings_are_two_parts(self) -> None:
        drawing = Drawing("rings")
        for middle, count in ((0.0, 200), (500.0, 100)):
            angle = np.arange(count) * 2 * np.pi / count
            lane = drawing.lane(count / 6.28 * np.column_stack([np.cos(angle), np.sin(angle)]) + (middle, 0.0))
            drawing.join(lane, lane)
        found = survey(drawing.network())
        assert found.parts == 2
        assert found.connected == pytest.approx(2 / 3, abs=1e-4)
        assert any("reach each other" in remark for remark in found.remarks)

    def test_junctions_are_counted_and_all_ways_lead_back(self) -> None:
        found = survey(crossroads())
        assert (found.junctions, found.dead_ends, found.connected) == (1, 0, 1.0)

    def test_a_map_without_places_to_start_is_told(self) -> None:
        drawing = Drawing("stub")
        drawing.lane(line((0.0, 0.0), (8.0, 0.0)))
        assert any("no place to put a car" in remark for remark in survey(drawing.network()).remarks)


def test_shipped_maps_get_networks_and_the_routes_that_the_planner_plans(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="the networks are made with CARLA's client library")
    report = prepared("assets/driving/maps/hills.xodr", tmp_path, "--routes", "3", "--longest", "250")
    (name, found) = next(iter(report["maps"].items()))
    assert (name, found["routes"], found["dead_ends"], report["failed"]) == ("hills", 3, 0, {})
    roads = RoadNetwork.load(tmp_path / "hills.npz")
    assert roads.digest == load_roads("hills").digest
    routes = read_routes(tmp_path / "hills.json", roads)
    assert all(150 <= route.length <= 250 for route in routes)
    assert load_roads("hills", (tmp_path,)).digest == roads.digest


def test_what_of_a_map_is_left_out_is_told(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="the networks are made with CARLA's client library")
    report = prepared("assets/driving/maps/town.xodr", tmp_path)
    assert report["maps"]["town"]["left out"] == {"lanes of type sidewalk": 52}


def test_equal_seeds_plan_equal_routes(tmp_path: Path) -> None:
    files = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        prepared("assets/driving/maps/ring.npz", tmp_path / name, "--routes", "2", "--seed", seed)
        files.append((tmp_path / name / "ring.json").read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_folder_and_a_release_are_looked_through_and_broken_maps_are_named(tmp_path: Path) -> None:
    inside = tmp_path / "CARLA" / RELEASE
    inside.mkdir(parents=True)
    ring().save(inside / "ring.npz")
    (inside / "broken.npz").write_bytes(b"no network")
    report = prepared(tmp_path / "CARLA", tmp_path / "out", code=1)
    assert list(report["maps"]) == ["ring"]
    assert "broken.npz" in report["failed"]["broken"]


def test_routes_that_the_map_has_not_are_told_and_the_map_is_kept(tmp_path: Path) -> None:
    ring(radius=20.0).save(tmp_path / "ring.npz")
    lengths = ("--shortest", "3000", "--longest", "4000")
    report = prepared(tmp_path / "ring.npz", tmp_path / "out", "--routes", "1", *lengths, code=1)
    assert report["maps"]["ring"]["routes"] == 0
    assert "ask for fewer" in report["failed"]["ring"]
    assert (tmp_path / "out" / "ring.npz").is_file()


@pytest.mark.parametrize("name", ["nowhere.xodr", "empty", "text.txt", "broken.npz"])
def test_what_cannot_be_used_is_exit_code_2(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("roads")
    (tmp_path / "broken.npz").write_bytes(b"no network")
    assert prepared(tmp_path / name, tmp_path / "out", code=2) is None


class TestLeaderboard:
    def file(self, path: Path, towns: tuple[str, ...]) -> Path:
        roads = load_roads("town")
        routes = ""
        for number, town in enumerate(towns):
            start = int(roads.spawns[3 * number])
            nodes = [start]
            while len(nodes) < 60:
                nodes.append(int(roads.following(nodes[-1])[0]))
            places = "".join('<position x="{}" y="{}" z="{}"/>'.format(*roads.xyz[node]) for node in nodes[::20])
            scenario = '<scenarios><scenario name="s" type="Accident"/></scenarios>'
            routes += f'<route id="{number}" town="{town}"><waypoints>{places}</waypoints>{scenario}</route>'
        path.write_text(f"<routes>{routes}</routes>")
        return path

    def test_routes_are_planned_where_the_map_is_there_and_missing_maps_are_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = self.file(tmp_path / "routes.xml", ("town", "Town12", "town", "Town13", "Town12"))
        report = prepared(file, tmp_path / "out")
        assert report["missing maps"] == {"Town12": 2, "Town13": 1}
        assert report["towns"]["town"]["routes"] == 2
        assert report["scenarios, which are not played"] == {"Accident": 5}
        routes = read_routes(tmp_path / "out" / "town.json", load_roads("town"))
        assert [route.name for route in routes] == ["0", "2"]
        assert "routes.folders" in capsys.readouterr().err.replace("\n", "")

    def test_a_map_may_lie_in_a_folder_of_ones_own(self, tmp_path: Path) -> None:
        from dataclasses import replace

        replace(load_roads("town"), name="Town12").save(tmp_path / "maps" / "Town12.npz")
        file = self.file(tmp_path / "routes.xml", ("Town12",))
        report = prepared(file, tmp_path / "out", "--env.routes.folders", f"[{tmp_path / 'maps'}]")
        assert report["towns"]["Town12"]["routes"] == 1
        assert report["missing maps"] == {}

    def test_no_map_at_all_is_a_failure(self, tmp_path: Path) -> None:
        report = prepared(self.file(tmp_path / "routes.xml", ("Town12",)), tmp_path / "out", code=1)
        assert report["towns"] == {}
