"""The configured scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from apps.text3d.config import SceneConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.hashgrid import HashGridScene
from apps.text3d.scenes.voxel import VoxelScene

if TYPE_CHECKING:
    import torch

    from apps.text3d.optimisation.learner import SceneModule


def maker(config: SceneConfig) -> Callable[[torch.Generator], SceneModule]:
    """Makes a new scene of the configured kind on the configured device; its start is drawn on the CPU.

    Raises:
        UsageError: a GPU is named that is not there.
    """
    from common.models.language import resolve_device

    device = resolve_device(config.device)
    makers: dict[str, Callable[[torch.Generator], SceneModule]] = {
        "voxel": lambda generator: VoxelScene(config.voxel, generator).to(device),
        "hashgrid": lambda generator: HashGridScene(config.hashgrid, generator).to(device),
        "gaussians": lambda generator: GaussianScene(config.gaussians, generator).to(device),
    }
    return makers[config.kind]
