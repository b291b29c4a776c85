"""What was measured of a set of scenes: every figure with its n and interval, or the reason why it is absent."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import DataError
from common.stats import Interval, PairedTest, bootstrap, mcnemar, paired_bootstrap, wilson


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


def figure_of(name: str, each: Sequence[float], prompts: Sequence[str], note: str = "", lost: int = 0) -> Figure:
    """A figure that is the mean of its scenes' values, NaN left out; its interval is over prompts.

    Args:
        name: of the figure.
        each: `(N,)`.
        prompts: `(N,)`; scenes of one prompt are no independent evidence.
        note: see `Figure`.
        lost: see `Figure`.
    """
    if all(math.isnan(value) for value in each):
        reason = f"the grader failed on {lost} scenes" if lost else "no scene has a value"
        return Figure(name, None, reason, list(each), note, lost, wanted=lost > 0)
    return Figure(name, interval(each, prompts), "", list(each), note, lost)


def interval(values: Sequence[float], prompts: Sequence[str]) -> Interval:
    """Mean and 95 % interval: Wilson's for right and wrong of different prompts, else a bootstrap over prompts.

    One prompt alone says nothing of others: the ends are NaN.
    """
    known = [(value, prompt) for value, prompt in zip(values, prompts, strict=True) if not math.isnan(value)]
    texts = {prompt for _, prompt in known}
    if len(texts) < 2:
        mean = sum(value for value, _ in known) / len(known) if known else math.nan
        return Interval(mean, math.nan, math.nan, len(known))
    if len(texts) == len(known) and all(value in (0.0, 1.0) for value, _ in known):
        return wilson(sum(value == 1.0 for value, _ in known), len(known))
    return bootstrap([value for value, _ in known], groups=[prompt for _, prompt in known])


def paired_tests(other: Measurement, measurement: Measurement) -> dict[str, PairedTest]:
    """This set against another one, on the prompts that both have; scenes of one prompt are averaged first.

    McNemar's test for right and wrong, else a paired bootstrap over prompts; the differences are this minus the other.

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
        tests[figure.name] = mcnemar(first, second) if binary else paired_bootstrap(first, second)
    return tests


def _by_prompt(figure: Figure, prompts: Sequence[str]) -> Mapping[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for value, prompt in zip(figure.each, prompts, strict=True):
        if not math.isnan(value):
            groups[prompt].append(value)
    return {prompt: sum(values) / len(values) for prompt, values in groups.items()}
