"""The configured regularisers of an optimisation, added to its guidances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from torch import Tensor
from torch.nn import functional

from apps.text3d.cameras import Cameras
from apps.text3d.optimise_config import RegulariserConfig
from apps.text3d.scenes.base import Views
from apps.text3d.scenes.regularisers import opacity_entropy, orientation, sparsity, total_variation
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import UsageError
from common.schedule import Schedule, read_schedule

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
