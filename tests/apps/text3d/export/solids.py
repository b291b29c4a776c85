"""Scenes that are formulas: solids by their signed distances, with the contract of `Scene`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.scenes.base import Views

Distance = Callable[[Tensor], Tensor]


def sphere(centre: tuple[float, float, float] = (0.0, 0.0, 0.0), radius: float = 0.4) -> Distance:
    return lambda points: (points - points.new_tensor(centre)).norm(dim=1) - radius


def cube(centre: tuple[float, float, float] = (0.0, 0.0, 0.0), half: float = 0.3) -> Distance:
    return lambda points: (points - points.new_tensor(centre)).abs().amax(1) - half


def union(*solids: Distance) -> Distance:
    return lambda points: torch.stack([solid(points) for solid in solids]).amin(0)


def shell(solid: Distance, thickness: float) -> Distance:
    """Hollow: only what lies within this much of the surface."""
    return lambda points: torch.maximum(solid(points), -solid(points) - thickness)


class Solid:
    """`density` per metre inside, nothing outside, soft within a centimetre of the surface.

    Red where x is positive, blue elsewhere, and greener towards the top; or one colour.
    """

    def __init__(
        self, distance: Distance, density: float = 30.0, soft: float = 0.005, colour: Tensor | None = None
    ) -> None:
        self.distance = distance
        self.inside = density
        self.soft = soft
        self.painted = colour

    def density(self, points: Tensor) -> Tensor:
        return self.inside * torch.sigmoid(-self.distance(points) / self.soft)

    def colour(self, points: Tensor) -> Tensor:
        if self.painted is not None:
            return self.painted.expand(len(points), 3)
        right = (points[:, 0] > 0).float()
        return torch.stack([right, (0.5 + 0.5 * points[:, 2]).clamp(0, 1), 1 - right], 1)

    def render(
        self, cameras: Cameras, background: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Views:
        """The colour of what a ray meets first, in 32 steps."""
        origins, directions = cameras.rays()
        shape = origins.shape[:3]
        far = torch.linspace(1.8, 4.6, 32)
        points = (origins.unsqueeze(3) + directions.unsqueeze(3) * far[:, None]).reshape(-1, 3)
        alpha = (1 - torch.exp(-self.density(points) * (far[1] - far[0]))).view(*shape, 32)
        past = torch.cumprod(1 - alpha, -1) / (1 - alpha).clamp_min(1e-6)
        weights = (alpha * past).unsqueeze(-1)
        opacity = weights.sum(3)
        rgb = (weights * self.colour(points).view(*shape, 32, 3)).sum(3) + 1 - opacity
        depth = (weights * far[:, None]).sum(3)
        flat = [each.permute(0, 3, 1, 2) for each in (rgb, opacity, depth)]
        return Views(*flat, torch.zeros_like(flat[0]))

    def parameter_groups(self, learning_rate: float) -> list[dict[str, object]]:
        return []
