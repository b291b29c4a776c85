"""Scenes with known geometry, and what several tests ask of every scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from apps.text3d.cameras import Cameras, orbit
from apps.text3d.scenes.base import Views
from apps.text3d.scenes.config import BlobConfig, GaussianConfig, HashGridConfig, MarchConfig, VoxelConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.hashgrid import HashGridScene
from apps.text3d.scenes.voxel import VoxelScene

EXACT = MarchConfig(samples=24, empty=0, hidden=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_voxels(seed: int = 0, march: MarchConfig = EXACT) -> VoxelScene:
    return VoxelScene(VoxelConfig(resolution=7, blob=BlobConfig(2.0, 0.9, 0.5), march=march), seeded(seed))


def small_hash_grid(seed: int = 0, march: MarchConfig = EXACT) -> HashGridScene:
    config = HashGridConfig(levels=4, log2_table=8, base=3, hidden=8, blob=BlobConfig(2.0, 0.9, 0.5), march=march)
    scene = HashGridScene(config, seeded(seed))
    with torch.no_grad():
        scene.encoding.table.normal_(0, 0.5, generator=seeded(seed + 1))
    return scene


def small_gaussians(seed: int = 0, count: int = 40) -> GaussianScene:
    """Of all shapes and turns."""
    scene, generator = GaussianScene(GaussianConfig(count=count, scale=0.12), seeded(seed)), seeded(seed + 1)
    with torch.no_grad():
        scene.log_scales += 0.5 * torch.randn(count, 3, generator=generator)
        scene.opacity_logits += 1.5 * torch.randn(count, generator=generator)
        scene.colour_logits += torch.randn(count, 3, generator=generator)
    return scene


MAKERS: dict[str, Callable[..., Any]] = {
    "voxels": small_voxels,
    "hash grid": small_hash_grid,
    "Gaussians": small_gaussians,
}


def points_of(resolution: int) -> Tensor:
    """`(R, R, R, 3)` grid points."""
    axis = torch.linspace(-1, 1, resolution)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)


def solid(distance: Callable[[Tensor], Tensor], resolution: int = 48, march: MarchConfig | None = None) -> VoxelScene:
    """Voxels that are dense where a signed distance is negative, red where y < 0 and blue elsewhere."""
    scene = VoxelScene(VoxelConfig(resolution=resolution, march=march or MarchConfig(samples=96)))
    points = points_of(resolution)
    with torch.no_grad():
        scene.grid_density.copy_(-20_000 * distance(points) - scene.shift)
        red, blue = torch.tensor([6.0, -6.0, -6.0]), torch.tensor([-6.0, -6.0, 6.0])
        scene.grid_colour.copy_(torch.where(points[..., 1:2] < 0, red, blue))
    return scene


def ball(radius: float = 0.5, resolution: int = 48, march: MarchConfig | None = None) -> VoxelScene:
    return solid(lambda points: points.norm(dim=-1) - radius, resolution, march)


def double(cameras: Cameras) -> Cameras:
    return Cameras(cameras.c2w.double(), cameras.fovy.double(), cameras.height, cameras.width)


def around(count: int = 2, size: int = 12) -> Cameras:
    return orbit([20.0 + 360.0 / count * view for view in range(count)], [10.0 + 5 * view for view in range(count)],
                 size=size)  # fmt: skip


def parts(views: Views) -> list[Tensor]:
    return [views.rgb, views.opacity, views.depth, views.normals]


def mixed(views: Views) -> Tensor:
    """A scalar that depends on every number of the views in its own way."""
    weights = [torch.linspace(-1, 2, part.numel(), dtype=part.dtype).view_as(part).cos() for part in parts(views)]
    return torch.stack([(part * weight).sum() for part, weight in zip(parts(views), weights, strict=True)]).sum()


def gradients(scene: nn.Module, value: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(value, list(scene.parameters())))


def worst(one: list[Tensor], other: list[Tensor]) -> float:
    """Largest difference of lists of tensors, relative to the largest number in each."""
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-9)).item() for a, b in zip(one, other, strict=True))


def slope_error(scene: nn.Module, value: Callable[[], Tensor], eps: float = 1e-6, directions: int = 3) -> float:
    """Relative error of gradients along random directions of each parameter against central differences."""
    found, error = gradients(scene, value()), 0.0
    for parameter, gradient in zip(scene.parameters(), found, strict=True):
        for seed in range(directions):
            way = torch.randn(parameter.shape, generator=seeded(seed), dtype=parameter.dtype)
            with torch.no_grad():
                parameter += eps * way
                high = value()
                parameter -= 2 * eps * way
                low = value()
                parameter += eps * way
            slope, expected = ((high - low) / (2 * eps)).item(), (gradient * way).sum().item()
            error = max(error, abs(slope - expected) / max(abs(expected), gradient.norm().item(), 1e-6))
    return error
