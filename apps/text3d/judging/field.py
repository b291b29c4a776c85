"""A scene's field on a grid: what is solid, at which density level, and the colours of the surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from apps.text3d.scenes.base import BOUND, Scene
from apps.text3d.scenes.density import CHUNK, density_of, density_on, device_of, opacity_of, otsu
from common.errors import TouchstoneError, UsageError

Bools = NDArray[np.bool_]

#: Metres of matter whose opacity decides on a density: a cell or so, the sharpness of fields in practice.
THICKNESS = 0.04
#: Density per metre below which a whole scene counts as empty: half a metre of it is 12 % opaque.
FAINT = 0.25


@dataclass(frozen=True)
class Field:
    """A scene on a cubic grid over ±BOUND, index order x, y, z.

    Attributes:
        solid: `(n, n, n)`, cavities filled.
        surface: solid cells with a face to the outside.
        rgb: `(n, n, n, 3)` in [0, 1], read at surface cells only; 0 elsewhere.
        level: density per metre from which a cell is solid; NaN where the scene is empty.
        automatic: whether the level was found by itself.
        filled: share of the solid cells that were cavities.
    """

    solid: Bools
    surface: Bools
    rgb: NDArray[np.float32]
    level: float
    automatic: bool
    filled: float

    @property
    def step(self) -> float:
        """Metres from cell to cell."""
        return 2 * BOUND / len(self.solid)

    def places(self, cells: NDArray[np.intp]) -> NDArray[np.float64]:
        """Middles of cells `(N, 3)` in metres."""
        places: NDArray[np.float64] = cells.astype(np.float64) * self.step + (0.5 * self.step - BOUND)
        return places


@torch.no_grad()
def read_field(scene: Scene, resolution: int = 64, level: float | None = None) -> Field:
    """Read a scene's density everywhere and its colour at the surface.

    Args:
        scene: with `density` and `colour`.
        resolution: cells along each axis.
        level: density per metre from which a cell is solid; found by Otsu's method where not given.

    Raises:
        TouchstoneError: the density is not finite.
        UsageError: fewer than 8 cells, or a level that is not positive.
    """
    from scipy import ndimage

    if resolution < 8 or (level is not None and not level > 0):
        raise UsageError(f"judging needs 8 cells or more and a positive level, not {resolution} and {level}")
    axis = (torch.arange(resolution) + 0.5) * (2 * BOUND / resolution) - BOUND
    density = density_on(scene, axis)
    if not np.isfinite(density).all():
        raise TouchstoneError(
            "the scene's density is not finite; its optimisation has failed, go back to a checkpoint"
        )
    found = otsu_level(density) if level is None else level
    raw = density > found if found is not None else np.zeros(density.shape, bool)
    solid = ndimage.binary_fill_holes(raw)
    surface = solid & ~ndimage.binary_erosion(solid)
    rgb = np.zeros((*solid.shape, 3), np.float32)
    if surface.any():
        cells = torch.as_tensor(np.argwhere(surface), device=device_of(scene))
        points = (cells.float() + 0.5) * (2 * BOUND / resolution) - BOUND
        rgb[surface] = torch.cat([scene.colour(part).float().cpu() for part in torch.split(points, CHUNK)]).numpy()
    filled = float((solid & ~raw).sum() / max(int(solid.sum()), 1))
    return Field(solid, surface, rgb, float("nan") if found is None else float(found), level is None, filled)


def otsu_level(density: NDArray[np.float32]) -> float | None:
    """The density that best parts matter from air; None where there is no matter.

    Otsu's method (1979) on the opacity of `THICKNESS` metres, which neither thick matter nor thin air dominates. Where
    all is matter, the level lies below all of it.

    Args:
        density: of any shape, per metre.
    """
    if density.max(initial=0.0) < FAINT:
        return None
    cut = otsu(opacity_of(density, THICKNESS))
    return float(density.min()) / 2 if cut is None else density_of(cut, THICKNESS)
