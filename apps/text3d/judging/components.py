"""The separate things in a field, each with its place, size, colour and kind."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from apps.text3d.colours import NAMES, lab_distance, nearest
from apps.text3d.judging.field import Bools, Field
from apps.text3d.judging.kinds import fit_kind

#: Farther than this in Lab (lightness at half weight) from every reference a colour has no name.
COLOUR_CUT = 35.0
#: A colour with this share of a component's surface is a part of its own, so things that touch are told apart …
SPLIT_SHARE = 0.15
#: … if the mean colours of the parts differ by this much: shading alone must not split a thing.
SPLIT_DISTANCE = 30.0

Cells = NDArray[np.intp]


@dataclass(frozen=True)
class Component:
    """One thing in a field.

    Attributes:
        centre: its centre of mass, metres.
        volume: cubic metres.
        size: metres that one unit of its kind is; see `pocket.solids`.
        colour: the vocabulary's nearest, None where none is near.
        colour_distance: to the nearest.
        kind: None where no kind fits clearly.
        overlaps: IoU with each kind at its best pose.
    """

    centre: tuple[float, float, float]
    volume: float
    size: float
    colour: str | None
    colour_distance: float
    kind: str | None
    overlaps: dict[str, float] = field(compare=False)

    def describe(self) -> str:
        """Such as `red cube at (0.1, -0.4, 0.0)`."""
        place = ", ".join(f"{value:.2f}" for value in self.centre)
        return f"{self.colour or 'odd-coloured'} {self.kind or 'thing of unclear kind'} at ({place})"


@dataclass(frozen=True)
class Components:
    """What is in a field.

    Attributes:
        found: the greatest first.
        debris: share of the solid volume in pieces that are too small to count.
    """

    found: tuple[Component, ...]
    debris: float


def find_components(grid: Field, least_volume: float) -> Components:
    """Separate things: connected by faces, and of one colour.

    Args:
        grid: as read.
        least_volume: cubic metres below which a piece is debris.
    """
    least = max(least_volume / grid.step**3, 8.0)
    pieces = [cells for whole in _connected(grid.solid) for cells in _by_colour(grid, whole, least)]
    counted = sorted((cells for cells in pieces if len(cells) >= least), key=len, reverse=True)
    total = int(grid.solid.sum())
    debris = 1 - sum(map(len, counted)) / total if total else 0.0
    return Components(tuple(_describe(grid, cells) for cells in counted), debris)


def _connected(solid: Bools) -> list[Cells]:
    """Cells `(K, 3)` of each face-connected piece."""
    from scipy import ndimage

    labels, _ = ndimage.label(solid)
    return [
        np.argwhere(labels[box] == number) + [part.start for part in box]
        for number, box in enumerate(ndimage.find_objects(labels), 1)
        if box is not None
    ]


def _by_colour(grid: Field, cells: Cells, least: float) -> list[Cells]:
    """Split a piece whose surface shows several colours in large patches; inner cells go with the nearest patch."""
    from scipy import ndimage

    at = tuple(cells.T)
    skin = cells[grid.surface[at]]
    if len(cells) < 2 * least:
        return [cells]
    rgb = torch.as_tensor(grid.rgb[tuple(skin.T)])
    label = nearest(rgb)[0].numpy()
    kept = [name for name in range(len(NAMES)) if (label == name).mean() >= SPLIT_SHARE]
    kept = _distinct(rgb, label, kept)
    if len(kept) < 2:
        return [cells]
    patches = np.full(grid.solid.shape, -1)
    patches[tuple(skin.T)] = np.where(np.isin(label, kept), label, -1)
    closest = ndimage.distance_transform_edt(patches < 0, return_distances=False, return_indices=True)
    owner = patches[tuple(closest)]
    whole = np.zeros(grid.solid.shape, bool)
    whole[at] = True
    return [piece for name in kept for piece in _connected(whole & (owner == name))]


def _distinct(rgb: torch.Tensor, label: NDArray[np.int64], kept: list[int]) -> list[int]:
    """Drop patches whose colour is near to that of a larger one."""
    chosen: list[int] = []
    means = {name: rgb[torch.as_tensor(label == name)].mean(0) for name in kept}
    for name in sorted(kept, key=lambda one: -int((label == one).sum())):
        if all(float(lab_distance(means[name], means[other])) >= SPLIT_DISTANCE for other in chosen):
            chosen.append(name)
    return chosen


def _describe(grid: Field, cells: Cells) -> Component:
    places = grid.places(cells)
    skin = cells[grid.surface[tuple(cells.T)]]
    # The median: a few cells of another thing's colour where two touch do not count.
    rgb = torch.as_tensor(grid.rgb[tuple(skin.T)]).median(0).values if len(skin) else torch.zeros(3)
    index, distance = nearest(rgb)
    fit = fit_kind(places, grid.step)
    x, y, z = places.mean(0).tolist()
    return Component(
        centre=(x, y, z),
        volume=len(cells) * grid.step**3,
        size=fit.size,
        colour=NAMES[int(index)] if int(index) >= 0 and float(distance) <= COLOUR_CUT else None,
        colour_distance=float(distance),
        kind=fit.kind,
        overlaps=fit.overlaps,
    )
