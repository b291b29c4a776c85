"""Tells a solid's kind by laying each kind over it: same volume, same centre of mass, in all poses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apps.text3d.pocket.solids import CENTRE_OF_MASS, UNIT, VOLUME

#: The least overlap with which a kind is told, and the least lead over the next kind.
LEAST = 0.6
LEAD = 0.03

#: Kinds that look the same from all sides when they stand upright, and those whose top differs from their bottom.
_ROUND = frozenset({"sphere", "cylinder", "cone", "torus", "capsule"})
_POINTED = frozenset({"cone", "pyramid"})
_MOST_CELLS = 6000


@dataclass(frozen=True)
class Fit:
    """How well the kinds fit.

    Attributes:
        kind: the best one, None where it is not clear.
        overlaps: IoU of each kind's best pose, in [0, 1].
        size: metres that one unit of the best kind is, for the solid's volume.
    """

    kind: str | None
    overlaps: dict[str, float]
    size: float


def fit_kind(places: NDArray[np.float64], step: float) -> Fit:
    """Compare a solid with all kinds.

    Args:
        places: `(K, 3)` middles of its cells, in metres.
        step: metres from cell to cell.
    """
    volume = len(places) * step**3
    centre = places.mean(0)
    cells = np.round((places - places[0]) / step).astype(int)
    low = cells.min(0) - 3
    shape = cells.max(0) - low + 4
    inside = np.zeros(shape, bool)
    inside[tuple((cells - low).T)] = True
    box = np.argwhere(np.ones(shape, bool))
    points = torch.as_tensor((box + low) * step + places[0] - centre, dtype=torch.float32)
    truth = torch.as_tensor(inside.reshape(-1))
    if len(points) > _MOST_CELLS:
        # A fixed sample is as good: overlaps are shares.
        keep = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:_MOST_CELLS]
        points, truth = points[keep], truth[keep]
    overlaps = {kind: _best_overlap(kind, points, truth, volume) for kind in UNIT}
    ranked = sorted(overlaps, key=lambda kind: -overlaps[kind])
    best = ranked[0]
    clear = overlaps[best] >= LEAST and overlaps[best] - overlaps[ranked[1]] >= LEAD
    return Fit(best if clear else None, overlaps, (volume / VOLUME[best]) ** (1 / 3))


def _best_overlap(kind: str, points: Tensor, truth: Tensor, volume: float) -> float:
    """The greatest IoU over all poses; `points` are relative to the centre of mass."""
    size = (volume / VOLUME[kind]) ** (1 / 3)
    turned = torch.einsum("pij,nj->pni", _poses(kind), points / size)
    turned[..., 2] += CENTRE_OF_MASS.get(kind, 0.0)
    template = UNIT[kind](turned) < 0
    both = (template & truth).sum(1).float()
    either = (template | truth).sum(1).float()
    return float((both / either.clamp_min(1)).max())


@lru_cache(maxsize=len(UNIT))
def _poses(kind: str) -> Tensor:
    """`(P, 3, 3)` rotations into a kind's frame: about z, upside down where that differs, lying for round kinds."""
    yaws = [0.0] if kind in _ROUND else [math.radians(15.0 * turn) for turn in range(6)]
    tilts = [torch.eye(3)]
    if kind in _POINTED:
        tilts.append(torch.diag(torch.tensor([1.0, -1.0, -1.0])))
    poses = [tilt @ _about_z(yaw) for tilt in tilts for yaw in yaws]
    if kind in _ROUND and kind != "sphere":
        lying = torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
        around = 360.0 if kind in _POINTED else 180.0
        poses += [lying @ _about_z(math.radians(around * turn / 8)) for turn in range(8)]
    return torch.stack(poses)


def _about_z(angle: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
