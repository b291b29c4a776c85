"""The shipped maps: made again byte for byte, drivable everywhere, small."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from apps.driving.roads.build import build_routes, draw, main
from apps.driving.roads.curves import Pose, arc, bend, fillets
from apps.driving.roads.library import HELD_OUT, MAPS, SHIPPED, load_roads
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.route_files import ROUTES
from common.errors import UsageError
from common.files import locate


def components(roads: RoadNetwork, connection: str) -> np.ndarray:
    pairs = [(roads.edge_from, roads.next_node)]
    pairs += [(np.flatnonzero(beside >= 0), beside[beside >= 0]) for beside in (roads.left, roads.right)]
    start, end = (np.concatenate(column) for column in zip(*pairs, strict=True))
    graph = csr_array((np.ones(len(start)), (start, end)), (len(roads), len(roads)))
    return connected_components(graph, connection=connection)[1]


def test_maps_come_out_as_they_are_shipped(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="the networks are made with CARLA's client library")
    pytest.importorskip("scenariogeneration", reason="maps are drawn with scenariogeneration")
    assert main(["--out", str(tmp_path / "maps"), "--routes", str(tmp_path / "routes")]) == 0
    for folder, shipped in ((tmp_path / "maps", MAPS), (tmp_path / "routes", ROUTES)):
        made = sorted(file.name for file in folder.iterdir())
        assert made == sorted(file.name for file in locate(shipped).iterdir())
        assert [name for name in made if content(folder / name) != content(locate(shipped) / name)] == []


def content(file: Path) -> object:
    """What a file holds: of an archive its arrays, for Pythons differ in its headers; of a card no sums and sizes."""
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            return {name: (arrays[name].dtype.str, arrays[name].tobytes()) for name in arrays.files}
    if file.suffix == ".md":
        return re.sub(r"[0-9a-f]{64}|\d+ \+ \d+", "", file.read_text())
    return file.read_bytes()


def test_other_maps_can_be_exported(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="the networks are made with CARLA's client library")
    assert main(["--out", str(tmp_path), "--export", str(locate(MAPS) / "ring.xodr")]) == 0
    assert len(RoadNetwork.load(tmp_path / "ring.npz")) == len(load_roads("ring"))


def test_wrong_names_end_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["atlantis", "--out", str(tmp_path)]) == 2
    assert "there are: town, village" in capsys.readouterr().err
    with pytest.raises(UsageError):
        draw("atlantis")


def test_the_card_tells_the_files_sums() -> None:
    folder = locate(MAPS)
    sums = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(), re.M))
    assert set(sums.values()) == {f"{name}{suffix}" for name in SHIPPED for suffix in (".xodr", ".npz")}
    for digest, name in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_all_maps_together_are_small() -> None:
    assert sum(file.stat().st_size for file in locate(MAPS).iterdir()) < 1_000_000
    assert HELD_OUT in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
class TestMaps:
    def test_every_lane_leads_on_and_is_led_to(self, name: str) -> None:
        roads = load_roads(name)
        assert (np.diff(roads.next_start) > 0).all()
        assert len(np.unique(roads.next_node)) == len(roads)

    def test_lanes_join_without_gap_or_kink(self, name: str) -> None:
        roads = load_roads(name)
        here, there = roads.edge_from, roads.next_node
        assert np.linalg.norm(roads.xyz[here] - roads.xyz[there], axis=1).max() < 1.2
        turned = np.abs(np.angle(np.exp(1j * (roads.yaw[here] - roads.yaw[there]))))
        # Radii of 4.5 m: the tightest that a car drives.
        assert turned.max() < 1 / 4.5

    def test_the_yaw_points_to_the_next_point(self, name: str) -> None:
        roads = load_roads(name)
        way = roads.xyz[roads.next_node, :2] - roads.xyz[roads.edge_from, :2]
        off = np.angle(np.exp(1j * (np.arctan2(way[:, 1], way[:, 0]) - roads.yaw[roads.edge_from])))
        assert np.abs(off).max() < 0.2

    def test_most_spawns_reach_most_others(self, name: str) -> None:
        roads = load_roads(name)
        counts = np.bincount(components(roads, "strong")[roads.spawns])
        # The two directions of the highway do not meet; each hangs together.
        parts = 2 if name == "highway" else 1
        assert np.sort(counts)[-parts:].sum() == len(roads.spawns)
        assert parts == 2 or counts.max() / len(roads.spawns) >= 0.95

    def test_crosswalks_lie_on_the_road(self, name: str) -> None:
        roads = load_roads(name)
        for crossing in roads.crossings:
            middle = crossing[:, :2].mean(axis=0)
            node = roads.nearest(*middle)
            assert np.hypot(*(roads.xyz[node, :2] - middle)) < roads.width[node]
            assert roads.junction[node] == -1

    def test_crossings_have_several_ways(self, name: str) -> None:
        roads = load_roads(name)
        assert (np.diff(roads.next_start) > 1).sum() >= 4


def test_towns_have_t_junctions_crossroads_and_crosswalks() -> None:
    for name in ("town", "village"):
        roads = load_roads(name)
        branches = np.diff(roads.next_start)
        assert (branches == 2).sum() >= 8
        assert (branches == 3).sum() >= 8
        assert len(roads.crossings) >= 8


def test_the_highway_has_two_and_three_lanes_and_ramps(highway: RoadNetwork) -> None:
    lanes = np.unique(highway.lane[highway.junction < 0], axis=0)
    one_way = {road: sorted(lanes[lanes[:, 0] == road, 2].tolist()) for road in np.unique(lanes[:, 0]).tolist()}
    counts = [len(ids) for ids in one_way.values() if max(ids) < 0]
    assert counts.count(3) == 6
    assert counts.count(2) == 6
    assert counts.count(1) == 4


def test_the_hills_are_high_and_not_too_steep() -> None:
    roads = load_roads("hills")
    rise = roads.xyz[roads.next_node] - roads.xyz[roads.edge_from]
    assert np.ptp(roads.xyz[:, 2]) >= 11
    assert (np.abs(rise[:, 2]) / np.hypot(rise[:, 0], rise[:, 1])).max() < 0.2


def test_the_held_out_map_is_another_one(town: RoadNetwork) -> None:
    village = load_roads("village")
    assert village.digest != town.digest
    # No right angles there: headings are spread, where the town's lie on the axes.
    aligned = [np.isclose(np.sin(2 * r.yaw), 0, atol=0.02).mean() for r in (town, village)]
    assert aligned[0] > 0.6
    assert aligned[1] < 0.2


def test_routes_for_single_maps_leave_the_card(tmp_path: Path, town: RoadNetwork) -> None:
    build_routes(tmp_path, {"town": town})
    assert [file.name for file in tmp_path.iterdir()] == ["town.json"]


class TestCurves:
    def test_an_arc_ends_where_geometry_says(self) -> None:
        left, right = (arc(Pose(0, 0, 0), 10, turn) for turn in (np.pi / 2, -np.pi / 2))
        assert left.end == pytest.approx((10, 10, np.pi / 2))
        assert right.end == pytest.approx((10, -10, -np.pi / 2))
        assert left.length == pytest.approx(5 * np.pi)

    def test_a_rounded_corner_is_two_lines_and_an_arc(self) -> None:
        curve = fillets(Pose(0, 0, 0), Pose(30, 40, np.pi / 2), [(30, 0)], 10)
        assert [piece.length for piece in curve.pieces] == pytest.approx([20, 5 * np.pi, 30])

    def test_impossible_corners_are_refused(self) -> None:
        with pytest.raises(UsageError, match="no room"):
            fillets(Pose(0, 0, 0), Pose(30, 40, np.pi / 2), [(30, 0)], 50)
        with pytest.raises(UsageError, match="at an angle"):
            fillets(Pose(0, 0, 1), Pose(30, 0, 0))

    def test_a_bend_is_the_simplest_that_fits(self) -> None:
        pytest.importorskip("pyclothoids", reason="clothoids come with scenariogeneration")
        assert [p.bends for p in bend(Pose(0, 0, 0), Pose(20, 0, 0)).pieces] == [0]
        quarter = bend(Pose(0, 0, 0), Pose(10, 10, np.pi / 2)).pieces[0]
        assert quarter.bends == quarter.bends_end == pytest.approx(0.1)
        shift = bend(Pose(0, 0, 0), Pose(30, 3.5, 0)).pieces[0]
        assert shift.bends == pytest.approx(-shift.bends_end)
