"""Rank statistics with ties, in numpy alone; `common.stats` offers them beside the intervals and tests.

NaN means "could not be scored" and takes its row out; infinite values raise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def ranks(values: ArrayLike) -> Array:
    """`(N,)` ranks from 1; ties share their mean rank."""
    _, inverse, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = counts.cumsum()
    mean_rank: Array = last - (counts - 1) / 2
    return mean_rank[inverse]


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation with ties; NaN where a column is constant or fewer than two pairs are left."""
    (first, second), _ = aligned([a, b])
    if first.size < 2:
        return math.nan
    x, y = ranks(first), ranks(second)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else math.nan


def kendall(a: ArrayLike, b: ArrayLike) -> float:
    """Kendall's tau-b, corrected for ties; NaN where a column is constant or fewer than two pairs are left.

    Compares all pairs: 10,000 rows take about a second.
    """
    (first, second), _ = aligned([a, b])
    agreeing, pairs = 0.0, first.size * (first.size - 1) / 2
    for row in range(first.size - 1):
        agreeing += float((np.sign(first[row + 1 :] - first[row]) * np.sign(second[row + 1 :] - second[row])).sum())
    untied = [pairs - float((sizes * (sizes - 1) / 2).sum()) for sizes in map(_tie_sizes, (first, second))]
    scale = math.sqrt(untied[0] * untied[1])
    return agreeing / scale if scale > 0 else math.nan


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counting half; NaN where a class is empty.

    Args:
        scores: `(N,)`; a NaN row is left out.
        labels: `(N,)` of 0/1 or booleans.
    """
    (values, truth), _ = aligned([scores, labels])
    positive = truth == 1
    count = int(positive.sum())
    others = positive.size - count
    if count == 0 or others == 0:
        return math.nan
    return float((ranks(values)[positive].sum() - count * (count + 1) / 2) / (count * others))


def one_column(values: ArrayLike) -> Array:
    """`(N,)` floats; raises `ValueError` for another shape or an infinite value."""
    data = np.asarray(values, dtype=float)
    if data.ndim != 1:
        raise ValueError(f"expected one list of values, found shape {data.shape}")
    if np.isinf(data).any():
        raise ValueError("infinite values have no mean; clip them or make them NaN first")
    return data


def aligned(columns: Sequence[ArrayLike]) -> tuple[list[Array], Array]:
    """The columns without rows that hold NaN in any of them, and the mask of the rows kept."""
    data = [one_column(column) for column in columns]
    if len({column.size for column in data}) != 1:
        raise ValueError(f"columns differ in length: {[column.size for column in data]}")
    keep = ~np.isnan(np.stack(data)).any(0)
    return [column[keep] for column in data], keep


def _tie_sizes(values: Array) -> Array:
    return np.unique(values, return_counts=True)[1]
