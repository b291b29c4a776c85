"""The configured scene."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from apps.text3d.config import SceneConfig
from apps.text3d.scenes.gaussians import GaussianScene
from apps.text3d.scenes.gsplat_backend import GsplatScene
from apps.text3d.scenes.hashgrid import HashGridScene
from apps.text3d.scenes.voxel import VoxelScene
from common.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    import torch

    from apps.text3d.optimisation.learner import SceneModule


def maker(config: SceneConfig) -> Callable[[torch.Generator], SceneModule]:
    """Makes a new scene of the configured kind on the configured device; its start is drawn on the CPU.

    Raises:
        UsageError: a GPU is named that is not there, or gsplat without one.
        MissingDependency: gsplat is named and not installed.
    """
    from common.models.language import resolve_device

    device = resolve_device(config.device)
    gaussians = drawn_by(config.backend, device) if config.kind == "gaussians" else GaussianScene
    makers: dict[str, Callable[[torch.Generator], SceneModule]] = {
        "voxel": lambda generator: VoxelScene(config.voxel, generator).to(device),
        "hashgrid": lambda generator: HashGridScene(config.hashgrid, generator).to(device),
        "gaussians": lambda generator: gaussians(config.gaussians, generator).to(device),
    }
    return makers[config.kind]


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
