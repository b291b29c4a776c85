"""OpenDRIVE through `carla.Map`: what CARLA says is what the network says."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.driving.roads.library import SHIPPED, load_roads, opendrive_of
from apps.driving.roads.opendrive import digest_of, from_opendrive, read_opendrive
from common.errors import DataError, MissingDependency
from tests.apps.driving.roads.small import same

TOWNS = ("Town01", "Town02", "Town04")
ROAD = """<road name="" length="{length}" id="7" junction="-1" {rule}><link/>{speed}
<planView><geometry s="0" x="0" y="0" hdg="0" length="{length}"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="0" b="{slope}" c="0" d="0"/></elevationProfile><lateralProfile/>
<lanes><laneSection s="0"><center><lane id="0" type="none" level="false"/></center>
<right><lane id="-1" type="{kind}" level="false"><link/>
<width sOffset="0" a="3" b="0" c="0" d="0"/>{lane_speed}</lane></right></laneSection></lanes></road>"""


def one_road(kind: str = "driving", **values: Any) -> str:
    filled = {"length": 100, "rule": "", "speed": "", "slope": 0, "lane_speed": "", **values}
    header = '<header revMajor="1" revMinor="4" name="" version="1"/>'
    return f"<OpenDRIVE>{header}{ROAD.format(kind=kind, **filled)}</OpenDRIVE>"


@pytest.fixture
def carla() -> Any:
    return pytest.importorskip("carla", reason="CARLA's client library is not installed")


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "not XML"),
            ("<OpenDRIVE>", "not XML"),
            ("<html/>", "outermost element is <html>"),
            ("<OpenDRIVE/>", "has no driving lane"),
            (one_road(kind="sidewalk"), "has no driving lane"),
            (one_road(rule='rule="LHT"'), "drives on the left"),
            ('<!DOCTYPE a [<!ENTITY b "c">]><OpenDRIVE/>', "refused"),
            (one_road().replace('length="100" id', 'length="long" id'), "broken OpenDRIVE"),
            (one_road().replace(' id="7"', ""), "broken OpenDRIVE"),
            (re.sub("<geometry.*</geometry>", "", one_road()), "road 7 has no geometry"),
            (one_road().replace('length="100" id', 'length="inf" id'), "a length of inf m"),
            (one_road().replace("</OpenDRIVE>", one_road()[one_road().index("<road") :]), "same id"),
        ],
    )
    def test_what_is_no_map_is_refused(self, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            from_opendrive(text, "bad")

    def test_files_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.xodr: no such file"):
            read_opendrive(tmp_path / "gone.xodr")
        (tmp_path / "empty.xodr").write_text("<OpenDRIVE/>")
        with pytest.raises(DataError, match=r"empty\.xodr: .*no driving lane"):
            read_opendrive(tmp_path / "empty.xodr")
        (tmp_path / "binary.xodr").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match="cannot be read as text"):
            read_opendrive(tmp_path / "binary.xodr")

    def test_without_the_wheel_the_npz_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "carla", None)
        with pytest.raises(MissingDependency, match=r"pip install carla.*\.npz"):
            from_opendrive(one_road(), "road")

    def test_line_ends_do_not_make_another_map(self) -> None:
        assert digest_of("<a>\r\n</a>\r\n") == digest_of("<a>\n</a>")
        assert digest_of("<a/>") != digest_of("<b/>")


class TestOneRoad:
    def test_points_width_and_axes(self, carla: Any) -> None:
        roads = from_opendrive(one_road(slope=0.1), "road")
        assert len(roads) == 100
        assert roads.xyz[:, 0] == pytest.approx(np.arange(100) + 0.5, abs=1e-3)
        # The lane is to the right of its road: y is positive there in CARLA's axes.
        assert roads.xyz[:, 1] == pytest.approx(1.5, abs=1e-3)
        assert roads.xyz[:, 2] == pytest.approx(roads.xyz[:, 0] * 0.1, abs=2e-3)
        assert (roads.yaw == 0).all()
        assert (roads.width == 3).all()
        assert (roads.junction == -1).all()
        assert roads.lane[0].tolist() == [7, 0, -1]
        assert len(roads.next_node) == 99
        assert roads.crossings.shape == (0, 4, 3)

    def test_places_that_are_not_finite_are_refused(self, carla: Any) -> None:
        with pytest.raises(DataError, match="no finite place"):
            from_opendrive(one_road().replace('x="0"', 'x="nan"'), "road")

    def test_spawns_keep_from_the_ends(self, carla: Any) -> None:
        spawns = from_opendrive(one_road(), "road").spawns
        assert spawns.tolist() == [6, 16, 26, 36, 46]

    @pytest.mark.parametrize(
        ("values", "limit"),
        [
            ({}, 50),
            ({"speed": '<type s="0" type="town"><speed max="30" unit="km/h"/></type>'}, 30),
            ({"speed": '<type s="0" type="town"><speed max="25" unit="mph"/></type>'}, 25 * 1.609344),
            ({"speed": '<type s="0" type="town"><speed max="10"/></type>'}, 36),
            ({"speed": '<type s="0" type="town"><speed max="no limit"/></type>'}, 50),
            ({"lane_speed": '<speed sOffset="0" max="20" unit="km/h"/>'}, 20),
        ],
    )
    def test_speed_limits(self, carla: Any, values: dict[str, str], limit: float) -> None:
        assert from_opendrive(one_road(**values), "road").speed_limit * 3.6 == pytest.approx(limit, abs=0.01)

    def test_the_limit_changes_along_the_road(self, carla: Any) -> None:
        types = "".join(
            f'<type s="{s}" type="town"><speed max="{v}" unit="km/h"/></type>' for s, v in ((0, 30), (40, 70))
        )
        limits = from_opendrive(one_road(speed=types), "road").speed_limit * 3.6
        assert limits[[0, 39, 40, 99]].round(3).tolist() == [30, 30, 70, 70]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_npz_is_what_the_wheel_makes(carla: Any, name: str) -> None:
    assert same(from_opendrive(opendrive_of(load_roads(name)), name), load_roads(name))


@pytest.mark.parametrize("town", TOWNS)
class TestTowns:
    def test_points_lie_where_carla_has_them(self, carla_maps: Path, carla: Any, town: str) -> None:
        roads = load_roads(carla_maps / f"{town}.xodr")
        world = carla.Map(town, (carla_maps / f"{town}.xodr").read_text())
        for node in range(0, len(roads), 37):
            road, section, lane = (int(v) for v in roads.lane[node])
            point = world.get_waypoint_xodr(road, lane, float(roads.s[node]))
            place = point.transform.location
            assert (place.x, place.y, place.z) == pytest.approx(roads.xyz[node].tolist(), abs=2e-3)
            turn = math.radians(point.transform.rotation.yaw) - roads.yaw[node]
            assert abs(math.remainder(turn, 2 * math.pi)) < 1e-3
            assert point.section_id == section
            assert point.is_junction == (roads.junction[node] >= 0)

    def test_lanes_follow_as_in_carla(self, carla_maps: Path, carla: Any, town: str) -> None:
        roads = load_roads(carla_maps / f"{town}.xodr")
        world = carla.Map(town, (carla_maps / f"{town}.xodr").read_text())
        lasts = np.flatnonzero(np.append((np.diff(roads.lane, axis=0) != 0).any(axis=1), True))
        assert len(lasts) == len(np.unique(roads.lane, axis=0))
        for node in lasts:
            road, _, lane = (int(v) for v in roads.lane[node])
            beyond = world.get_waypoint_xodr(road, lane, float(roads.s[node])).next(0.75)
            ours = {tuple(roads.lane[n].tolist()) for n in roads.following(node)}
            assert ours == {(w.road_id, w.section_id, w.lane_id) for w in beyond}

    def test_points_are_about_a_metre_apart(self, carla_maps: Path, town: str) -> None:
        roads = load_roads(carla_maps / f"{town}.xodr")
        steps = np.linalg.norm(roads.xyz[roads.edge_from] - roads.xyz[roads.next_node], axis=1)
        assert steps.min() > 0.6
        assert steps.max() < 1.5

    def test_spawns_are_outside_of_junctions(self, carla_maps: Path, town: str) -> None:
        roads = load_roads(carla_maps / f"{town}.xodr")
        assert len(roads.spawns) > 100
        assert (roads.junction[roads.spawns] == -1).all()


def test_hills_have_their_height(town04: Any) -> None:
    assert town04.xyz[:, 2].min() == pytest.approx(0, abs=0.01)
    assert town04.xyz[:, 2].max() == pytest.approx(11, abs=0.1)


def test_changes_are_where_carla_allows_them(town04: Any, carla_maps: Path, carla: Any) -> None:
    world = carla.Map("Town04", (carla_maps / "Town04.xodr").read_text())
    seen = {True: 0, False: 0}
    for node in range(0, len(town04), 53):
        road, _, lane = (int(v) for v in town04.lane[node])
        point = world.get_waypoint_xodr(road, lane, float(town04.s[node]))
        for beside, neighbour, bit in (
            (town04.left[node], point.get_left_lane(), 2),
            (town04.right[node], point.get_right_lane(), 1),
        ):
            same_way = neighbour is not None and neighbour.lane_id * lane > 0 and str(neighbour.lane_type) == "Driving"
            allowed = bool(same_way and int(point.lane_change) & bit)
            assert (beside >= 0) == allowed
            seen[allowed] += 1
            if allowed:
                assert town04.lane[beside, 2] == neighbour.lane_id
                place = neighbour.transform.location
                assert math.dist((place.x, place.y), town04.xyz[beside, :2]) < 0.5
    assert min(seen.values()) > 50


def test_signs_set_the_limit(carla_maps: Path) -> None:
    limits = load_roads(carla_maps / "Town02.xodr").speed_limit * 3.6
    assert set(limits.round(1).tolist()) == {30.0, 60.0, 90.0}
