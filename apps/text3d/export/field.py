"""From a scene's density to a closed surface: a level found in the field, cavities filled, stray parts left out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apps.text3d.scenes.base import BOUND, Scene
from apps.text3d.scenes.density import density_of, density_on, opacity_of, otsu
from common.errors import MissingDependency, UsageError

log = logging.getLogger(__name__)

#: Thickness in metres of the layer whose opacity stands for a density; see `Field`.
LAYER = 0.1
#: A field that is denser than this share of the cube shows a box, not an object.
_FULL = 0.95


@dataclass(frozen=True)
class Field:
    """A scene's density on a grid, with one voxel of nothing around it, so that every surface in it is closed.

    What is kept is the opacity of a layer of `LAYER` metres, 1 − exp(−σ · LAYER), which rises with the density σ and
    has an end: a surface between an empty voxel and one of enormous density lies half way between them, where on the
    density itself it would stick to the empty one.

    Attributes:
        opacity: `(N + 2, N + 2, N + 2)` in [0, 1], along x, y, z.
        step: distance of two voxels in metres.
        lowest: place of voxel (0, 0, 0) on each axis, in metres.
    """

    opacity: NDArray[np.float32]
    step: float
    lowest: float

    @property
    def inside(self) -> NDArray[np.float32]:
        """Without the voxel around it."""
        return self.opacity[1:-1, 1:-1, 1:-1]


def sample_field(scene: Scene, resolution: int = 96, bound: float = BOUND) -> Field:
    """Sample the density at `resolution`³ places from −bound to bound.

    Raises:
        UsageError: fewer than 4 voxels a side, or a density that is no number.
    """
    if resolution < 4:
        raise UsageError(f"a mesh of {resolution} voxels a side; use 4 or more")
    density = density_on(scene, torch.linspace(-bound, bound, resolution))
    if np.isnan(density).any():
        raise UsageError("the scene's density is NaN in places; go back to the last good checkpoint")
    step = 2 * bound / (resolution - 1)
    return Field(np.pad(opacity_of(density, LAYER), 1), step, -bound - step)


def automatic_level(field: Field) -> float:
    """The density, in 1/m, that parts the field's voxels best into empty ones and full ones (Otsu 1979).

    A fixed level is a trap: how dense "inside" is depends on how a scene was optimised.

    Raises:
        UsageError: the field is empty.
    """
    least, most = float(field.inside.min()), float(field.inside.max())
    if density_of(most, LAYER) < 1e-3:
        raise UsageError(
            f"the scene is empty: its density reaches {density_of(most, LAYER):.2g} per metre; train longer, or look "
            "at the previews for a collapsed scene"
        )
    cut = otsu(field.inside, least, most) if most - least >= 1e-6 else None
    return density_of(0.5 * most if cut is None else cut, LAYER)  # full everywhere: the surface is that of the cube


def threshold(field: Field, level: float | None) -> tuple[float, float]:
    """The level as a density and as an opacity, inside of what the field holds.

    Raises:
        UsageError: there is no surface at this level; says what the field holds and which level would do.
    """
    suggested = automatic_level(field)
    chosen = suggested if level is None else level
    opacity = float(-np.expm1(-chosen * LAYER))
    least, most = float(field.inside.min()), float(field.inside.max())
    if not 0 < opacity < most:
        raise UsageError(
            f"no surface at level {chosen:g}: the density goes from {density_of(least, LAYER):.3g} to "
            f"{density_of(most, LAYER):.3g} per metre; try {suggested:.3g}, or leave the level away"
        )
    share = float((field.inside > opacity).mean())
    if share > _FULL:
        log.warning(
            "the scene is dense in %.0f %% of its cube at level %.3g, so the mesh is nearly the cube itself; raise "
            "the sparsity, or give a higher level",
            100 * share,
            chosen,
        )
    return chosen, opacity


def solid(field: Field, opacity: float, fill_cavities: bool, smallest: float) -> tuple[NDArray[np.float32], int, int]:
    """The field with cavities filled and small parts left out, and how many voxels and how many parts that were.

    Args:
        field: to work on; it is left as it was.
        opacity: level of the surface.
        fill_cavities: volume rendering sees shells only, and inside of them a scene may be hollow.
        smallest: share of the whole volume that a part must have.
    """
    from scipy import ndimage

    values = field.opacity.copy()
    inside = values > opacity
    filled = 0
    if fill_cavities:
        cavities = ndimage.binary_fill_holes(inside) & ~inside
        filled = int(cavities.sum())
        values[cavities] = values.max()
        inside |= cavities
    dropped = 0
    if smallest > 0:
        numbers, count = ndimage.label(inside)
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)
        small = [part for part in range(1, count + 1) if sizes[part] < smallest * sizes[1:].sum()]
        dropped = len(small)
        values[np.isin(numbers, small)] = 0
    return values, filled, dropped


def marching_cubes(values: NDArray[np.float32], opacity: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vertices in voxels and triangles, by scikit-image's marching cubes (Lewiner 2003)."""
    try:
        from skimage import measure
    except ImportError as error:
        raise MissingDependency("scikit-image", "text3d") from error
    march: Any = measure.marching_cubes
    vertices, faces, _, _ = march(values, opacity)
    return vertices, faces.astype(np.int64)
