"""Scores as preferences: any reward feeds a DPO trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import RewardError


@dataclass(frozen=True)
class PreferencePair:
    """Two rows of one group of which the first is better.

    Attributes:
        group: number of the group.
        chosen: row of the better one.
        rejected: row of the worse one.
        gap: how much better it scores.
    """

    group: int
    chosen: int
    rejected: int
    gap: float


def to_preference_pairs(
    scores: Tensor | Sequence[float], margin: float = 0.0, group: Tensor | Sequence[int] | None = None
) -> list[PreferencePair]:
    """The best against the worst row of each group, where they are at least `margin` apart.

    TeaRAG's IP-DPO ranks sampled trajectories so (known from its abstract; this form is ours). A small gap between
    scores is the grader's noise, and a pair made of it teaches noise: give the reward's repeatability as the margin.
    Of equal rows the first is taken.

    Args:
        scores: `(B,)`; a row that could not be scored (NaN, or infinite) is in no pair: it is no worse than others.
        margin: least gap; at 0 any difference will do, and equal scores still make no pair.
        group: `(B,)` number of each row's group, rows of one prompt; None takes all rows for one group.

    Returns:
        At most one pair a group, groups in the order of their first rows.

    Raises:
        RewardError: the margin is negative or no number, or scores and groups differ in length.
    """
    if not 0 <= margin < math.inf:
        raise RewardError(f"a margin of {margin} between the chosen and the rejected row cannot be; give 0 or more")
    values = torch.as_tensor(scores, dtype=torch.float64).detach().cpu()
    groups = torch.zeros(len(values), dtype=torch.long) if group is None else torch.as_tensor(group).cpu()
    if values.ndim != 1 or groups.shape != values.shape:
        raise RewardError(f"scores {tuple(values.shape)} and groups {tuple(groups.shape)} must be one a row")
    pairs = []
    for number in dict.fromkeys(groups.tolist()):
        rows = [row for row in (groups == number).nonzero().flatten().tolist() if values[row].isfinite()]
        if not rows:
            continue
        best, worst = max(rows, key=lambda row: values[row]), min(rows, key=lambda row: values[row])
        gap = float(values[best] - values[worst])
        # float32 holds scores that lie a margin apart only approximately.
        if gap > 0 and gap >= margin - 1e-6 * max(1.0, margin):
            pairs.append(PreferencePair(int(number), best, worst, gap))
    return pairs
