"""The embedded simulator on the shipped maps, and on CARLA's own towns where they and the carla wheel are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.driving.backends.base import Control, Scenario, Traffic
from apps.driving.backends.embedded import EmbeddedBackend
from apps.driving.backends.ground import Ground
from apps.driving.geometry import corners, overlaps
from apps.driving.roads.library import SHIPPED, load_roads
from apps.driving.roads.network import RoadNetwork
from tests.apps.driving.small_roads import route_from


@pytest.fixture(scope="module", params=[*SHIPPED, "Town02", "Town04"])
def town(request: pytest.FixtureRequest) -> RoadNetwork:
    if request.param in SHIPPED:
        return load_roads(request.param)
    pytest.importorskip("carla")
    path: Path = request.getfixturevalue("shared") / "data" / "carla_maps" / f"{request.param}.xodr"
    if not path.is_file():
        pytest.skip(f"no {path}")
    from apps.driving.roads.opendrive import read_opendrive

    return read_opendrive(path)


def test_a_car_on_its_lane_touches_no_kerb(town: RoadNetwork) -> None:
    boxes = corners(np.column_stack([town.xyz, town.yaw]), np.tile([2.35, 0.93], (len(town), 1)))
    assert Ground.of(town).beside_all(boxes).max() < 0.5


def test_heights_are_those_of_the_lanes_on_bridges_too(town: RoadNetwork) -> None:
    ground = Ground.of(town)
    for x, y, z in town.xyz[::23].tolist():
        assert ground.under(x + 0.3, y - 0.2, z + 0.2)[0] == pytest.approx(
            z, abs=0.25
        )  # lanes that cross differ by that


def test_traffic_flows_without_crashes(town: RoadNetwork) -> None:
    backend = EmbeddedBackend(town)
    frame = backend.reset(Scenario(route_from(town, int(town.spawns[10]), 200), Traffic(24, 8, 4), seed=3))
    driven = np.zeros(24)
    for step in range(600):
        frame = backend.step(Control(brake=1.0))
        assert not frame.collisions
        driven += 0.1 * frame.actors.speeds[:24]
        if step % 10:
            continue
        poses, extents = frame.actors.poses[:28], frame.actors.extents[:28]
        for row in range(24):
            x, y, z, yaw = poses[row]
            level = np.abs(poses[:, 2] - z) < 3.0
            assert overlaps((x, y, yaw), tuple(extents[row]), poses[level], extents[level]).sum() == 1
    assert np.median(driven) > 150.0
