"""What was measured of a set of scenes: every figure with its n and interval, or the reason why it is absent."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from common.errors import DataError
from common.stats import Interval, PairedTest, bootstrap, mcnemar, mean_interval_over_seeds, wilson

#: Fewer prompts than this are too few for a bootstrap.
FEW = 20
#: Swaps that are tried where there are too many to try all.
SWAPS = 10_000


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: `FAMILY.MEASURE`.
        value: the mean over scenes with its 95 % interval over prompts; None where it could not be taken.
        reason: why it could not.
        each: `(N,)` value of each scene, NaN where it has none.
        note: what a reader should know.
        lost: scenes whose value was lost by a grader's failure: no score of theirs.
        wanted: it was asked for, so that its absence is a failure.
    """

    name: str
    value: Interval | None = None
    reason: str = ""
    each: Sequence[float] = ()
    note: str = ""
    lost: int = 0
    wanted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        return {
            "value": None if self.value is None else self.value.to_dict(),
            "reason": self.reason,
            "each": [None if math.isnan(value) else value for value in self.each],
            "note": self.note,
            "lost": self.lost,
            "wanted": self.wanted,
        }


@dataclass
class Measurement:
    """All figures of one set of scenes.

    Attributes:
        name: of the set.
        ids: `(N,)` of the scenes, in the order of `Figure.each`.
        prompts: `(N,)`.
        figures: in the order shown.
        alarms: what nobody should overlook.
        settings: what was measured with.
    """

    name: str
    ids: Sequence[str]
    prompts: Sequence[str]
    figures: list[Figure] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether something that was asked for could not be taken."""
        return any(figure.wanted and figure.value is None for figure in self.figures)

    def figure(self, name: str) -> Figure | None:
        """One figure by its name."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `evaluation.json`."""
        return {
            "name": self.name,
            "settings": self.settings,
            "partial": self.partial,
            "alarms": list(self.alarms),
            "figures": {figure.name: figure.to_dict() for figure in self.figures},
            "items": [{"id": key, "prompt": text} for key, text in zip(self.ids, self.prompts, strict=True)],
        }


def absent(name: str, reason: str, wanted: bool = False) -> Figure:
    """A figure, or a family of figures, that was not taken, and why."""
    return Figure(name, reason=reason, wanted=wanted)


def figure_of(
    name: str, each: Sequence[float], prompts: Sequence[str], note: str = "", lost: int = 0, share: bool = False
) -> Figure:
    """A figure that is the mean of its scenes' values, NaN left out; its interval is over prompts.

    Args:
        name: of the figure.
        each: `(N,)`.
        prompts: `(N,)`; scenes of one prompt are no independent evidence.
        note: see `Figure`.
        lost: see `Figure`.
        share: values lie in [0, 1], and the interval's ends do.
    """
    if all(math.isnan(value) for value in each):
        reason = f"the grader failed on {lost} scenes" if lost else "no scene has a value"
        return Figure(name, None, reason, list(each), note, lost, wanted=lost > 0)
    return Figure(name, interval(each, prompts, share), "", list(each), note, lost)


def interval(values: Sequence[float], prompts: Sequence[str], share: bool = False) -> Interval:
    """Mean over scenes and 95 % interval over prompts.

    Wilson's where every prompt is wholly right or wrong, Student's over the prompts' means where there are fewer than
    `FEW` of them (a bootstrap of few is too narrow), else a bootstrap over prompts. One prompt alone says nothing of
    others: the ends are NaN.

    Args:
        values: `(N,)`; NaN is left out.
        prompts: `(N,)`.
        share: values lie in [0, 1], and the ends do.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for value, prompt in zip(values, prompts, strict=True):
        if not math.isnan(value):
            groups[prompt].append(value)
    known = [value for group in groups.values() for value in group]
    mean = sum(known) / len(known) if known else math.nan
    means = [sum(group) / len(group) for group in groups.values()]
    if len(groups) < 2:
        return Interval(mean, math.nan, math.nan, len(known))
    if share and all(one in (0.0, 1.0) for one in means):
        found = wilson(sum(one == 1.0 for one in means), len(means))
        return Interval(mean, min(found.low, mean), max(found.high, mean), len(known))
    if len(groups) >= FEW:
        return bootstrap(known, groups=[prompt for prompt, group in groups.items() for _ in group])
    found = mean_interval_over_seeds(means)
    low, high = found.low + mean - found.mean, found.high + mean - found.mean
    return Interval(mean, max(low, 0.0) if share else low, min(high, 1.0) if share else high, len(known))


def paired_tests(other: Measurement, measurement: Measurement) -> dict[str, PairedTest]:
    """This set against another one, on the prompts that both have; scenes of one prompt are averaged first.

    McNemar's test for right and wrong, else `swap_test`; the differences are this minus the other.

    Raises:
        DataError: they have no prompt in common.
    """
    shared = [prompt for prompt in dict.fromkeys(measurement.prompts) if prompt in set(other.prompts)]
    if not shared:
        raise DataError(
            f"{measurement.name} and {other.name} have no prompt in common; a paired test needs the same prompts"
        )
    tests: dict[str, PairedTest] = {}
    for figure in measurement.figures:
        before = other.figure(figure.name)
        if before is None or before.value is None or figure.value is None:
            continue
        means = [_by_prompt(before, other.prompts), _by_prompt(figure, measurement.prompts)]
        first, second = ([one.get(prompt, math.nan) for prompt in shared] for one in means)
        if all(math.isnan(a) or math.isnan(b) for a, b in zip(first, second, strict=True)):
            continue
        binary = all(math.isnan(value) or value in (0.0, 1.0) for value in (*first, *second))
        tests[figure.name] = _right_and_wrong(first, second) if binary else swap_test(first, second)
    return tests


def swap_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Whether the second is better on the same prompts; exact for few of them.

    Under "no difference" every prompt's two values may as well be swapped: p is the share of all swaps (of 10,000
    random ones from 14 prompts on) whose mean difference is at least as far from 0. Of three prompts it cannot be less
    than ¼, where a bootstrap would say 0.0005. The interval is that of `interval`.

    Args:
        first: `(N,)`; NaN in either leaves the pair out.
        second: `(N,)`.
    """
    pairs = np.array([(a, b) for a, b in zip(first, second, strict=True) if not (math.isnan(a) or math.isnan(b))])
    if not len(pairs):
        return PairedTest(Interval(math.nan, math.nan, math.nan, 0), math.nan, 0, 0)
    delta = pairs[:, 1] - pairs[:, 0]
    count = len(delta)
    if count < 14:
        signs = 1.0 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (SWAPS, count))
        signs[0] = 1.0  # as it is: p is never 0
    # The tolerance keeps rounding from deciding swaps that equal the observed difference.
    extreme = np.abs(signs @ delta) >= abs(delta.sum()) * (1 - 1e-12) - 1e-15
    difference = interval(delta.tolist(), [str(row) for row in range(count)])
    return PairedTest(difference, float(extreme.mean()), int((delta > 0).sum()), int((delta < 0).sum()))


def _right_and_wrong(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """McNemar's exact test with the interval of Agresti and Min (2005): half a pair added to each of the four cells.

    A bootstrap of few pairs that all differ alike would have no width.
    """
    found = mcnemar(first, second)
    count = found.difference.n
    if not count:
        return found
    gap, apart = found.n01 - found.n10, found.n01 + found.n10
    middle = gap / (count + 2)
    half = 1.96 * math.sqrt(max(0.0, apart + 1 - gap**2 / (count + 2))) / (count + 2)
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    mean = gap / count
    return replace(found, difference=Interval(mean, min(low, mean), max(high, mean), count))


def _by_prompt(figure: Figure, prompts: Sequence[str]) -> Mapping[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for value, prompt in zip(figure.each, prompts, strict=True):
        if not math.isnan(value):
            groups[prompt].append(value)
    return {prompt: sum(values) / len(values) for prompt, values in groups.items()}
