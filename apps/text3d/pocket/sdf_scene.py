"""Shows a world as a `Scene`, so that whatever reads scenes can be tried on exact truth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apps.text3d.cameras import Cameras
from apps.text3d.pocket.render import render
from apps.text3d.pocket.world import World
from apps.text3d.scenes.base import BOUND, Views


class SdfScene(nn.Module):
    """A world with the interface of a scene; it has no parameters and its pictures no gradients.

    Args:
        world: shown.
        density: inside of solids, extinction per metre.
        softness: metres over which the density falls at a surface; the surface lies where it is half.
    """

    def __init__(self, world: World, density: float = 60.0, softness: float = 0.01) -> None:
        super().__init__()
        self.world = world
        self.inside = density
        self.softness = softness

    def render(
        self, cameras: Cameras, background: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Views:
        """See `Scene.render`; exact surfaces, so the generator is not used."""
        return render([self.world], cameras, background)

    def density(self, points: Tensor) -> Tensor:
        """See `Scene.density`."""
        distance, _ = self.world.distance(points)
        within = (points.abs() <= BOUND).all(-1)
        return torch.where(within, self.inside * torch.sigmoid(-distance / self.softness), 0.0)

    def colour(self, points: Tensor) -> Tensor:
        """See `Scene.colour`: that of the nearest solid, white where there is none."""
        if not self.world.solids:
            return torch.ones_like(points)
        palette = points.new_tensor([solid.rgb for solid in self.world.solids])
        return palette[self.world.distance(points)[1]]

    def parameter_groups(self, learning_rate: float) -> list[dict[str, object]]:
        """See `Scene.parameter_groups`: none."""
        return []
