"""A radiance field on a dense voxel grid: the fastest there is on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.base import BOUND, Views
from apps.text3d.scenes.config import BlobConfig, VoxelConfig
from apps.text3d.scenes.trilinear import looked_up
from apps.text3d.scenes.volume import Samples, march, offsets, render_field, unit


def blob(points: Tensor, config: BlobConfig) -> Tensor:
    """What is added to density before its softplus at `(..., 3)` points: `(...)`; see `BlobConfig`."""
    shift: Tensor = config.height * (1 - points.norm(dim=-1) / config.radius)
    return shift


def differences(grid: Tensor) -> Tensor:
    """Gradient `(X, Y, Z, 3)` of an `(X, Y, Z)` grid per step: central differences, one-sided at the faces."""
    return torch.stack(torch.gradient(grid), -1)


class VoxelScene(nn.Module):
    """Density and colour at the points of a grid, trilinear between them; 0 outside of the cube.

    Density is the softplus of the interpolated value and so never negative; it has no vanishing point as a ReLU has.
    Colour is a sigmoid. Normals are those of the grid's central differences, interpolated.

    Args:
        config: size and start.
        generator: for the random start; the same seed gives the same bytes.
    """

    shift: Tensor

    def __init__(self, config: VoxelConfig | None = None, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config or VoxelConfig()
        edge, noise = self.config.resolution, self.config.blob.noise
        self.grid_density = nn.Parameter(noise * torch.randn(edge, edge, edge, generator=generator))
        self.grid_colour = nn.Parameter(noise * torch.randn(edge, edge, edge, 3, generator=generator))
        axis = torch.linspace(-BOUND, BOUND, edge)
        points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
        self.register_buffer("shift", blob(points, self.config.blob), persistent=False)

    def render(
        self, cameras: Cameras, background: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Views:
        """See `Scene.render`."""
        return render_field(Snapshot(self), cameras, background, generator, self.config.march, self.grid_density)

    def samples(self, cameras: Cameras, generator: torch.Generator | None = None) -> tuple[Samples, Tensor]:
        """What each ray meets, for regularisers, and the rays' directions `(B·H·W, 3)`."""
        origins, directions = (part.to(self.grid_density).reshape(-1, 3) for part in cameras.rays())
        offset = offsets(cameras, self.grid_density, generator).flatten()
        return march(Snapshot(self), origins, directions, offset, self.config.march), directions

    def raw(self) -> Tensor:
        """`(X, Y, Z)` density before the softplus."""
        return self.grid_density + self.shift

    def density(self, points: Tensor) -> Tensor:
        """See `Scene.density`."""
        inside = (points.abs() <= BOUND).all(-1)
        return functional.softplus(looked_up(points, self.raw()[..., None])[0][:, 0]) * inside

    def colour(self, points: Tensor) -> Tensor:
        """See `Scene.colour`."""
        return torch.sigmoid(looked_up(points, self.grid_colour)[0])

    def parameter_groups(self, learning_rate: float) -> list[dict[str, object]]:
        """Density and colour at the same rate: both are numbers before a squashing function."""
        return [
            {"params": [self.grid_density], "lr": learning_rate, "name": "density"},
            {"params": [self.grid_colour], "lr": learning_rate, "name": "colour"},
        ]


class Snapshot:
    """The grids of one call, prepared once for all of its rays: a `volume.Field`."""

    def __init__(self, scene: VoxelScene) -> None:
        raw = scene.raw()
        self.values = torch.cat([raw[..., None], scene.grid_colour], -1)
        self.slopes = -differences(raw) * ((scene.config.resolution - 1) / (2 * BOUND))
        self.most, self.least = extremes(raw)

    def tensors(self) -> tuple[Tensor, ...]:
        """See `volume.Field.tensors`."""
        return self.values, self.slopes

    def limits(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Density at a place lies between those at its cell's corners."""
        edge = len(self.most)
        at = ((points + BOUND) * (edge / (2 * BOUND))).long().clamp_(0, edge - 1)
        flat = (at[..., 0] * edge + at[..., 1]) * edge + at[..., 2]
        return self.least.take(flat), self.most.take(flat)

    def sample(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `volume.Field.sample`."""
        values, slopes = looked_up(points, self.values, self.slopes)
        return functional.softplus(values[:, 0]), torch.sigmoid(values[:, 1:]), unit(slopes)


@torch.no_grad()
def extremes(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Greatest and least density at the corners of each of the grid's cells, `(X−1, Y−1, Z−1)` each."""
    most = functional.max_pool3d(raw[None], 2, 1)[0]
    least = -functional.max_pool3d(-raw[None], 2, 1)[0]
    return functional.softplus(most), functional.softplus(least)
