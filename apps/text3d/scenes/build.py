"""The configured scene."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apps.text3d.config import SceneConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.gsplat_backend import GsplatScene
from apps.text3d.scenes.hashgrid import HashGridScene
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    import torch

    from apps.text3d.optimisation.learner import SceneModule


#: The classes of scenes; each takes its own part of the settings.
KINDS: dict[str, Callable[..., Any]] = {
    "voxel": VoxelScene,
    "hashgrid": HashGridScene,
    "gaussians": GaussianScene,
}


def maker(config: SceneConfig) -> Callable[[torch.Generator], SceneModule]:
    """Makes a new scene of the configured kind on the configured device; its start is drawn on the CPU.

    Raises:
        UsageError: a GPU is named that is not there, or gsplat without one.
        MissingDependency: gsplat is named and not installed.
    """
    from common.models.loading import resolve_device

    device = resolve_device(config.device)
    kind = drawn_by(config.backend, device) if config.kind == "gaussians" else KINDS[config.kind]
    return lambda generator: kind(getattr(config, config.kind), generator).to(device)


def drawn_by(backend: str, device: torch.device) -> type[GaussianScene]:
    """The class of Gaussians that a backend draws on a device; see `SceneConfig.backend` and `maker`."""
    on_gpu, installed = device.type == "cuda", importlib.util.find_spec("gsplat") is not None
    if backend == "gsplat" and not on_gpu:
        raise UsageError(
            f"scene.backend: gsplat draws on CUDA only, and scene.device is {device.type}; set it to cuda"
        )
    if backend == "gsplat" and not installed:
        raise MissingDependency("gsplat", "gsplat")
    return GsplatScene if backend == "gsplat" or (backend == "auto" and on_gpu and installed) else GaussianScene
