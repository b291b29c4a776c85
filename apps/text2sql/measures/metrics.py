"""Formulas of the evaluation that know nothing of models or files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from common.stats import Interval, bootstrap, wilson

#: BIRD's reward for the ratio of the gold's time to the prediction's.
_TIME_REWARDS = ((2.0, 1.25), (1.0, 1.0), (0.5, 0.75), (0.25, 0.5))
_SLOWEST = 0.25
#: Beyond this a ratio of two measured times says no more.
CLIP = 10.0


def time_ratio(gold: Sequence[float], pred: Sequence[float]) -> float:
    """How much faster the prediction is: the median ratio of times measured in turns, within [1 / CLIP, CLIP]."""
    ratios = [first / max(second, 1e-9) for first, second in zip(gold, pred, strict=True)]
    return min(CLIP, max(1 / CLIP, median(ratios)))


def efficiency(ratio: float) -> float:
    """What a right query adds to BIRD's R-VES: the square root of its reward for `ratio`; a wrong one adds 0.

    R-VES is the mean over all questions, times 100 (bird-bench/mini_dev): 1.25 for a ratio of at least 2, 1 for 1,
    0.75 for 0.5, 0.5 for 0.25, else 0.25.
    """
    reward = next((value for least, value in _TIME_REWARDS if ratio >= least), _SLOWEST)
    return math.sqrt(reward)


def interval(values: Sequence[float], groups: Sequence[str] | None = None) -> Interval:
    """Mean and 95 % interval: the bootstrap over groups, or Wilson's where every value is 0 or every value is 1.

    Args:
        values: `(N,)`; NaN is left out.
        groups: `(N,)` ids of rows that are resampled together.
    """
    kept = [value for value in values if not math.isnan(value)]
    if kept and set(kept) in ({0.0}, {1.0}):
        # All alike: resampling them would claim certainty.
        independent = (
            len({g for g, v in zip(groups, values, strict=True) if not math.isnan(v)}) if groups else len(kept)
        )
        bounds = wilson(independent if kept[0] else 0, independent)
        return Interval(kept[0], bounds.low, bounds.high, len(kept))
    return bootstrap(values, groups=groups)
