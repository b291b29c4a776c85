"""The configured scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apps.text3d.config import SceneConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.hashgrid import HashGridScene
from apps.text3d.scenes.voxel import VoxelScene

if TYPE_CHECKING:
    import torch

    from apps.text3d.optimise import SceneModule


#: The classes of scenes; each takes its own part of the settings.
KINDS: dict[str, Callable[..., Any]] = {
    "voxel": VoxelScene,
    "hashgrid": HashGridScene,
    "gaussians": GaussianScene,
}


def maker(config: SceneConfig) -> Callable[[torch.Generator], SceneModule]:
    """Makes a new scene of the configured kind on the configured device; its start is drawn on the CPU.

    Raises:
        UsageError: a GPU is named that is not there.
    """
    from common.models.language import resolve_device

    device = resolve_device(config.device)
    return lambda generator: KINDS[config.kind](getattr(config, config.kind), generator).to(device)
