from __future__ import annotations

from pathlib import Path

import pytest

from apps.driving.roads.library import load_roads
from apps.driving.roads.network import RoadNetwork


@pytest.fixture(scope="session")
def carla_maps(shared: Path) -> Path:
    folder = shared / "data" / "carla_maps"
    if not folder.is_dir():
        pytest.skip(f"CARLA's maps not found at {folder}")
    pytest.importorskip("carla", reason="CARLA's client library is not installed")
    return folder


@pytest.fixture(scope="session")
def town() -> RoadNetwork:
    return load_roads("town")


@pytest.fixture(scope="session")
def highway() -> RoadNetwork:
    return load_roads("highway")


@pytest.fixture(scope="session")
def town04(carla_maps: Path) -> RoadNetwork:
    return load_roads(carla_maps / "Town04.xodr")
