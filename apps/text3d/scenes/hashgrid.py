"""A radiance field on a multi-resolution hash grid with a small network, in plain PyTorch.

Instant-NGP (Müller et al. 2022, arXiv 2201.05989) reaches fine detail in little memory. It is made for CUDA: on a CPU
a voxel grid is more than ten times as fast at the sizes used here.
"""

from __future__ import annotations

import math

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

    A level whose grid has no more points than its table gives each point its own entry; finer ones are hashed.

    Args:
        config: sizes.
        generator: for the random start, uniform in ±1e-4 as in the paper.
    """

    corners: Tensor

    def __init__(self, config: HashGridConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.edges = [math.floor(config.base * config.growth**level) + 1 for level in range(config.levels)]
        self.sizes = [min(edge**3, 2**config.log2_table) for edge in self.edges]
        start = torch.rand(sum(self.sizes), config.features, generator=generator)
        self.table = nn.Parameter((2 * start - 1) * 1e-4)
        corners = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])
        self.register_buffer("corners", corners, persistent=False)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(M, L·F)` of `(M, 3)` points and their slopes `(M, L·F, 3)` per metre."""
        values, slopes = [], []
        first = 0
        for edge, size in zip(self.edges, self.sizes, strict=True):
            value, slope = self.level(points, edge, size, first)
            values.append(value)
            slopes.append(slope)
            first += size
        return torch.cat(values, 1), torch.cat(slopes, 1)

    def level(self, points: Tensor, edge: int, size: int, first: int) -> tuple[Tensor, Tensor]:
        """One level's features `(M, F)` and slopes `(M, F, 3)`; its entries are `size` from `first` on."""
        scale = (edge - 1) / (2 * BOUND)
        places = (points.clamp(-BOUND, BOUND) + BOUND) * scale
        cell = places.detach().floor().clamp(0, edge - 2)
        along = (places - cell)[:, None]
        entries = functional.embedding(first + self.entry(cell.long()[:, None] + self.corners, edge, size), self.table)
        at_end = self.corners.bool()
        each = torch.where(at_end, along, 1 - along)
        x, y, z = each.unbind(-1)
        sign = self.corners.to(points) * 2 - 1
        turned = torch.stack([y * z, x * z, x * y], -1) * sign * scale
        value = (entries * (x * y * z)[..., None]).sum(1)
        return value, torch.einsum("mkf,mkd->mfd", entries, turned)

    @staticmethod
    def entry(at: Tensor, edge: int, size: int) -> Tensor:
        """Rows in a level's table of grid points `(..., 3)`."""
        if edge**3 <= size:
            return (at[..., 0] * edge + at[..., 1]) * edge + at[..., 2]
        mixed = at[..., 0] * PRIMES[0]
        for axis in (1, 2):
            mixed = mixed ^ (at[..., axis] * PRIMES[axis])
        return mixed % size


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

    def limits(self, points: Tensor) -> tuple[Tensor, Tensor] | None:
        """Density itself, computed once without a gradient: what is skipped then is dearer than this."""
        found = self.density(points.reshape(-1, 3)).view(points.shape[:-1])
        return found, found

    def sample(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `volume.Field.sample`. Normals are the field's exact slope, written out instead of differentiated."""
        features, slopes = self.encoding(points)
        hidden = features @ self.density_in.t()
        density = functional.softplus(self.raw(hidden, points))
        # d raw / d features, then along the features' slopes; the blob falls with the distance from the centre.
        chain = ((hidden > 0) * self.density_out) @ self.density_in
        slope = torch.einsum("mf,mfd->md", chain, slopes)
        slope = slope - self.config.blob.height / self.config.blob.radius * unit(points)
        return density, self.shaded(features), unit(-slope)

    def raw(self, hidden: Tensor, points: Tensor) -> Tensor:
        """`(M,)` density before the softplus."""
        shift = blob(points, self.config.blob)
        return functional.relu(hidden) @ self.density_out + self.density_bias + shift

    def shaded(self, features: Tensor) -> Tensor:
        """`(M, 3)` colour."""
        hidden = functional.relu(features @ self.colour_in.t())
        return torch.sigmoid(hidden @ self.colour_out.t() + self.colour_bias)

    def density(self, points: Tensor) -> Tensor:
        """See `Scene.density`."""
        features, _ = self.encoding(points)
        inside = (points.abs() <= BOUND).all(-1)
        return functional.softplus(self.raw(features @ self.density_in.t(), points)) * inside

    def colour(self, points: Tensor) -> Tensor:
        """See `Scene.colour`."""
        return self.shaded(self.encoding(points)[0])

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
