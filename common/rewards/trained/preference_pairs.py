"""Scores into preference pairs: the best completion of a prompt against its worst."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs that scores make, and why other groups make none.

    Attributes:
        pairs: `(chosen, rejected)` rows, a pair a group, in the order of the groups' first rows.
        unscored: rows without a score, which no pair holds.
        alone: groups with fewer than two scored rows.
        tied: groups whose scores are all the same.
        narrow: groups whose best and worst are apart by less than the margin.
    """

    pairs: tuple[tuple[int, int], ...]
    unscored: tuple[int, ...]
    alone: tuple[Hashable, ...]
    tied: tuple[Hashable, ...]
    narrow: tuple[Hashable, ...]


def to_preference_pairs(scores: Sequence[float], groups: Sequence[Hashable], margin: float = 0.0) -> ScoredPairs:
    r"""Of every group the pair of the best and the worst row, where :math:`s_w - s_l \ge` margin and > 0.

    So any reward feeds preference training, as TeaRAG's knowledge sufficiency does in its iterated DPO (November 2025;
    its form is the seed reference's, its paper was not read). Of equal scores the first row is taken.

    Args:
        scores: `(N,)`, higher is better; NaN is a row that could not be scored and is left out.
        groups: `(N,)` ids; rows of one prompt share one.
        margin: least difference, in the scores' own unit, not negative.

    Raises:
        ValueError: the lengths differ, the margin is negative or not finite, or a score is infinite.
    """
    if len(scores) != len(groups):
        raise ValueError(f"{len(scores)} scores for {len(groups)} groups")
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"the margin is {margin}; give a number of 0 or more")
    members: dict[Hashable, list[int]] = {}
    unscored = []
    for row, (score, group) in enumerate(zip(scores, groups, strict=True)):
        if math.isinf(score):
            raise ValueError(f"the score of row {row} is {score}; a score is finite, or NaN where there is none")
        several = members.setdefault(group, [])
        if math.isnan(score):
            unscored.append(row)
        else:
            several.append(row)
    pairs: list[tuple[int, int]] = []
    alone: list[Hashable] = []
    tied: list[Hashable] = []
    narrow: list[Hashable] = []
    for group, rows in members.items():
        if len(rows) < 2:
            alone.append(group)
            continue
        best, worst = max(rows, key=lambda row: scores[row]), min(rows, key=lambda row: scores[row])
        gap = scores[best] - scores[worst]
        if gap <= 0:
            tied.append(group)
        # 0.9 - 0.7 is a hair less than 0.2 in binary.
        elif gap < margin and not math.isclose(gap, margin, rel_tol=1e-9):
            narrow.append(group)
        else:
            pairs.append((best, worst))
    return ScoredPairs(tuple(pairs), tuple(unscored), tuple(alone), tuple(tied), tuple(narrow))
