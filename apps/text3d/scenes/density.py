"""A scene's density on a grid, told as the opacity of a layer, and the cut that parts matter from air.

Export and judge both read fields so.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apps.text3d.scenes.base import Scene

#: Points that a scene is asked for at once.
CHUNK = 65536


def device_of(scene: Scene) -> torch.device:
    """Where a scene's parameters are; the CPU for one without."""
    parameters = scene.parameters() if isinstance(scene, torch.nn.Module) else iter(())
    first: Tensor | None = next(parameters, None)
    return torch.device("cpu") if first is None else first.device


@torch.no_grad()
def density_on(scene: Scene, axis: Tensor) -> NDArray[np.float32]:
    """`(N, N, N)` densities per metre, along x, y, z, at all places whose coordinates are on the `(N,)` axis."""
    points = torch.cartesian_prod(axis, axis, axis).to(device_of(scene))
    parts = [scene.density(part).float().cpu() for part in torch.split(points, CHUNK)]
    density: NDArray[np.float32] = torch.cat(parts).view((len(axis),) * 3).numpy()
    return density


def opacity_of(density: NDArray[np.float32], thickness: float) -> NDArray[np.float32]:
    """1 − exp(−σ · thickness): the opacity of so many metres of each density σ."""
    opacity: NDArray[np.float32] = -np.expm1(-np.clip(density, 0, None) * thickness)
    return opacity


def density_of(opacity: float, thickness: float) -> float:
    """The density per metre of which so many metres have this opacity."""
    return float(-np.log1p(-min(opacity, 1 - 1e-7)) / thickness)


def otsu(opacity: NDArray[np.float32], low: float = 0.0, high: float = 1.0) -> float | None:
    """The opacity that best parts matter from air, by Otsu's method (1979); None where all fall into one class.

    Between two clean classes many cuts are equally good: the middle one keeps away from both.

    Args:
        opacity: of any shape.
        low: the lower end of the histogram.
        high: the upper end.
    """
    counts, edges = np.histogram(opacity, 256, (low, high))
    middles = (edges[1:] + edges[:-1]) / 2
    below, mass = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    valid = (below > 0) & (above > 0)
    if not valid.any():
        return None
    mean_below, mean_above = mass / np.maximum(below, 1), (mass[-1] - mass) / np.maximum(above, 1)
    between = np.where(valid, below * above * (mean_above - mean_below) ** 2, -1.0)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(edges[best[0] + 1] + edges[best[-1] + 1]) / 2
