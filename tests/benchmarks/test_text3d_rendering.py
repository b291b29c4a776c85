"""Frames a second of the text-to-3D renderers, forward and backward, beside straightforward PyTorch; memory by views.

Run with `python -m pytest -n 0 -s -m benchmark tests/benchmarks/test_text3d_rendering.py`; about two minutes. Times
are CPU seconds of one thread, the best of a few repeats, and what is asserted are ratios of one run, for machines
differ. The references give the same colour, depth, opacity and normals: for voxels they go through views and samples
in turn, all pixels of a view at once; for Gaussians all pixels of a view meet all Gaussians.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.cameras import Cameras, orbit
from apps.text3d.scenes.base import Views
from apps.text3d.scenes.config import GaussianConfig, HashGridConfig, MarchConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.hashgrid import HashGridScene
from apps.text3d.scenes.volume import assemble, intersect, unit
from apps.text3d.scenes.voxel import VoxelScene, differences
from tests.apps.text3d.scenes.solids import seeded, solid
from tests.apps.text3d.scenes.test_fitting import two_balls
from tests.apps.text3d.scenes.test_gaussians import dense

pytestmark = pytest.mark.benchmark

VIEWS, REPEATS = 4, 3


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def cameras(size: int, views: int = VIEWS) -> Cameras:
    return orbit([360.0 / views * view + 20 for view in range(views)], size=size)


def rate(render: Callable[[], Views], views: int = VIEWS, repeats: int = REPEATS) -> float:
    """Frames a second of CPU time, forward and backward."""
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        started = time.process_time()
        made = render()
        (made.rgb.square().mean() + made.opacity.mean()).backward()
        best = min(best, time.process_time() - started)
    return views / best


def marched(scene: VoxelScene, seen: Cameras, samples: int = 48) -> Views:
    """The straightforward form of a radiance field's pictures."""
    raw = scene.raw()
    grids = [raw[..., None], scene.grid_colour, -differences(raw) * ((len(raw) - 1) / 2)]
    density, colours, slopes = (grid.permute(3, 0, 1, 2)[None].contiguous() for grid in grids)

    def at(grid: Tensor, points: Tensor) -> Tensor:
        places = points.flip(-1)[None, None, None]
        return functional.grid_sample(grid, places, padding_mode="border", align_corners=True)[0, :, 0, 0].t()

    pictures = []
    for view in range(len(seen)):
        origins, directions = (part.reshape(-1, 3) for part in seen[view : view + 1].rays())
        near, far = intersect(origins, directions)
        step = (far - near) / samples
        light, sums = torch.ones_like(step), torch.zeros(len(step), 8)
        for index in range(samples):
            distance = near + (index + 0.5) * step
            points = origins + distance[:, None] * directions
            alpha = 1 - torch.exp(-functional.softplus(at(density, points)[:, 0]) * step)
            weight = (light * alpha)[:, None]
            colour, normals = torch.sigmoid(at(colours, points)), unit(at(slopes, points))
            sums = sums + weight * torch.cat([colour, distance[:, None], normals, torch.ones_like(weight)], 1)
            light = light * (1 - alpha)
        pictures.append(sums.view(seen.height, seen.width, 8).permute(2, 0, 1))
    maps = torch.stack(pictures)
    return assemble(maps[:, :3], maps[:, 3:4], maps[:, 4:7], maps[:, 7:], None)


def told(name: str, size: int, own: float, plain: float) -> float:
    print(f"{name:28} {size:4} px {own:8.1f} {plain:8.1f} {own / plain:6.1f} times")
    return own / plain


def test_voxels_beside_a_loop_over_samples() -> None:
    print("\nframes a second, forward and backward:           ours    plain")
    ratios = {}
    for resolution in (32, 48, 64):
        for size in (32, 56, 112) if resolution == 48 else (56,):
            scene, seen = solid(two_balls, resolution, MarchConfig()), cameras(size)
            gap = (scene.render(seen).rgb - marched(scene, seen).rgb).abs().max().item()
            assert gap < 4e-3
            own = rate(lambda scene=scene, seen=seen: scene.render(seen))  # type: ignore[misc]
            plain = rate(lambda scene=scene, seen=seen: marched(scene, seen))  # type: ignore[misc]
            ratios[resolution, size] = told(f"voxels {resolution}^3, two balls", size, own, plain)
    start = VoxelScene(VoxelConfig(), seeded())
    # Fog: there is nothing that could be skipped.
    own, plain = (rate(lambda make=make: make(cameras(56))) for make in (start.render, partial(marched, start)))
    ratios[48, 0] = told("voxels 48^3, at the start", 56, own, plain)
    assert min(ratios.values()) > 3


def test_gaussians_beside_all_pixels_times_all_gaussians() -> None:
    print("\nframes a second, forward and backward:           ours    plain")
    ratios = {}
    for count, size in ((500, 32), (500, 56), (2000, 32), (2000, 56), (500, 112), (5000, 56)):
        scene, seen = GaussianScene(GaussianConfig(count=count), seeded()), cameras(size, 2)
        assert (scene.render(seen).rgb - dense(scene, seen).rgb).abs().max().item() < 1e-5
        repeats = 1 if count * size**2 > 10_000_000 else REPEATS
        own = rate(lambda scene=scene, seen=seen: scene.render(seen), 2)  # type: ignore[misc]
        plain = rate(lambda scene=scene, seen=seen: dense(scene, seen), 2, repeats)  # type: ignore[misc]
        ratios[count, size] = told(f"{count} Gaussians", size, own, plain)
    # In pictures of four tiles there is little that a tile could leave out.
    assert min(ratio for (_, size), ratio in ratios.items() if size > 32) > 3
    assert min(ratios.values()) > 2.5


def test_a_hash_grid_is_for_cuda() -> None:
    seen = cameras(32)
    voxels, grid = VoxelScene(VoxelConfig(), seeded()), HashGridScene(HashGridConfig(), seeded())
    fast, slow = rate(lambda: voxels.render(seen)), rate(lambda: grid.render(seen), repeats=1)
    print(f"\n32 px at the start, frames a second: voxels {fast:.1f}, hash grid {slow:.1f}: {fast / slow:.0f} times")
    assert fast > 2 * slow


MEMORY = """
import torch
from tests.benchmarks.test_text3d_rendering import cameras
from tests.apps.text3d.scenes.solids import seeded
from apps.text3d.scenes.config import GaussianConfig, MarchConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.voxel import VoxelScene
torch.set_num_threads(1)
scene = {scene}
for views in (4, 8, 16, 32, 64):
    made = scene.render(cameras(56, views))
    (made.rgb.square().mean() + made.opacity.mean()).backward()
    del made
    with open("/proc/self/status") as status:
        print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024)
"""


def peaks(scene: str) -> list[int]:
    """Peak memory in MB of a process of its own (Linux) after pictures of 4, 8, 16, 32 and 64 views, 56 px."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY.format(scene=scene)], capture_output=True, text=True, check=True, timeout=300
    )
    return [int(line) for line in done.stdout.split()]


def test_memory_is_flat_in_views() -> None:
    in_turns, at_once = (
        peaks(f"VoxelScene(VoxelConfig(march=MarchConfig(rays={rays})), seeded())") for rays in (12_544, 10**9)
    )
    gaussians = peaks("GaussianScene(GaussianConfig(count=2000), seeded())")
    print("\npeak MB of a process by views          4      8     16     32     64")
    for name, row in (("voxels, in turns", in_turns), ("voxels, at once", at_once), ("2000 Gaussians", gaussians)):
        print(f"{name:30} {' '.join(f'{value:6}' for value in row)}")
    assert at_once[-1] - at_once[1] > 8 * (in_turns[-1] - in_turns[1])
    # From two turns on a view costs its rays and pictures, and Gaussians the splats: a few MB at most.
    assert in_turns[-1] - in_turns[1] < 56 * 3
    assert gaussians[-1] - gaussians[0] < 60 * 4
