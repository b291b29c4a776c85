"""Intervals, paired tests and rank statistics, in numpy alone.

NaN means "could not be scored" and is left out: of a list of values one by one, of paired values pair by pair. `n`
says how many were left. Infinite values raise. Where nothing is left the figures are NaN, never 0.

Rows that belong together (one question asked in seven languages) are no independent evidence: pass their ids as
`groups`, and whole groups are resampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from common.ranks import Array, aligned, one_column
from common.ranks import auc as auc
from common.ranks import kendall as kendall
from common.ranks import spearman as spearman

Statistic = Callable[..., Any]

# Resampled indices held at once: 2 million of 8 bytes.
CHUNK = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval.

    Attributes:
        mean: the estimate; NaN where there was no value.
        low: lower end.
        high: upper end.
        n: values (not groups) that the estimate is taken over.
        level: confidence level.
    """

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def text(self, scale: float = 1.0, digits: int = 3) -> str:
        """`0.520 [0.480, 0.560]`; with `scale=100, digits=1` a percentage, `52.0 [48.0, 56.0]`."""
        if math.isnan(self.mean):
            return "–"
        mean, low, high = (f"{value * scale:.{digits}f}" for value in (self.mean, self.low, self.high))
        return mean if math.isnan(self.low) else f"{mean} [{low}, {high}]"

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values for JSON; NaN becomes None."""
        return {key: None if value != value else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Interval:
        """What `to_dict` wrote; None becomes NaN. Other entries are passed over."""
        ends = [math.nan if values[key] is None else float(values[key]) for key in ("mean", "low", "high")]
        return cls(ends[0], ends[1], ends[2], int(values["n"]), float(values["level"]))


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same rows.

    Attributes:
        difference: mean of the second minus mean of the first.
        p: two-sided p-value of "no difference".
        n01: rows where the second is better.
        n10: rows where the first is better.
    """

    difference: Interval
    p: float
    n01: int
    n10: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        p = None if math.isnan(self.p) else self.p
        return {"difference": self.difference.to_dict(), "p": p, "n01": self.n01, "n10": self.n10}


def bootstrap(
    values: ArrayLike,
    statistic: Statistic = np.mean,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    groups: Sequence[Any] | Array | None = None,
    method: str = "percentile",
) -> Interval:
    """Bootstrap interval of a statistic of one list of values (Efron & Tibshirani 1993, chapters 13 and 14).

    Args:
        values: `(N,)`; NaN is left out.
        statistic: numpy-like, called as `statistic(samples, axis=-1)`; the mean is resampled fastest.
        n: resamples.
        seed: same seed, same interval.
        level: confidence level.
        groups: `(N,)` ids of rows that are resampled together.
        method: "percentile", or "bca": bias-corrected and accelerated, better for skewed statistics and small N.
    """
    if method not in ("percentile", "bca"):
        raise ValueError(f"method {method!r}: use 'percentile' or 'bca'")
    data = one_column(values)
    keep = ~np.isnan(data)
    rows, units = data[keep], _units(groups, keep)
    if rows.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, level)
    estimate = float(statistic(rows, axis=-1))
    rng = np.random.default_rng(seed)
    if statistic is np.mean:
        sums, counts = np.bincount(units, rows), np.bincount(units)
        draws = _resampled_means(sums, counts, n, rng)
        left_out = (rows.sum() - sums) / np.maximum(rows.size - counts, 1)
    elif groups is None:
        draws = np.concatenate([statistic(rows[picks], axis=-1) for picks in _picks(rows.size, n, rng)])
        left_out = _jackknife(rows, units, statistic) if method == "bca" else rows
    else:
        draws = np.array([statistic(rows[index], axis=-1) for index in _group_picks(units, n, rng)])
        left_out = _jackknife(rows, units, statistic) if method == "bca" else rows
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _bca_tails(tails, draws, estimate, left_out)
    low, high = _quantiles(draws, tails)
    return Interval(estimate, low, high, int(rows.size), level)


def bootstrap_columns(
    columns: Sequence[ArrayLike],
    statistic: Callable[..., float],
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    groups: Sequence[Any] | Array | None = None,
) -> Interval:
    """Percentile interval of a statistic of several aligned columns, such as `spearman`, `kendall` or `auc`.

    Args:
        columns: `(N,)` each; a row with NaN in any column is left out.
        statistic: called as `statistic(*columns)`; resamples where it is undefined (NaN) are left out.
        n: resamples.
        seed: same seed, same interval.
        level: confidence level.
        groups: `(N,)` ids of rows that are resampled together.
    """
    data, keep = aligned(columns)
    units = _units(groups, keep)
    size = int(keep.sum())
    if size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, level)
    rng = np.random.default_rng(seed)
    draws = np.array([statistic(*(column[index] for column in data)) for index in _group_picks(units, n, rng)])
    low, high = _quantiles(draws, np.array([(1 - level) / 2, (1 + level) / 2]))
    return Interval(float(statistic(*data)), low, high, size, level)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927): honest near 0 and 1, where the bootstrap has no width."""
    if not 0 <= successes <= n:
        raise ValueError(f"successes {successes} must lie between 0 and n = {n}")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0, level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(share, low, high, n, level)


def mean_interval_over_seeds(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t-interval of the mean of a few independent runs; one run has no interval (NaN ends)."""
    data = one_column(values)
    data = data[~np.isnan(data)]
    if data.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0, level)
    mean = float(data.mean())
    if data.size == 1:
        return Interval(mean, math.nan, math.nan, 1, level)
    half = _student_quantile(level, data.size - 1) * float(data.std(ddof=1)) / math.sqrt(data.size)
    return Interval(mean, mean - half, mean + half, int(data.size), level)


def mcnemar(
    a: ArrayLike,
    b: ArrayLike,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    groups: Sequence[Any] | Array | None = None,
) -> PairedTest:
    """Exact two-sided McNemar test of right/wrong on the same rows, with a paired bootstrap interval.

    Under "no difference" each discordant pair may as well be swapped, which gives the binomial test. With `groups`,
    whole groups are swapped instead; the distribution of their net differences is added up exactly.

    Args:
        a: `(N,)` booleans (or 0/1) of the first system; NaN leaves the pair out.
        b: `(N,)` of the second.
        n: resamples of the interval.
        seed: seed of the resampling.
        level: confidence level.
        groups: `(N,)` ids of rows that belong together.

    Raises:
        ValueError: a value is neither 0, 1 nor NaN, or lengths differ.
    """
    (first, second), keep = aligned([a, b])
    if not np.isin(np.concatenate([first, second]), (0, 1)).all():
        raise ValueError("mcnemar compares right/wrong: values must be 0 or 1")
    units = _units(groups, keep)
    net = np.bincount(units, second - first).round().astype(int) if units.size else np.zeros(0, int)
    difference = bootstrap(second - first, n=n, seed=seed, level=level, groups=units)
    p = _swap_test(net) if units.size else math.nan
    return PairedTest(difference, p, int((second > first).sum()), int((first > second).sum()))


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    groups: Sequence[Any] | Array | None = None,
) -> PairedTest:
    """Paired bootstrap of two systems' scores on the same rows (Efron & Tibshirani 1993, section 16.4).

    The p-value is the share of resampled differences that lie at least as far from the observed difference as that
    lies from 0, the observed one counted in, so that it is never 0.

    Args:
        a: `(N,)` scores of the first system; NaN in either leaves the pair out.
        b: `(N,)` of the second.
        n: resamples.
        seed: seed of the resampling.
        level: confidence level.
        groups: `(N,)` ids of rows that are resampled together.
    """
    (first, second), keep = aligned([a, b])
    delta, units = second - first, _units(groups, keep)
    difference = bootstrap(delta, n=n, seed=seed, level=level, groups=units)
    if delta.size == 0:
        return PairedTest(difference, math.nan, 0, 0)
    sums, counts = np.bincount(units, delta), np.bincount(units)
    draws = _resampled_means(sums, counts, n, np.random.default_rng(seed))
    observed = delta.mean()
    # The tolerance keeps rounding from deciding draws that equal the observed difference exactly.
    extreme = int((np.abs(draws - observed) >= abs(observed) * (1 - 1e-12)).sum())
    return PairedTest(difference, (extreme + 1) / (n + 1), int((second > first).sum()), int((first > second).sum()))


def pass_at_k(n: ArrayLike, c: ArrayLike, k: int) -> Any:
    """Unbiased chance that at least one of `k` samples is right (Chen et al. 2021, arXiv 2107.03374, eq. 1).

    `1 - C(n - c, k) / C(n, k)`, for one problem or elementwise for arrays.

    Args:
        n: samples drawn.
        c: right ones among them.
        k: samples allowed.

    Raises:
        ValueError: `k` is more than `n` or less than 1, or `c` lies outside `[0, n]`.
    """
    drawn, right = np.broadcast_arrays(np.asarray(n, int), np.asarray(c, int))
    if k < 1 or (drawn < k).any():
        raise ValueError(f"pass@{k} needs at least {max(k, 1)} samples of each problem")
    if (right < 0).any() or (right > drawn).any():
        raise ValueError("the number of right samples must lie between 0 and n")
    # C(n-c, k) / C(n, k) as a product over the k draws; a factor reaches 0 where fewer than k are wrong.
    draws = np.arange(k)
    wrong = np.maximum(drawn[..., None] - right[..., None] - draws, 0)
    result = 1.0 - (wrong / (drawn[..., None] - draws)).prod(-1)
    return float(result) if result.ndim == 0 else result


def _units(groups: Sequence[Any] | Array | None, keep: Array) -> Array:
    """`(N,)` numbers 0, 1, ... of the groups of the kept rows; each row its own where there are no groups."""
    if groups is None:
        return np.arange(int(keep.sum()))
    if len(groups) != keep.size:
        raise ValueError(f"{len(groups)} groups for {keep.size} rows")
    numbers: dict[Any, int] = {}
    kept_groups = [group for group, kept in zip(groups, keep, strict=True) if kept]
    return np.array([numbers.setdefault(group, len(numbers)) for group in kept_groups], dtype=int)


def _picks(size: int, n: int, rng: np.random.Generator) -> Any:
    """`(rows, size)` random indices, `n` rows in all, in chunks that fit memory."""
    step = max(1, CHUNK // size)
    for start in range(0, n, step):
        yield rng.integers(0, size, (min(step, n - start), size))


def _group_picks(units: Array, n: int, rng: np.random.Generator) -> Any:
    """`n` index arrays, each the rows of as many groups as there are, drawn with replacement."""
    order = np.argsort(units, kind="stable")
    members = np.split(order, np.bincount(units).cumsum()[:-1])
    for picks in _picks(len(members), n, rng):
        for pick in picks:
            yield np.concatenate([members[group] for group in pick]) if len(members) < units.size else order[pick]


def _resampled_means(sums: Array, counts: Array, n: int, rng: np.random.Generator) -> Array:
    """`(n,)` means of resampled groups, from each group's sum and size."""
    chunks = [sums[picks].sum(-1) / counts[picks].sum(-1) for picks in _picks(sums.size, n, rng)]
    return np.concatenate(chunks)


def _jackknife(rows: Array, units: Array, statistic: Statistic) -> Array:
    """The statistic with each group left out in turn."""
    if units.max() == 0:
        return np.zeros(1)
    return np.array([float(statistic(rows[units != unit], axis=-1)) for unit in range(units.max() + 1)])


def _bca_tails(tails: Array, draws: Array, estimate: float, left_out: Array) -> Array:
    """Tail probabilities corrected for bias and skewness (Efron 1987)."""
    normal = NormalDist()
    below = float(((draws < estimate).mean() + (draws <= estimate).mean()) / 2)
    deviation = left_out.mean() - left_out
    spread = float((deviation**2).sum())
    if not 0 < below < 1 or spread == 0:
        return tails
    bias = normal.inv_cdf(below)
    acceleration = float((deviation**3).sum()) / (6 * spread**1.5)
    shifted = [bias + normal.inv_cdf(float(tail)) for tail in tails]
    return np.array([normal.cdf(bias + shift / (1 - acceleration * shift)) for shift in shifted])


def _quantiles(draws: Array, tails: Array) -> tuple[float, float]:
    draws = draws[~np.isnan(draws)]
    if draws.size == 0:
        return math.nan, math.nan
    low, high = np.quantile(draws, tails)
    return float(low), float(high)


def _swap_test(net: Array) -> float:
    """Two-sided exact p-value of the sum of `net` where every sign is equally likely to be swapped."""
    steps = np.abs(net[net != 0])
    reach = int(steps.sum())
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for step in steps:
        moved = np.zeros_like(chances)
        moved[step:] = chances[:-step]
        moved[:-step] += chances[step:]
        chances = moved / 2
    distance = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chances[distance >= abs(int(net.sum()))].sum()))


def _student_quantile(level: float, degrees: int) -> float:
    """The t with `P(|T| <= t) = level`, by bisection on the angle atan(t / sqrt(degrees))."""
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        angle = (low + high) / 2
        low, high = (angle, high) if _student_inside(angle, degrees) < level else (low, angle)
    return math.tan(low) * math.sqrt(degrees)


def _student_inside(angle: float, degrees: int) -> float:
    """P(|T| <= t) for whole degrees of freedom (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4)."""
    cosine = math.cos(angle)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for order in range(2 + odd, degrees + 1, 2):
        total += term
        term *= (order - 1) / order * cosine**2
    inside = math.sin(angle) * total
    return 2 / math.pi * (angle + inside) if odd else inside
