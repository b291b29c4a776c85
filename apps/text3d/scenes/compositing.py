r"""Front-to-back compositing of splats in tiles of 16 × 16 pixels, with its gradient written out.

.. math:: \alpha_k = o_k e^{-\frac12 (a \, dx^2 + c \, dy^2) - b \, dx \, dy}, \quad
    T_k = \prod_{j<k} (1 - \alpha_j), \quad C = \sum_k T_k \alpha_k f_k

(3DGS, arXiv 2308.04079, eq. 3), α below 1/255 counting as 0, so that a splat ends where its box does and tiles change
nothing. Between forward and backward only the splats and the light between blocks of them are kept: all but a few
blocks are computed again, so that memory hardly grows with pixels and views.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.scenes.gaussian_maths import LEAST_ALPHA

TILE = 16
#: Splats of a tile at once: more save calls, fewer save work that `DARK` would spare.
BLOCK = 384
#: Blocks of all views together, of about 1.5 MB each, that are kept for the backward pass as they are: of small
#: pictures these are all, and a third of the time.
KEPT = 40
#: A tile ends before the block to which less light than this comes through anywhere.
DARK = 1e-6
#: Columns of packed splats: column and row, conic a, b and c, opacity at most `MOST_ALPHA`; features follow.
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


def scanned(scan: Callable[[Tensor, int], Tensor], values: Tensor) -> Tensor:
    """`scan(values, 0)` of `(K, H, W)`, the same to the bit: along memory it takes less than half the time."""
    return scan(values.flatten(1).t().contiguous(), 1).t().contiguous().view_as(values)


class Block:
    """Some of one tile's splats evaluated: `(K, 16, 16)` maps over splats, rows and columns.

    Attributes:
        alpha: α.
        light: what comes through those in front.
        weight: of each splat.
        after: `(16, 16)`, what comes through all of them.
    """

    def __init__(self, packed: Tensor, corner: tuple[int, int], light: Tensor) -> None:
        x, y, a, b, c, opacity = (part[:, None] for part in packed[:, :GEOMETRY].unbind(1))
        at = [torch.arange(size, device=light.device, dtype=light.dtype) + 0.5 for size in light.shape]
        self.dx, self.dy = (at[1] + corner[1]) - x, (at[0] + corner[0]) - y
        self.a, self.b, self.c, self.opacity = a[:, 0], b[:, 0], c[:, 0], opacity[:, 0]
        across, down = -0.5 * a * self.dx.square(), -0.5 * c * self.dy.square()
        power = torch.addcmul(down[:, :, None] + across[:, None], self.dy[:, :, None], (-b * self.dx)[:, None])
        # Below e⁻²⁰ all is cut; deeper, numbers would become subnormal, which processors are slow with.
        fall = power.clamp_min_(-20.0).exp_()
        self.alpha = functional.threshold(fall.mul_(opacity[:, None]), LEAST_ALPHA, 0.0, inplace=True)
        self.clear = 1 - self.alpha
        passed = scanned(torch.cumprod, torch.cat([light[None], self.clear]))
        self.light, self.after = passed[:-1], passed[-1]
        self.weight = self.light * self.alpha

    def gradient(self, features: Tensor, given: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
        r"""Gradient `(K, 6 + C)` of the packed splats, and `behind` for the block in front.

        With :math:`g_k` the gradient of a splat's weight, :math:`\partial L / \partial \alpha_k = T_k g_k -
        \sum_{j>k} w_j g_j / (1 - \alpha_k)`.

        Args:
            features: `(K, C)` of the splats.
            given: `(C + 1, 16, 16)` of the tile.
            behind: `(16, 16)`, the sum of the w g of all blocks behind this one.
        """
        flat = given.flatten(1)
        of_weight = torch.addmm(flat[-1:], features, flat[:-1]).view_as(self.weight)
        of_features = self.weight.flatten(1) @ flat[:-1].t()
        sums = scanned(torch.cumsum, torch.cat([behind[None], (self.weight * of_weight).flip(0)]))
        of_alpha = (self.light * of_weight).sub_(sums[:-1].flip(0).div_(self.clear))
        # α is 0 where it was cut, and with it the gradient.
        of_power = of_alpha.mul_(self.alpha)
        dx, dy = self.dx, self.dy
        by_column, by_row = of_power.sum(1), of_power.sum(2)
        crossed = torch.bmm(dy[:, None], of_power)[:, 0]
        sum_x, sum_y = (by_column * dx).sum(1), (by_row * dy).sum(1)
        geometry = [
            self.a * sum_x + self.b * sum_y,
            self.b * sum_x + self.c * sum_y,
            -0.5 * (by_column * dx.square()).sum(1),
            -(crossed * dx).sum(1),
            -0.5 * (by_row * dy.square()).sum(1),
            by_row.sum(1) / self.opacity,
        ]
        return torch.cat([torch.stack(geometry, 1), of_features], 1), sums[-1]


class Composite(torch.autograd.Function):
    """Pictures of one view's splats; see the module. Differentiable once, by the packed splats."""

    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, lists: list[Tensor], across: int, height: int, width: int, keep: int = 0
    ) -> Tensor:
        """`(C + 1, H, W)`: features and opacity, of `(N, 6 + C)` packed splats and `tile_lists`' results.

        The first `keep` blocks are not computed again in the backward pass; no digit depends on it.
        """
        picture = packed.new_zeros(packed.shape[1] - GEOMETRY + 1, height, width)
        steps: list[tuple[tuple[int, int], Tensor, Tensor, Block | None]] = []
        keep = keep if ctx.needs_input_grad[0] else 0
        for index, rows in enumerate(lists):
            top, left = index // across * TILE, index % across * TILE
            part = picture[:, top : top + TILE, left : left + TILE]
            light = torch.ones_like(part[0])
            for some in torch.split(rows, BLOCK) if len(rows) else ():
                if steps and steps[-1][0] == (top, left) and bool(light.amax() < DARK):
                    break
                seen = packed[some]
                block = Block(seen, (top, left), light)
                steps.append(((top, left), some, light, block if len(steps) < keep else None))
                part[:-1] += (seen[:, GEOMETRY:].t() @ block.weight.flatten(1)).view_as(part[:-1])
                light = block.after.clone()
            part[-1] = 1 - light
        ctx.save_for_backward(packed)
        ctx.steps = steps
        return picture

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        """Of the packed splats: tiles and their blocks from the last to the first."""
        (packed,), gradient = ctx.saved_tensors, given[0]
        found = torch.zeros_like(packed)
        last, behind = None, gradient[0]
        for corner, some, light, kept in reversed(ctx.steps):
            part = gradient[:, corner[0] : corner[0] + TILE, corner[1] : corner[1] + TILE]
            if corner != last:
                last, behind = corner, torch.zeros_like(light)
            seen = packed[some]
            block = Block(seen, corner, light) if kept is None else kept
            of_seen, behind = block.gradient(seen[:, GEOMETRY:], part, behind)
            found.index_add_(0, some, of_seen)
        return found, None, None, None, None, None
