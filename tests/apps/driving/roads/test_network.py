"""Road networks: the nearest point, and files."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.driving.roads.library import SHIPPED, load_roads
from apps.driving.roads.network import RoadNetwork
from common.errors import DataError, UsageError
from tests.apps.driving.roads.small import network, same

coordinate = st.floats(-200, 200)
heading = st.floats(-10, 10)


class TestNearest:
    @settings(deadline=None)
    @given(coordinate, coordinate)
    def test_it_is_the_nearest_of_all(self, x: float, y: float) -> None:
        roads = load_roads("town")
        way = np.hypot(roads.xyz[:, 0] - x, roads.xyz[:, 1] - y)
        assert way[roads.nearest(x, y)] == pytest.approx(way.min(), abs=1e-9)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(coordinate, coordinate, heading), min_size=1, max_size=20))
    def test_many_at_once_are_as_one_by_one(self, places: list[tuple[float, float, float]]) -> None:
        roads = load_roads("town")
        x, y, yaw = np.array(places).T
        assert roads.nearest(x, y).tolist() == [roads.nearest(a, b) for a, b, _ in places]
        assert roads.nearest(x, y, yaw).tolist() == [roads.nearest(a, b, c) for a, b, c in places]
        assert roads.nearest(x, y, yaw, np.zeros(len(x))).tolist() == roads.nearest(x, y, yaw).tolist()

    def test_arrays_of_any_shape(self, town: RoadNetwork) -> None:
        places = town.xyz[:12, :2].reshape(3, 4, 2)
        assert town.nearest(places[..., 0], places[..., 1]).tolist() == np.arange(12).reshape(3, 4).tolist()
        assert town.nearest(np.zeros(0), np.zeros(0), np.zeros(0)).shape == (0,)

    def test_every_point_is_nearest_to_itself_with_its_heading(self, town: RoadNetwork) -> None:
        found = town.nearest(town.xyz[:, 0], town.xyz[:, 1], town.yaw)
        assert (np.hypot(*(town.xyz[found] - town.xyz)[:, :2].T) < 0.5).all()
        assert np.abs(np.angle(np.exp(1j * (town.yaw[found] - town.yaw)))).max() < 0.3

    def test_heading_decides_where_lanes_meet_head_on(self, town: RoadNetwork) -> None:
        # Half a metre beyond the middle line of a street, once going each way.
        node = int(town.spawns[0])
        x, y, yaw = *town.xyz[node, :2], town.yaw[node]
        across = np.array([math.sin(yaw), -math.cos(yaw)])
        x, y = np.array([x, y]) + (town.width[node] / 2 + 0.5) * across
        assert town.lane[town.nearest(x, y)].tolist() != town.lane[node].tolist()
        assert town.lane[town.nearest(x, y, yaw)].tolist() == town.lane[node].tolist()
        assert town.lane[town.nearest(x, y, yaw + math.pi)].tolist() != town.lane[node].tolist()

    def test_a_car_in_the_middle_of_the_wrong_lane_is_there(self, town: RoadNetwork) -> None:
        for node in town.spawns[::20]:
            assert town.nearest(*town.xyz[node, :2], town.yaw[node] + math.pi) == node

    def test_heading_decides_in_a_junction(self, town: RoadNetwork) -> None:
        inside = np.flatnonzero(town.junction >= 0)
        found = town.nearest(town.xyz[inside, 0], town.xyz[inside, 1], town.yaw[inside])
        right = (town.lane[found] == town.lane[inside]).all(axis=1)
        blind = town.nearest(town.xyz[inside, 0] + 0.3, town.xyz[inside, 1] + 0.3)
        seeing = town.nearest(town.xyz[inside, 0] + 0.3, town.xyz[inside, 1] + 0.3, town.yaw[inside])
        assert right.mean() > 0.97
        turned = np.abs(np.angle(np.exp(1j * (town.yaw[[*blind], None] - town.yaw[inside, None]))))
        turned_seeing = np.abs(np.angle(np.exp(1j * (town.yaw[[*seeing], None] - town.yaw[inside, None]))))
        assert turned_seeing.max() < turned.max()

    def test_height_decides_under_a_bridge(self) -> None:
        roads = network(
            xyz=network().xyz * [1, 0, 0] + np.repeat([[0, 0, 0], [0, 0, 7.0]], 60, axis=0),
            left=np.full(120, -1, np.int32),
            right=np.full(120, -1, np.int32),
        )
        assert roads.nearest(20.1, 0.0, z=0.4) == 20
        assert roads.nearest(20.1, 0.0, z=6.5) == 80
        assert roads.nearest(np.array([20.1, 20.1]), np.zeros(2), z=np.array([0.4, 6.5])).tolist() == [20, 80]

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_positions_must_be_finite(self, bad: float) -> None:
        roads = network()
        with pytest.raises(UsageError, match="finite"):
            roads.nearest(bad, 0.0)
        with pytest.raises(UsageError, match="1 of the positions"):
            roads.nearest(np.array([0.0, bad]), np.zeros(2))


class TestFiles:
    @pytest.mark.parametrize("name", SHIPPED)
    def test_a_file_gives_the_same_network_back(self, name: str, tmp_path: Path) -> None:
        roads = load_roads(name)
        path = roads.save(tmp_path / "a.npz")
        assert same(RoadNetwork.load(path), roads)
        assert path.read_bytes() == load_roads(name).save(tmp_path / "b.npz").read_bytes()

    def test_no_pickle_is_needed_or_read(self, tmp_path: Path) -> None:
        with np.load(network().save(tmp_path / "a.npz"), allow_pickle=False) as file:
            assert all(file[name].dtype != object for name in file.files)
        np.savez(tmp_path / "b.npz", format=np.array([{}], dtype=object))
        with pytest.raises(DataError, match="no road network"):
            RoadNetwork.load(tmp_path / "b.npz")

    def test_the_file_is_named_when_it_cannot_be_used(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.npz: no such file"):
            RoadNetwork.load(tmp_path / "gone.npz")
        (tmp_path / "text.npz").write_text("nothing of the kind")
        with pytest.raises(DataError, match=r"text\.npz: this is no road network"):
            RoadNetwork.load(tmp_path / "text.npz")
        whole = network().save(tmp_path / "a.npz").read_bytes()
        (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=r"half\.npz: .* damaged"):
            RoadNetwork.load(tmp_path / "half.npz")
        with pytest.raises(UsageError, match=r"ends in \.npz"):
            network().save(tmp_path / "a.dat")

    def test_other_and_broken_contents_are_refused(self, tmp_path: Path) -> None:
        path = network().save(tmp_path / "a.npz")
        with np.load(path) as file:
            columns = {name: file[name] for name in file.files}

        def refused(message: str, **changes: Any) -> None:
            changed = {name: value for name, value in {**columns, **changes}.items() if value is not None}
            np.savez(tmp_path / "b.npz", **changed)
            with pytest.raises(DataError, match=message):
                RoadNetwork.load(tmp_path / "b.npz")

        refused("lacks yaw", yaw=None)
        refused("format 99", format=np.array(99))
        refused("names points outside", spawns=np.array([5000], np.int32))
        refused("not above 0", width=-columns["width"])
        refused("next_node has 118 edges", next_start=columns["next_start"] * 0)
        refused(r"yaw is float64\(119,\)", yaw=columns["yaw"][:-1])

    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = network().save(tmp_path / "a.npz")
        before = path.read_bytes()

        def fail(*_: Any) -> None:
            raise OSError("disk full")

        monkeypatch.setattr("os.replace", fail)
        with pytest.raises(OSError, match="disk full"):
            network(name="other").save(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_networks_pickle(self) -> None:
        roads = load_roads("town")
        roads.nearest(0.0, 0.0)
        assert same(pickle.loads(pickle.dumps(roads)), roads)


class TestChecks:
    def test_networks_without_roads_or_with_nan_are_refused(self) -> None:
        with pytest.raises(UsageError, match="has no driving lane"):
            network(xyz=np.zeros((0, 3)))
        with pytest.raises(UsageError, match="xyz has values that are not finite"):
            network(xyz=np.full((120, 3), np.nan))
        with pytest.raises(UsageError, match=r"crossings is float64\(4, 3\)"):
            network(crossings=np.zeros((4, 3)))
        with pytest.raises(UsageError, match="next_node is int64"):
            network(next_node=network().next_node.astype(np.int64))

    def test_following(self) -> None:
        assert network().following(3).tolist() == [4]
        assert network().following(59).tolist() == []
