"""The pure functions behind the picture rewards: no columns, no models, no failure policy beyond NaN in, NaN out."""

from __future__ import annotations

import torch
from torch import Tensor


def cosine(left: Tensor, right: Tensor) -> Tensor:
    r""":math:`\cos` of rows `(B, D)`, or of every row and one `(D,)`, of any length; 0 where either is zeros."""
    left, right = torch.broadcast_tensors(left.float(), right.float())
    return torch.nn.functional.cosine_similarity(left, right, dim=-1)


def clip_score(cosines: Tensor, scale: float = 2.5) -> Tensor:
    r"""CLIPScore :math:`w \max(\cos(I, c), 0)` (arXiv 2104.08718), in [0, w]."""
    return scale * cosines.clamp(min=0)


def harmonic_mean(left: Tensor, right: Tensor) -> Tensor:
    r""":math:`2ab / (a + b)` of numbers that are at least 0; 0 where both are 0, where the formula has no value."""
    total = left + right
    return torch.where(total == 0, 0.0, 2 * left * right / torch.where(total == 0, 1.0, total))


def contrast_gap(positive: Tensor, negative: Tensor, weights: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    r""":math:`z = b \cos(I, g^-) - a \cos(I, g^+)`, in [−(a + b), a + b]; the higher, the more of what must not be.

    The paper of VLM-RL (arXiv 2412.15544) rewards −z with weights a and b; its code has the bare difference.
    """
    return weights[1] * negative - weights[0] * positive


def contrast(
    positive: Tensor, negative: Tensor, low: float, high: float, weights: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    r"""How far a picture is from what must not be, beside what should be.

    .. math:: z = b \cos(I, g^-) - a \cos(I, g^+), \qquad r = 1 - \frac{\mathrm{clip}(z, low, high) - low}{high - low}

    In [0, 1]: 1 at `z <= low`, 0 at `z >= high`. The form of VLM-RL's code (arXiv 2412.15544), where a = b = 1.
    """
    return 1 - ((contrast_gap(positive, negative, weights) - low) / (high - low)).clamp(0, 1)


def goal_share(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    r"""Softmax over the two goals, :math:`\sigma((\cos(I, g^+) - \cos(I, g^-)) / T)`, in [0, 1]; never flat."""
    return torch.sigmoid((positive - negative) / temperature)


def goal_baseline(states: Tensor, goal: Tensor, baseline: Tensor, alpha: float) -> Tensor:
    r"""VLM-RM's regularised goal (arXiv 2310.12921).

    .. math:: r = 1 - \tfrac12 \lVert \alpha\,\mathrm{proj}_L(s) + (1 - \alpha) s - g \rVert^2

    with *L* the line through baseline *b* and goal *g*: `alpha` = 1 looks only at what tells goal from baseline; 0 is
    the cosine of state and goal. For unit vectors in [−1, 1].

    Args:
        states: `(B, D)` unit vectors.
        goal: `(D,)` or `(B, D)` unit vectors, not equal to `baseline`.
        baseline: as `goal`.
        alpha: in [0, 1].

    Returns:
        `(B,)`.
    """
    away = states - goal
    direction = goal - baseline
    length = (direction * direction).sum(-1, keepdim=True)
    along = (away * direction).sum(-1, keepdim=True) / length.clamp(min=torch.finfo(states.dtype).tiny) * direction
    left = alpha * along + (1 - alpha) * away
    return 1 - (left * left).sum(-1) / 2


def box_iou(left: Tensor, right: Tensor) -> Tensor:
    r"""Areas' intersection over union of every pair of boxes.

    A degenerate box — no width, no height, or its corners swapped — covers nothing, so it has 0 with every box, itself
    included.

    Args:
        left: `(N, 4)`: left, top, right, bottom, in any unit.
        right: `(M, 4)`.

    Returns:
        `(N, M)` in [0, 1].
    """
    low = torch.maximum(left[:, None, :2], right[None, :, :2])
    high = torch.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1) for boxes in (left, right)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    # Of a swapped box and another that it crosses, corners can still seem to enclose something.
    solid = (areas[0][:, None] > 0) & (areas[1][None, :] > 0)
    return torch.where(solid, shared / torch.where(solid, union, 1.0), 0.0)


def match(scores: Tensor) -> list[tuple[int, int]]:
    """One-to-one pairs `(row, column)` whose scores sum to the most.

    The Hungarian method with potentials, in O(n² m); exact.

    Args:
        scores: `(N, M)`, finite.

    Returns:
        min(N, M) pairs in the rows' order.
    """
    if scores.shape[0] > scores.shape[1]:
        return sorted((row, column) for column, row in match(scores.T))
    costs = (-scores.double()).tolist()
    rows, columns = scores.shape
    # Index 0 stands for "none"; taken[c] is the row that has column c.
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    taken = [0] * (columns + 1)
    for row in range(1, rows + 1):
        taken[0] = row
        column, before = 0, [0] * (columns + 1)
        slack, seen = [float("inf")] * (columns + 1), [False] * (columns + 1)
        while taken[column]:
            seen[column] = True
            at = taken[column]
            for other in range(1, columns + 1):
                if not seen[other]:
                    rest = costs[at - 1][other - 1] - row_price[at] - column_price[other]
                    if rest < slack[other]:
                        slack[other], before[other] = rest, column
            nearest = min((other for other in range(1, columns + 1) if not seen[other]), key=slack.__getitem__)
            step = slack[nearest]
            for other in range(columns + 1):
                if seen[other]:
                    row_price[taken[other]] += step
                    column_price[other] -= step
                else:
                    slack[other] -= step
            column = nearest
        while column:
            taken[column] = taken[before[column]]
            column = before[column]
    return sorted((taken[column] - 1, column - 1) for column in range(1, columns + 1) if taken[column])


def matched_iou(predicted: Tensor, expected: Tensor) -> float:
    r"""IoU of the best one-to-one matching, :math:`\sum IoU / \max(N, M)`, in [0, 1].

    A missing box and one too many each count as 0. 1 where neither side has a box.
    """
    if not len(predicted) and not len(expected):
        return 1.0
    table = box_iou(predicted, expected)
    return sum(table[row, column].item() for row, column in match(table)) / max(table.shape)
