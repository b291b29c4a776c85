"""Density and colour of Gaussians at points of space, for meshes and geometry checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.text3d.scenes.base import BOUND
from apps.text3d.scenes.gaussian_maths import extinction, rotations

if TYPE_CHECKING:
    from apps.text3d.scenes.gaussians import GaussianScene

#: Standard deviations at which a Gaussian ends here: e⁻⁸ of its density is left.
CUT = 4.0
#: Points are gone through in cells of this edge, in metres, each with the Gaussians that reach it alone.
CELL = 0.25
#: Points of a cell at once.
TURN = 4096


def mixture(scene: GaussianScene, points: Tensor) -> tuple[Tensor, Tensor]:
    """Density `(N,)` per metre, 0 outside of the bound, and sRGB `(N, 3)` at `(N, 3)` points; differentiable."""
    turns, scales = rotations(scene.quaternions), scene.scales
    inverse = (turns / scales[:, None]).transpose(1, 2)
    peak, colours = extinction(scene.opacities, scales), scene.colours
    with torch.no_grad():
        reach = CUT * (turns * scales[:, None]).norm(dim=2)
        groups = cells(points)
    parts = []
    for group in groups:
        here = points[group]
        with torch.no_grad():
            low, high = here.amin(0), here.amax(0)
            near = ((scene.means + reach >= low) & (scene.means - reach <= high)).all(1).nonzero()[:, 0]
        parts.append(summed(here, scene.means[near], inverse[near], peak[near], colours[near]))
    if not parts:
        return points.new_zeros(0), points.new_zeros(0, 3)
    order = torch.cat(groups).argsort()
    found = torch.cat(parts)[order]
    density = found[:, 0]
    # A little grey decides where there is nothing.
    little = 1e-6
    colour = (found[:, 1:] + 0.5 * little) / (density[:, None] + little)
    return density * (points.abs() <= BOUND).all(1), colour


def summed(points: Tensor, means: Tensor, inverse: Tensor, peak: Tensor, colours: Tensor) -> Tensor:
    """`(P, 4)`: density, and colours times it, of some Gaussians at some points."""
    apart = torch.einsum("nij,pnj->pni", inverse, points[:, None] - means)
    square = apart.square().sum(-1)
    each = peak * torch.exp(-0.5 * square) * (square < CUT * CUT)
    return each @ torch.cat([torch.ones_like(peak)[:, None], colours], 1)


def cells(points: Tensor) -> list[Tensor]:
    """Rows of points that lie close together."""
    at = ((points.clamp(-2 * BOUND, 2 * BOUND) + 2 * BOUND) / CELL).long()
    edge = int(4 * BOUND / CELL) + 1
    cell = (at[:, 0] * edge + at[:, 1]) * edge + at[:, 2]
    order = torch.sort(cell, stable=True).indices
    counts = torch.bincount(cell, minlength=1)
    groups = torch.split(order, counts[counts > 0].tolist())
    return [part for group in groups for part in torch.split(group, TURN)]
