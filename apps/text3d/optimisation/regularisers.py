"""What keeps scenes tidy: pure functions that give a scalar to minimise, differentiable and finite everywhere, and
their configured sum, which is added to the guidances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.cameras import Cameras
from apps.text3d.optimise_config import RegulariserConfig
from apps.text3d.scenes.base import Views
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import UsageError
from common.schedule import Schedule, read_schedule


def opacity_entropy(opacity: Tensor) -> Tensor:
    r"""Mean binary entropy in bits, :math:`-o \log_2 o - (1 - o) \log_2 (1 - o)`, of opacities of any shape.

    Range [0, 1]: 0 where everything is either there or not, 1 at one half throughout. Values and gradients are finite
    at 0 and 1 too: there opacities count as 1e-5 and 1 − 1e-5. Stable-DreamFusion's entropy term.
    """
    inside = opacity.clamp(1e-5, 1 - 1e-5)
    entropy = -inside * inside.log2() - (1 - inside) * (1 - inside).log2()
    return entropy.mean()


def sparsity(opacity: Tensor) -> Tensor:
    r"""Mean of :math:`\sqrt{o^2 + 0.01} - 0.1`: how much of the pictures is covered. Range [0, 0.905].

    DreamFusion's (arXiv 2209.14988, appendix A.2), less its constant.
    """
    return ((opacity.square() + 0.01).sqrt() - 0.1).mean()


def total_variation(grid: Tensor, dimensions: int = 3) -> Tensor:
    r"""Mean squared difference of neighbours along each of the first `dimensions`, added up; at least 0.

    Args:
        grid: `(X, Y, Z, …)`, or with 2 dimensions `(H, W, …)`; Plenoxels (arXiv 2112.05131, eq. 3) without its root.
        dimensions: that are places.
    """
    return torch.stack([grid.diff(dim=axis).square().mean() for axis in range(dimensions)]).sum()


def orientation(weight: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
    r"""Mean of :math:`w \, \max(0, n \cdot d)^2`: surfaces that are seen must face the one who looks.

    Ref-NeRF (arXiv 2112.03907, eq. 11). Range [0, 1] for weights in [0, 1]. Of pixels (opacity, unit normals) or of
    samples. Detach the weights, as threestudio does, where they are not to vanish instead of turning.

    Args:
        weight: `(...)`.
        normals: `(..., 3)`, outward.
        directions: `(..., 3)`, unit, from the camera.
    """
    return (weight * (normals * directions).sum(-1).clamp_min(0).square()).mean()


#: Each of them, of a scene, what is seen of it, and from where.
TERMS: dict[str, Callable[[Any, Views, Cameras], Tensor]] = {
    "entropy": lambda scene, views, cameras: opacity_entropy(views.opacity),
    "sparsity": lambda scene, views, cameras: sparsity(views.opacity),
    "orientation": lambda scene, views, cameras: _orientation(views, cameras),
    "smoothness": lambda scene, views, cameras: (
        total_variation(scene.grid_density) + total_variation(scene.grid_colour)
    ),
}


class Regularisers:
    """The weighted sum of `TERMS`; one whose weight is 0 at a step is not reckoned.

    Args:
        weights: schedules by name.
    """

    def __init__(self, weights: dict[str, Schedule]) -> None:
        self.weights = weights

    def __call__(self, scene: Any, views: Views, cameras: Cameras, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step, and each term before its weight as `regularisers.NAME`.

        Raises:
            UsageError: smoothness of a scene without a grid.
        """
        if "smoothness" in self.weights and not isinstance(scene, VoxelScene):
            raise UsageError("optimise.regularisers.smoothness is of a voxel grid; set it to 0 or scene.kind to voxel")
        total, told = views.rgb.new_zeros(()), {}
        for name, weight in self.weights.items():
            if factor := weight(step):
                value = TERMS[name](scene, views, cameras)
                total = total + factor * value
                told[f"regularisers.{name}"] = float(value.detach())
        return total, told


def regularisers(config: RegulariserConfig) -> Regularisers | None:
    """Those whose weight is not always 0; None where there is none, so that nothing at all is added.

    Raises:
        UsageError: a weight is neither a number nor a schedule.
    """
    read = {
        one.name: read_schedule(getattr(config, one.name), f"optimise.regularisers.{one.name}")
        for one in fields(config)
    }
    wanted = {name: schedule for name, schedule in read.items() if any(schedule.bounds)}
    return Regularisers(wanted) if wanted else None


def _orientation(views: Views, cameras: Cameras) -> Tensor:
    """Of pixels; their opacity only weighs, or surfaces would vanish where they should turn."""
    normals = functional.normalize(views.normals.permute(0, 2, 3, 1), dim=-1, eps=1e-6)
    return orientation(views.opacity[:, 0].detach(), normals, cameras.rays()[1].to(normals))
