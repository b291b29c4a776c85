"""How time and memory of rendering, forward and backward, grow with views, sides and primitives; drawn as pictures.

Run with `python -m pytest -n 0 -s -m benchmark tests/benchmarks/test_text3d_growth.py`; about two minutes. Writes
growth.json and growth-*.svg into runs/text3d/benchmark. Times are CPU seconds of one thread; what is asserted are
ratios of one run.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from apps.text3d.scenes.base import Views
from apps.text3d.scenes.config import GaussianConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
from common.files import write_bytes, write_json
from common.plots import lines
from tests.apps.text3d.scenes.solids import seeded
from tests.benchmarks.test_text3d_rendering import cameras, peaks, rate

pytestmark = pytest.mark.benchmark

FOLDER = Path(__file__).resolve().parents[2] / "runs" / "text3d" / "benchmark"
Points = list[tuple[float, float]]


def seconds(render: Callable[[], Views], views: int) -> float:
    return views / rate(render, views)


def drawn(name: str, series: dict[str, Points], x: str, y: str) -> None:
    data = io.BytesIO()
    lines({label: [points] for label, points in series.items()}, x, y).savefig(data, format="svg")
    write_bytes(FOLDER / f"growth-{name}.svg", data.getvalue())
    write_json(FOLDER / f"growth-{name}.json", series)
    print(f"\n{x}: {y}")
    for label, points in series.items():
        print(f"{label:24} " + " ".join(f"{at:g}: {value:.3g}" for at, value in points))


def test_time_by_views_sides_and_primitives() -> None:
    torch.set_num_threads(1)
    voxels, splats = VoxelScene(VoxelConfig(), seeded()), GaussianScene(GaussianConfig(count=1000), seeded())
    scenes = {"voxels 48^3, fog": voxels, "1,000 Gaussians": splats}
    by_views: dict[str, Points] = {}
    by_side: dict[str, Points] = {}
    for name, scene in scenes.items():
        by_views[name] = [
            (views, seconds(lambda s=scene, v=views: s.render(cameras(56, v)), views))  # type: ignore[misc]
            for views in (2, 4, 8, 16)
        ]
        by_side[name] = [
            (side, seconds(lambda s=scene, a=side: s.render(cameras(a)), 4))  # type: ignore[misc]
            for side in (28, 56, 84, 112)
        ]
    counts: Points = []
    for count in (500, 1000, 2000, 4000):
        many = GaussianScene(GaussianConfig(count=count), seeded())
        counts.append((count, seconds(lambda s=many: s.render(cameras(56)), 4)))  # type: ignore[misc]
    drawn("views", by_views, "views", "seconds a step, 56 px")
    drawn("side", by_side, "pixels a side", "seconds a step, 4 views")
    drawn("primitives", {"Gaussians": counts}, "Gaussians", "seconds a step, 4 views of 56 px")
    for points in by_views.values():
        assert points[-1][1] / points[0][1] < 8 * 1.5
    for points in by_side.values():
        assert points[-1][1] / points[0][1] < 16 * 1.5
    # All pixels against all Gaussians would be 8.
    assert counts[-1][1] / counts[0][1] < 8


def test_memory_by_views() -> None:
    told = {
        "voxels 48^3, in turns": peaks("VoxelScene(VoxelConfig(march=MarchConfig(rays=12544)), seeded())"),
        "2,000 Gaussians": peaks("GaussianScene(GaussianConfig(count=2000), seeded())"),
    }
    series: dict[str, Points] = {
        name: list(zip((4.0, 8.0, 16.0, 32.0, 64.0), map(float, row), strict=True)) for name, row in told.items()
    }
    drawn("memory", series, "views", "peak MB of a process, 56 px")
    for points in series.values():
        assert points[-1][1] < 1.6 * points[0][1]
