"""Boxes, centres and counts of soft masks, all differentiable."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_box(masks: Tensor) -> Tensor:
    r"""The box around a mask.

    With p_j the greatest value of column j, :math:`x_0 = mean_j (1 - cummax\ p)_j` and :math:`x_1 = 1 - mean_j (1 -
    reverse\ cummax\ p)_j`; rows likewise. Exact for masks of 0 and 1. An empty mask gives the swapped box 1, 1, 0, 0.

    Args:
        masks: `(..., H, W)` in [0, 1].

    Returns:
        `(..., 4)`: left, top, right, bottom as shares of width and height.
    """
    low, high = zip(*(_ends(masks.amax(axis)) for axis in (-2, -1)), strict=True)
    return torch.stack([*low, *high], -1)


def _ends(profile: Tensor) -> tuple[Tensor, Tensor]:
    first = (1 - profile.cummax(-1).values).mean(-1)
    last = 1 - (1 - profile.flip(-1).cummax(-1).values).mean(-1)
    return first, last


def giou(left: Tensor, right: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of boxes, in [−1, 1]; unlike IoU it pulls disjoint boxes together.

    Args:
        left: `(..., 4)`: left, top, right, bottom. A swapped box has no area, and a gradient all the same.
        right: `(..., 4)`.
    """

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp_min(0).prod(-1)

    shared = area(torch.maximum(left[..., :2], right[..., :2]), torch.minimum(left[..., 2:], right[..., 2:]))
    union = area(left[..., :2], left[..., 2:]) + area(right[..., :2], right[..., 2:]) - shared
    ends = [
        (torch.minimum(box[..., :2], box[..., 2:]), torch.maximum(box[..., :2], box[..., 2:])) for box in (left, right)
    ]
    hull = area(torch.minimum(ends[0][0], ends[1][0]), torch.maximum(ends[0][1], ends[1][1]))
    return shared / union.clamp_min(1e-9) - (hull - union) / hull.clamp_min(1e-9)


def centre(masks: Tensor, prior: float = 1e-2) -> Tensor:
    """Centre of mass `(..., 2)` of masks `(..., H, W)`: x to the right and y down, as shares of width and height.

    Args:
        masks: in [0, 1].
        prior: pixels of mass that lie in the middle, so that an empty mask has a centre.
    """
    height, width = masks.shape[-2:]
    x = (torch.arange(width, dtype=masks.dtype, device=masks.device) + 0.5) / width
    y = (torch.arange(height, dtype=masks.dtype, device=masks.device) + 0.5) / height
    mass = masks.sum((-2, -1)) + prior
    across = ((masks.sum(-2) * x).sum(-1) + prior / 2) / mass
    down = ((masks.sum(-1) * y).sum(-1) + prior / 2) / mass
    return torch.stack([across, down], -1)


def soft_count(masks: Tensor) -> Tensor:
    """How many separate pieces a mask has, less its holes: its Euler number, points − edges + squares of the grid.

    Exact for masks of 0 and 1 (pieces joined by their sides), a polynomial between.

    Args:
        masks: `(..., H, W)` in [0, 1].

    Returns:
        `(...)`.
    """
    points = masks.sum((-2, -1))
    across = masks[..., :, 1:] * masks[..., :, :-1]
    down = masks[..., 1:, :] * masks[..., :-1, :]
    squares = across[..., 1:, :] * across[..., :-1, :]
    return points - across.sum((-2, -1)) - down.sum((-2, -1)) + squares.sum((-2, -1))


def sharpen(masks: Tensor) -> Tensor:
    """Values pulled towards 0 and 1 by a smooth step from 0.2 to 0.8, for measures that haze would mislead."""
    within = ((masks - 0.2) / 0.6).clamp(0, 1)
    return within.square() * (3 - 2 * within)
