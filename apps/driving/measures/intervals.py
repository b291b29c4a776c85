"""Intervals of episodes: routes are resampled whole, because episodes on one route are no independent evidence."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np

from common.stats import Interval, bootstrap

RESAMPLES = 2000
LEVEL = 0.95


def mean(values: Sequence[float], routes: Sequence[Hashable]) -> Interval:
    """The mean of episodes' values, NaN left out, with a bootstrap interval over routes.

    With a single route there is nothing to resample: the ends are NaN.
    """
    kept = [(value, route) for value, route in zip(values, routes, strict=True) if not math.isnan(value)]
    data, groups = [value for value, _ in kept], [route for _, route in kept]
    found = bootstrap(data, n=RESAMPLES, level=LEVEL, groups=groups)
    return _endless(found) if len(set(groups)) < 2 else found


def total(values: Sequence[float], routes: Sequence[Hashable]) -> Interval:
    """The sum of episodes' values, with the interval of their mean times their number; no value sums to 0."""
    found, count = mean(values, routes), len(values)
    if not count:
        return Interval(0.0, math.nan, math.nan, 0, LEVEL)
    return Interval(found.mean * count, found.low * count, found.high * count, found.n, LEVEL)


def rate(flags: Sequence[bool], routes: Sequence[Hashable]) -> Interval:
    """A share of episodes with Wilson's interval at the effective number of episodes.

    Several episodes on one route say less than as many on different ones. Their number is divided by the design effect
    1 + (m - 1) rho, m the episodes of a route and rho the intraclass correlation (Kish 1965; ANOVA estimate of
    Donner 1986, clipped to [0, 1]). Where all episodes end alike rho cannot be estimated; 1 is the careful choice, so
    that a route counts once. With one episode a route this is Wilson's interval itself.
    """
    count = len(flags)
    if not count:
        return Interval(math.nan, 0.0, 1.0, 0, LEVEL)
    share = sum(map(bool, flags)) / count
    effective = effective_number(flags, routes)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = (share + z * z / (2 * effective)) / (1 + z * z / effective)
    spread = math.sqrt(share * (1 - share) / effective + z * z / (4 * effective**2))
    half = z / (1 + z * z / effective) * spread
    low = 0.0 if share == 0.0 else max(0.0, centre - half)
    high = 1.0 if share == 1.0 else min(1.0, centre + half)
    return Interval(share, low, high, count, LEVEL)


def effective_number(flags: Sequence[bool], routes: Sequence[Hashable]) -> float:
    """How many independent episodes they are worth: between the number of routes and that of episodes."""
    by_route: dict[Hashable, list[float]] = {}
    for flag, route in zip(flags, routes, strict=True):
        by_route.setdefault(route, []).append(float(flag))
    count, groups = len(flags), len(by_route)
    if groups == count:
        return float(count)
    sizes = np.array([len(one) for one in by_route.values()], float)
    shares = np.array([sum(one) / len(one) for one in by_route.values()])
    typical = float((sizes**2).sum() / count)
    share = float((sizes * shares).sum() / count)
    correlation = 1.0
    if groups > 1 and 0.0 < share < 1.0:
        between = float((sizes * (shares - share) ** 2).sum()) / (groups - 1)
        within = float((sizes * shares * (1 - shares)).sum()) / (count - groups)
        size = (count - typical) / (groups - 1)
        correlation = min(max((between - within) / (between + (size - 1) * within), 0.0), 1.0)
    return count / (1 + (typical - 1) * correlation)


def ratio(counts: Sequence[float], exposures: Sequence[float], routes: Sequence[Hashable]) -> Interval:
    """Events by exposure, sum over sum, with a bootstrap interval over routes.

    Without exposure it is NaN, never a division error. Without an event the bootstrap has no width; then the upper end
    is the exact Poisson bound -ln(0.025) / exposure (Garwood 1936), where each route counts with the mean exposure of
    its episodes, once, as in `rate`: the same drive with another seed is no new evidence. `n` counts episodes.
    """
    exposure, number = float(sum(exposures)), len(counts)
    if not exposure > 0.0:
        return Interval(math.nan, math.nan, math.nan, number, LEVEL)
    estimate = float(sum(counts)) / exposure
    numbers: dict[Hashable, int] = {}
    units = [numbers.setdefault(route, len(numbers)) for route in routes]
    if not estimate:
        once = float((np.bincount(units, exposures) / np.bincount(units)).sum())
        return Interval(0.0, 0.0, -math.log((1 - LEVEL) / 2) / once, number, LEVEL)
    if len(numbers) < 2:
        return Interval(estimate, math.nan, math.nan, number, LEVEL)
    above, below = np.bincount(units, counts), np.bincount(units, exposures)
    picks = np.random.default_rng(0).integers(0, len(numbers), (RESAMPLES, len(numbers)))
    above, below = above[picks].sum(1), below[picks].sum(1)
    draws = above[below > 0.0] / below[below > 0.0]
    low, high = (float(end) for end in np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Interval(estimate, low, high, number, LEVEL)


def inverse(interval: Interval) -> Interval:
    """Exposure by event from events by exposure. Without an event the mean and the upper end are NaN, not infinite."""
    if not interval.mean > 0.0:
        low = 1 / interval.high if interval.high > 0.0 else math.nan
        return Interval(math.nan, low, math.nan, interval.n, interval.level)
    high = 1 / interval.low if interval.low > 0.0 else math.nan
    return Interval(1 / interval.mean, 1 / interval.high, high, interval.n, interval.level)


def _endless(interval: Interval) -> Interval:
    return Interval(interval.mean, math.nan, math.nan, interval.n, interval.level)
