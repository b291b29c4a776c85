"""Weights and ranges that change during a run, as pure functions of the step: whoever resumes needs no state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from common.errors import UsageError

#: How a value goes from one point to the next.
KINDS = ("linear", "cosine", "step")


@dataclass(frozen=True)
class Schedule:
    """A value that depends on the step alone.

    Attributes:
        points: `(step, value)`, steps rising. Before the first and after the last the value stands still; a single
            point is a constant.
        kind: between two points "linear"; "cosine", half a wave without a corner at either end; or "step", which holds
            each value until the next point. All but "step" are continuous.
    """

    points: tuple[tuple[float, float], ...]
    kind: str = "linear"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"a schedule of kind {self.kind!r}; use {', '.join(KINDS)}")
        if not self.points or not all(math.isfinite(number) for point in self.points for number in point):
            raise UsageError(f"a schedule needs points of finite steps and values; these are {self.points}")
        if any(later[0] <= earlier[0] for earlier, later in pairwise(self.points)):
            raise UsageError(f"the steps of a schedule must rise; these are {[step for step, _ in self.points]}")

    def __call__(self, step: float) -> float:
        """The value at a step."""
        if step <= self.points[0][0]:
            return self.points[0][1]
        for (begin, start), (end, final) in pairwise(self.points):
            if step < end:
                share = (step - begin) / (end - begin)
                if self.kind == "step":
                    return start
                if self.kind == "cosine":
                    share = 0.5 - 0.5 * math.cos(math.pi * share)
                return start + (final - start) * share
        return self.points[-1][1]

    @property
    def bounds(self) -> tuple[float, float]:
        """Its least and its greatest value."""
        values = [value for _, value in self.points]
        return min(values), max(values)


def constant(value: float) -> Schedule:
    """The same value at every step."""
    return Schedule(((0.0, value),))


def read_schedule(value: Any, name: str = "schedule") -> Schedule:
    """A schedule from a config.

    Args:
        value: a `Schedule`; a number, which is constant; `[start step, start value, end value, end step]`, linear, as
            threestudio writes it (`[0, 300., 1., 10000]`), with further pairs of value and step behind for a piecewise
            one; or `{kind: cosine, points: [[0, 300.], [10000, 1.]]}`.
        name: of the option, for messages.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(value, Schedule):
        return value
    try:
        if _is_number(value):
            return constant(float(value))
        if isinstance(value, Mapping):
            if unknown := sorted(set(value) - {"kind", "points"}):
                raise UsageError(f"a schedule has kind and points, not {unknown[0]!r}")
            return Schedule(tuple(_pair(point) for point in value.get("points", ())), value.get("kind", "linear"))
        if isinstance(value, Sequence) and len(value) >= 4 and len(value) % 2 == 0 and all(map(_is_number, value)):
            begin, start, *rest = map(float, value)
            return Schedule(
                ((begin, start), *((end, final) for final, end in zip(rest[::2], rest[1::2], strict=True)))
            )
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    raise UsageError(
        f"{name}: {value!r} is no schedule; write a number, [start step, start value, end value, end step, …], or "
        "{kind: cosine, points: [[step, value], …]}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _pair(point: Any) -> tuple[float, float]:
    if not isinstance(point, Sequence) or len(point) != 2 or not all(map(_is_number, point)):
        raise UsageError(f"a point of a schedule is [step, value]; this is {point!r}")
    return float(point[0]), float(point[1])
