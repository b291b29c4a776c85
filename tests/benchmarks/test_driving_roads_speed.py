"""Road networks: ratios of what is fast to what is slow, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from apps.driving.roads.library import MAPS, load_roads
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.opendrive import read_opendrive
from apps.driving.roads.planner import plan
from common.files import locate

pytestmark = pytest.mark.benchmark


def seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Least CPU time of one call."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def test_many_nearest_points_at_once_are_cheaper_than_one_by_one() -> None:
    roads = load_roads("town")
    random = np.random.default_rng(0)
    x, y, yaw = random.uniform(-100, 100, (3, 2000))
    roads.nearest(0.0, 0.0)
    batched = seconds(lambda: roads.nearest(x, y, yaw)) / len(x)
    single = seconds(lambda: [roads.nearest(*place) for place in zip(x, y, yaw, strict=True)]) / len(x)
    print(
        f"nearest with heading: {1e6 * single:.1f} µs single, {1e6 * batched:.1f} µs batched: {single / batched:.1f}:1"
    )
    assert single / batched > 3


def test_the_npz_loads_faster_than_the_xodr() -> None:
    pytest.importorskip("carla", reason="CARLA's client library is not installed")
    folder = locate(MAPS)
    npz = seconds(lambda: RoadNetwork.load(folder / "village.npz"))
    xodr = seconds(lambda: read_opendrive(folder / "village.xodr"))
    print(f"village: {1e3 * npz:.1f} ms from .npz, {1e3 * xodr:.1f} ms from .xodr: 1:{xodr / npz:.0f}")
    assert xodr / npz > 5


def test_kept_routes_cost_next_to_nothing() -> None:
    roads = load_roads("village")
    pairs = [(int(a), int(b)) for a, b in zip(roads.spawns[::7], roads.spawns[::-7], strict=True) if a != b]
    plan(roads, *pairs[0])
    start = time.process_time()
    for pair in pairs:
        plan(roads, *pair)
    fresh = (time.process_time() - start) / len(pairs)
    kept = seconds(lambda: [plan(roads, *pair) for pair in pairs]) / len(pairs)
    print(f"plan on village: {1e3 * fresh:.2f} ms fresh, {1e3 * kept:.3f} ms kept: {fresh / kept:.0f}:1")
    assert fresh / kept > 10
