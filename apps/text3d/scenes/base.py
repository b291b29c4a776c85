"""The contract of scene representations: `render` for guidances, `density` and `colour` for export and geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras

#: A scene lies in the cube from −BOUND to BOUND, in metres; objects stand on nothing and are centred by the prompt.
BOUND = 1.0


@dataclass(frozen=True)
class Views:
    """What cameras see; everything is differentiable.

    Attributes:
        rgb: `(B, 3, H, W)` in [0, 1], over the background.
        opacity: `(B, 1, H, W)` in [0, 1].
        depth: `(B, 1, H, W)` metres along the ray to what is seen, weighted by opacity; 0 where nothing is.
        normals: `(B, 3, H, W)` in the world, unit length where something is seen, weighted by opacity.
    """

    rgb: Tensor
    opacity: Tensor
    depth: Tensor
    normals: Tensor


class Scene(Protocol):
    """A scene that can be optimised; implementations are `torch.nn.Module`s, so `state_dict` is theirs too."""

    def render(
        self, cameras: Cameras, background: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Views:
        """Render.

        Args:
            cameras: `(B,)`.
            background: `(3,)`, `(B, 3)` or `(B, 3, H, W)` in [0, 1]; white where not given.
            generator: where sample places are jittered; none without it.
        """

    def density(self, points: Tensor) -> Tensor:
        """`(N,)` density at `(N, 3)` points: extinction per metre, 0 outside of the bound; differentiable."""

    def colour(self, points: Tensor) -> Tensor:
        """`(N, 3)` sRGB in [0, 1] at `(N, 3)` points."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, object]]:
        """For an optimiser: each kind of parameter with its own rate."""
