"""A radiance field on a multi-resolution hash grid with a small network, in plain PyTorch.

Instant-NGP (Müller et al. 2022, arXiv 2201.05989) reaches fine detail in little memory. It is made for CUDA: on a CPU
a voxel grid is more than ten times as fast at the sizes used here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.base import BOUND, Views
from apps.text3d.scenes.config import HashGridConfig
from apps.text3d.scenes.volume import render_field, unit
from apps.text3d.scenes.voxel import blob

#: Multipliers of the spatial hash (paper, eq. 4; the first is 1 there too).
PRIMES = (1, 2654435761, 805459861)


class HashEncoding(nn.Module):
    """Features of points, trilinear on each level's grid.

    A level whose grid has no more points than its table gives each point its own entry; finer ones are hashed. Points
    come last in every tensor here, which on a CPU is several times as fast as first.

    Args:
        config: sizes.
        generator: for the random start, uniform in ±1e-4 as in the paper.
    """

    def __init__(self, config: HashGridConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.edges = [math.floor(config.base * config.growth**level) + 1 for level in range(config.levels)]
        self.sizes = [min(edge**3, 2**config.log2_table) for edge in self.edges]
        start = torch.rand(config.features, sum(self.sizes), generator=generator)
        self.table = nn.Parameter((2 * start - 1) * 1e-4)

    def forward(self, points: Tensor) -> Tensor:
        """Features `(L·F, M)` of `(M, 3)` points."""
        found = []
        for entries, (x, y, z), _ in self.levels(points):
            found.append((entries * products(x, y, z)).sum(1))
        return torch.cat(found)

    def with_slopes(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(L·F, M)` and their slopes `(3, L·F, M)` per metre."""
        values, slopes = [], []
        for entries, (x, y, z), scale in self.levels(points):
            # Along each axis, the weight of the farther end grows as fast as the nearer one's shrinks.
            ends = x.new_tensor([[-scale], [scale]]).expand_as(x)
            values.append((entries * products(x, y, z)).sum(1))
            turned = products(ends, y, z), products(x, ends, z), products(x, y, ends)
            slopes.append(torch.stack([(entries * each).sum(1) for each in turned]))
        return torch.cat(values), torch.cat(slopes, 1)

    def levels(self, points: Tensor) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor, Tensor], float]]:
        """Each level's entries at the corners of the points' cells `(F, 8, M)`, the corners' weights along each axis,
        three of `(2, M)`, and grid steps a metre.
        """
        first = 0
        inside = (points.t().clamp(-BOUND, BOUND) + BOUND).contiguous()
        for edge, size in zip(self.edges, self.sizes, strict=True):
            scale = (edge - 1) / (2 * BOUND)
            places = inside * scale
            cell = places.detach().floor().clamp(0, edge - 2)
            along = places - cell
            x, y, z = torch.stack([1 - along, along], 1)
            rows = first + entry(cell.long(), edge, size)
            # index_select: its backward pass on a CPU is several times as fast as that of an embedding.
            entries = self.table.index_select(1, rows.flatten()).view(len(self.table), *rows.shape)
            yield entries, (x, y, z), scale
            first += size


def products(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """`(8, M)` of three `(2, M)`: one factor of each, for the corners of a cell, z fastest."""
    return (x[:, None, None] * y[None, :, None] * z[None, None]).flatten(0, 2)


def entry(cell: Tensor, edge: int, size: int) -> Tensor:
    """Rows `(8, M)` in a level's table of the corners of cells `(3, M)`; where it hashes, size is a power of 2."""
    x, y, z = torch.stack([cell, cell + 1], 1)
    x, y, z = x[:, None, None], y[None, :, None], z[None, None]
    rows: Tensor = (x * edge + y) * edge + z
    if edge**3 > size:
        rows = ((x * PRIMES[0]) ^ (y * PRIMES[1]) ^ (z * PRIMES[2])) & (size - 1)
    return rows.flatten(0, 2)


class HashGridScene(nn.Module):
    """Density and colour from a hash grid through one hidden layer each; 0 outside of the cube.

    Args:
        config: sizes and start.
        generator: for the random start; the same seed gives the same bytes.
    """

    def __init__(self, config: HashGridConfig | None = None, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config or HashGridConfig()
        self.encoding = HashEncoding(self.config, generator)
        width, hidden = self.config.levels * self.config.features, self.config.hidden
        self.density_in = nn.Parameter(normal((hidden, width), math.sqrt(2 / width), generator))
        self.density_out = nn.Parameter(normal((hidden,), math.sqrt(1 / hidden), generator))
        self.colour_in = nn.Parameter(normal((hidden, width), math.sqrt(2 / width), generator))
        self.colour_out = nn.Parameter(normal((3, hidden), math.sqrt(1 / hidden), generator))
        self.density_bias = nn.Parameter(torch.zeros(1))
        self.colour_bias = nn.Parameter(normal((3,), self.config.blob.noise, generator))

    def render(
        self, cameras: Cameras, background: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Views:
        """See `Scene.render`."""
        return render_field(self, cameras, background, generator, self.config.march, self.encoding.table)

    def tensors(self) -> tuple[Tensor, ...]:
        """See `volume.Field.tensors`."""
        return tuple(self.parameters())

    def limits(self, points: Tensor) -> tuple[Tensor, Tensor] | None:
        """Density itself, computed once without a gradient: what is skipped then is dearer than this."""
        found = self.density(points.reshape(-1, 3)).view(points.shape[:-1])
        return found, found

    def sample(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `volume.Field.sample`. Normals are the field's exact slope, written out instead of differentiated."""
        features, slopes = self.encoding.with_slopes(points)
        hidden = self.density_in @ features
        density = functional.softplus(self.raw(hidden, points))
        # d raw / d features, then along the features' slopes; the blob falls with the distance from the centre.
        chain = self.density_in.t() @ ((hidden > 0) * self.density_out[:, None])
        slope = (chain * slopes).sum(1).t()
        slope = slope - self.config.blob.height / self.config.blob.radius * unit(points)
        return density, self.shaded(features), unit(-slope)

    def raw(self, hidden: Tensor, points: Tensor) -> Tensor:
        """`(M,)` density before the softplus."""
        shift = blob(points, self.config.blob)
        return self.density_out @ functional.relu(hidden) + self.density_bias + shift

    def shaded(self, features: Tensor) -> Tensor:
        """`(M, 3)` colour."""
        hidden = functional.relu(self.colour_in @ features)
        return torch.sigmoid((self.colour_out @ hidden).t() + self.colour_bias)

    def density(self, points: Tensor) -> Tensor:
        """See `Scene.density`."""
        inside = (points.abs() <= BOUND).all(-1)
        return functional.softplus(self.raw(self.density_in @ self.encoding(points), points)) * inside

    def colour(self, points: Tensor) -> Tensor:
        """See `Scene.colour`."""
        return self.shaded(self.encoding(points))

    def parameter_groups(self, learning_rate: float) -> list[dict[str, object]]:
        """The table at the rate, the networks at a tenth of it, as the paper's successors do (threestudio)."""
        networks = [parameter for name, parameter in self.named_parameters() if not name.startswith("encoding.")]
        return [
            {"params": [self.encoding.table], "lr": learning_rate, "name": "table"},
            {"params": networks, "lr": 0.1 * learning_rate, "name": "networks"},
        ]


def normal(shape: tuple[int, ...], spread: float, generator: torch.Generator | None) -> Tensor:
    """Normal random numbers."""
    return spread * torch.randn(shape, generator=generator)
