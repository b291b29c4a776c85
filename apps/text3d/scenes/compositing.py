r"""Front-to-back compositing of splats in tiles of 16 × 16 pixels, with its gradient written out.

.. math:: \alpha_k = \min(o_k e^{-\frac12 (a \, dx^2 + c \, dy^2) - b \, dx \, dy}, 0.999), \quad
    T_k = \prod_{j<k} (1 - \alpha_j), \quad C = \sum_k T_k \alpha_k f_k

(3DGS, arXiv 2308.04079, eq. 3), α below 1/255 counting as 0, so that a splat ends where its box does and tiles change
nothing. Between forward and backward only the splats are kept: each tile is computed again, so that memory grows
neither with pixels nor with views.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apps.text3d.scenes.gaussian_maths import LEAST_ALPHA, MOST_ALPHA

TILE = 16
#: Columns of packed splats: column and row, conic a, b and c, opacity; features follow.
GEOMETRY = 6


def tile_lists(places: Tensor, reach: Tensor, depth: Tensor, height: int, width: int) -> tuple[list[Tensor], int]:
    """Which splats each tile sees, front to back.

    Args:
        places: `(N, 2)` of one view.
        reach: `(N, 2)`; see `Splats`.
        depth: `(N,)`; equal ones stay in their order.
        height: of the picture.
        width: likewise.

    Returns:
        Rows of splats for each tile, tiles row by row, and how many tiles a row has.
    """
    order = torch.sort(depth, stable=True).indices
    places, reach = places[order], reach[order]
    overlaps = []
    for axis, size in ((1, height), (0, width)):
        start = torch.arange(0, size, TILE, device=places.device)[:, None]
        # Pixel centres of a tile lie from start + 0.5 to start + 15.5.
        low, high = places[:, axis] - reach[:, axis], places[:, axis] + reach[:, axis]
        overlaps.append((high > start) & (low < start + TILE) & (reach[:, axis] > 0))
    down, across = overlaps
    at = (down[:, None] & across[None]).flatten(0, 1)
    tile, splat = at.nonzero(as_tuple=True)
    counts = torch.bincount(tile, minlength=len(at)).tolist()
    return list(torch.split(order[splat], counts)), len(across)


class Tile:
    """One tile's splats evaluated: `(K, 16, 16)` maps over splats, rows and columns."""

    def __init__(self, packed: Tensor, left: int, top: int, height: int, width: int) -> None:
        x, y, a, b, c, opacity = (part[:, None] for part in packed[:, :GEOMETRY].unbind(1))
        columns = torch.arange(left, min(left + TILE, width), device=packed.device, dtype=packed.dtype) + 0.5
        rows = torch.arange(top, min(top + TILE, height), device=packed.device, dtype=packed.dtype) + 0.5
        self.dx, self.dy = columns - x, rows - y
        self.a, self.b, self.c = a, b, c
        across, down = -0.5 * a * self.dx.square(), -0.5 * c * self.dy.square()
        power = torch.addcmul(down[:, :, None] + across[:, None], self.dy[:, :, None], (-b * self.dx)[:, None])
        self.fall = power.exp_()
        alpha = self.fall * opacity[:, None]
        self.counts = alpha >= LEAST_ALPHA
        self.alpha = alpha.clamp_max_(MOST_ALPHA).mul_(self.counts)
        self.clear = 1 - self.alpha
        self.light = torch.cat([torch.ones_like(self.clear[:1]), self.clear[:-1]]).cumprod(0)
        self.weight = self.light * self.alpha


class Composite(torch.autograd.Function):
    """Pictures of one view's splats; see the module. Differentiable once, by the packed splats."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, lists: list[Tensor], across: int, height: int, width: int) -> Tensor:
        """`(C + 1, H, W)`: features and opacity, of `(N, 6 + C)` packed splats and `tile_lists`' results."""
        ctx.save_for_backward(packed)
        ctx.lists, ctx.across, ctx.size = lists, across, (height, width)
        count = packed.shape[1] - GEOMETRY
        picture = packed.new_zeros(count + 1, height, width)
        for index, rows in enumerate(lists):
            if len(rows):
                top, left = index // across * TILE, index % across * TILE
                seen = packed[rows]
                tile = Tile(seen, left, top, height, width)
                part = picture[:, top : top + TILE, left : left + TILE]
                sums = seen[:, GEOMETRY:].t() @ tile.weight.flatten(1)
                part[:count] = sums.view(count, *part.shape[1:])
                part[count] = 1 - tile.light[-1] * tile.clear[-1]
        return picture

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        """Of the packed splats."""
        (packed,), gradient = ctx.saved_tensors, given[0]
        height, width = ctx.size
        found = torch.zeros_like(packed)
        for index, rows in enumerate(ctx.lists):
            if len(rows):
                top, left = index // ctx.across * TILE, index % ctx.across * TILE
                seen = packed[rows]
                tile = Tile(seen, left, top, height, width)
                part = gradient[:, top : top + TILE, left : left + TILE]
                found.index_add_(0, rows, tile_gradient(tile, seen, part.flatten(1)))
        return found, None, None, None, None


def tile_gradient(tile: Tile, seen: Tensor, gradient: Tensor) -> Tensor:
    r"""Gradient `(K, 6 + C)` of one tile's splats from that of its pixels `(C + 1, P)`.

    With :math:`g_k` the gradient of a splat's weight, :math:`\partial L / \partial \alpha_k = T_k g_k -
    \sum_{j>k} w_j g_j / (1 - \alpha_k)`.
    """
    features = seen[:, GEOMETRY:]
    of_weight = torch.addmm(gradient[-1:], features, gradient[:-1]).view_as(tile.weight)
    of_features = tile.weight.flatten(1) @ gradient[:-1].t()
    behind = (tile.weight * of_weight).flip(0).cumsum(0).flip(0)
    behind = torch.cat([behind[1:], torch.zeros_like(behind[:1])])
    of_alpha = (tile.light * of_weight).sub_(behind.div_(tile.clear))
    # No gradient where α was cut, at either end.
    of_alpha.mul_(tile.counts & (tile.alpha < MOST_ALPHA))
    of_fall = of_alpha.mul_(tile.fall)
    of_opacity = of_fall.sum((1, 2))
    of_power = of_fall.mul_(seen[:, 5, None, None])
    dx, dy = tile.dx, tile.dy
    by_column, by_row = of_power.sum(1), of_power.sum(2)
    crossed = torch.bmm(dy[:, None], of_power)[:, 0]
    sum_x, sum_y = (by_column * dx).sum(1), (by_row * dy).sum(1)
    a, b, c = (part[:, 0] for part in (tile.a, tile.b, tile.c))
    geometry = [
        a * sum_x + b * sum_y,
        b * sum_x + c * sum_y,
        -0.5 * (by_column * dx.square()).sum(1),
        -(crossed * dx).sum(1),
        -0.5 * (by_row * dy.square()).sum(1),
        of_opacity,
    ]
    return torch.cat([torch.stack(geometry, 1), of_features], 1)
