"""Two drivers on the same routes, traffic and seeds, figure by figure: difference, interval, p-value."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apps.driving.measures import intervals
from apps.driving.measures.episodes import Case, Episode, driven, one_backend
from apps.driving.measures.figures import OURS, Measure
from common.errors import DataError, UsageError
from common.stats import Interval, PairedTest, mcnemar, paired_bootstrap

#: Two lengths of one route that differ by more than this many metres are those of two routes.
SAME_LENGTH = 0.05


@dataclass(frozen=True)
class Comparison:
    """The second driver against the first.

    Attributes:
        first: its name.
        second: its name.
        backend: simulator that both were driven in.
        pairs: cases that both drove.
        routes: that these lie on.
        alone: cases that one of them did not drive, or that the simulator broke off; they are left out.
        tests: by measure; the difference is second - first. Figures that are the same thing in another unit are not
            repeated.
    """

    first: str
    second: str
    backend: str
    pairs: int
    routes: int
    alone: int
    tests: dict[str, PairedTest]


#: Sums have no fair difference where episodes are left out, and the time between collisions is CPS turned over.
COMPARED: tuple[Measure, ...] = tuple(one for one in OURS if one.kind not in ("total", "interval"))


def compare(first: Sequence[Episode], second: Sequence[Episode]) -> Comparison:
    """Paired tests, resampled by route: means by paired bootstrap, rates by McNemar's test, ratios of sums as such.

    Of a single route the difference alone is told: a bootstrap would have no width, and the least p that there is.

    Raises:
        UsageError: the simulators differ.
        DataError: they have no case in common, one drove a case twice, or a route of one name is two routes.
    """
    backend = one_backend([*first, *second])
    before, after = _by_case(first), _by_case(second)
    cases = [case for case in before if case in after]
    if not cases:
        raise DataError(
            "the two evaluations have no episode in common: a paired test needs the same towns, routes, traffic and "
            f"seeds (for instance {_example(before)} and {_example(after)})"
        )
    for case in cases:
        if abs(before[case].route_length - after[case].route_length) > SAME_LENGTH:
            raise DataError(
                f"route {case.route!r} is {before[case].route_length:.1f} m long in one evaluation and "
                f"{after[case].route_length:.1f} m in the other; evaluate both drivers on one version of {case.town!r}"
            )
    ours, theirs = [before[case] for case in cases], [after[case] for case in cases]
    return Comparison(
        first=_name(first),
        second=_name(second),
        backend=backend,
        pairs=len(cases),
        routes=len({one.road for one in ours}),
        alone=len({one.case for one in (*first, *second)}) - len(cases),
        tests={measure.name: _test(measure, ours, theirs) for measure in COMPARED},
    )


def _test(measure: Measure, first: Sequence[Episode], second: Sequence[Episode]) -> PairedTest:
    roads = [one.road for one in first]
    before, after = [measure.value(one) for one in first], [measure.value(one) for one in second]
    if measure.kind == "mean":
        found = paired_bootstrap(before, after, n=intervals.RESAMPLES, groups=roads)
    elif measure.kind == "rate":
        found = mcnemar(before, after, n=intervals.RESAMPLES, groups=roads)
    elif measure.per is None:
        raise ValueError(f"measure {measure.name!r} is a ratio and says nothing of what it is by")
    else:
        below = [measure.per(one) for one in first], [measure.per(one) for one in second]
        found = _of_ratios((before, below[0]), (after, below[1]), roads)
    pairs = zip(before, after, roads, strict=True)
    if len({road for a, b, road in pairs if not (math.isnan(a) or math.isnan(b))}) > 1:
        return found
    return replace(found, difference=replace(found.difference, low=math.nan, high=math.nan), p=math.nan)


def _of_ratios(
    first: tuple[Sequence[float], Sequence[float]],
    second: tuple[Sequence[float], Sequence[float]],
    roads: Sequence[Hashable],
) -> PairedTest:
    """The paired bootstrap of `common.stats.paired_bootstrap`, for sum over sum, over whole routes."""
    numbers: dict[Hashable, int] = {}
    units = np.array([numbers.setdefault(road, len(numbers)) for road in roads])
    sums = np.stack([np.bincount(units, column) for column in (*first, *second)])
    observed = float(_difference(sums[:, None].sum(-1))[0])
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(numbers), (intervals.RESAMPLES, len(numbers)))
    draws = _difference(sums[:, picks].sum(-1))
    draws = draws[~np.isnan(draws)]
    each = _difference(np.asarray((*first, *second), float))
    better, worse = int((each > 0).sum()), int((each < 0).sum())
    if np.isnan(observed) or not draws.size:
        return PairedTest(Interval(observed, np.nan, np.nan, len(units)), float("nan"), better, worse)
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
    extreme = int((np.abs(draws - observed) >= abs(observed) * (1 - 1e-12)).sum())
    return PairedTest(Interval(observed, low, high, len(units)), (extreme + 1) / (draws.size + 1), better, worse)


def _difference(sums: np.ndarray) -> np.ndarray:
    """`(4, N)` counts and exposures of the first, then of the second -> `(N,)` second ratio - first ratio, or NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.where((sums[1] > 0) & (sums[3] > 0), sums[2] / sums[3] - sums[0] / sums[1], np.nan)
    return found


def _by_case(episodes: Sequence[Episode]) -> dict[Case, Episode]:
    found: dict[Case, Episode] = {}
    for episode in driven(episodes):
        if episode.case in found:
            raise DataError(f"{episode.policy!r} drove one case twice: {episode.case.text}")
        found[episode.case] = episode
    return found


def _name(episodes: Sequence[Episode]) -> str:
    names = sorted({episode.policy for episode in episodes})
    if len(names) > 1:
        raise UsageError(f"a paired test is of one driver against one other; these are {', '.join(names)}")
    return names[0]


def _example(episodes: dict[Case, Episode]) -> str:
    return next((case.text for case in episodes), "none")
