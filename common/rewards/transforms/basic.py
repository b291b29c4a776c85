"""Rewards that change another reward's scale, or remember its scores."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput, nan_like, take_rows
from common.rewards.transforms import functional as transform_functional


class Transform(Reward):
    """A reward made of another one, whose name, columns, gradient and parts it has unless a subclass says else."""

    def __init__(self, inner: Reward, name: str | None = None) -> None:
        self.inner = inner
        self.name = inner.name if name is None else name
        self.needs = inner.needs
        self.differentiable = inner.differentiable
        self.part_names = inner.part_names


class ValueTransform(Transform):
    """A reward that changes the values of another one, row by row; parts, info and NaN pass through."""

    def score(self, **columns: Any) -> RewardOutput:
        """Score, then change the values; see `Reward.score`."""
        output = self.inner(**columns)
        return RewardOutput(self.change(output.values), output.parts, output.info)

    @abstractmethod
    def change(self, values: Tensor) -> Tensor:
        """The new values `(B,)`."""


def explained(inner: RewardOutput, own: Sequence[str]) -> dict[str, Sequence[str]]:
    """The inner info, its `reason` with a transform's own reasons behind it, row by row."""
    first = inner.info.get("reason", [""] * len(own))
    return {**inner.info, "reason": [said or added for said, added in zip(first, own, strict=True)]}


class Affine(ValueTransform):
    """`scale · r + shift`. Range: the image of the inner bounds; a negative `scale` turns the direction round.

    Under trl's group z-score a lone affine map changes nothing: it matters inside sums and products only.
    """

    def __init__(self, inner: Reward, scale: float = 1.0, shift: float = 0.0, name: str | None = None) -> None:
        super().__init__(inner, name)
        if not (math.isfinite(scale) and math.isfinite(shift)):
            raise RewardError(f"reward {self.name!r}: scale {scale} and shift {shift} must be finite")
        self.scale = scale
        self.shift = shift
        ends = sorted(end * scale + shift for end in inner.bounds)
        self.bounds = (ends[0], ends[1])

    def change(self, values: Tensor) -> Tensor:
        """See `functional.affine`."""
        return functional.affine(values, self.scale, self.shift)


class Center(Affine):
    r""":math:`r - c`. Range: the inner bounds, moved; higher is better where it was so before.

    The centring of PPR's ReNorm (arXiv 2509.25598; known from a review: step and outcome rewards each less 1/2). Do
    not expect it to stabilise anything: under a group z-score a constant is exactly nothing. It matters where rewards
    of steps are summed over episodes of different length, as in driving: there each mediocre step costs instead of
    paying.

    Args:
        inner: the reward.
        at: c; the middle of the inner bounds where not given.
        name: own name; the inner reward's by default.
    """

    def __init__(self, inner: Reward, at: float | None = None, name: str | None = None) -> None:
        self.at = sum(inner.bounds) / 2 if at is None else at
        super().__init__(inner, 1.0, -self.at, name)


class Above(ValueTransform):
    r""":math:`r \cdot 1[r > \epsilon]`: small values are noise and pay nothing.

    Range: the inner bounds from ε on, and 0. Higher is better where ε is 0 or more; NaN stays NaN. After ONI (arXiv
    2410.23022), which thresholds its normalised scores so. `Threshold` pays a plain 1 instead.

    Args:
        inner: the reward.
        threshold: ε.
        name: own name; the inner reward's by default.
    """

    def __init__(self, inner: Reward, threshold: float = 0.0, name: str | None = None) -> None:
        super().__init__(inner, name)
        if not math.isfinite(threshold):
            raise RewardError(f"reward {self.name!r}: a threshold of {threshold} is none")
        self.threshold = threshold
        low, high = inner.bounds
        self.bounds = (min(0.0, max(low, threshold)), max(0.0, high))

    def change(self, values: Tensor) -> Tensor:
        """See `transform_functional.above`."""
        return transform_functional.above(values, self.threshold)


class DeadBand(ValueTransform):
    r""":math:`a \pm \max(|r - a| - d, 0)`: what lies within d of a is a, and beyond it nothing jumps.

    Range: the inner bounds, as far as they reach beyond the band; higher is better where it was so before. Monotone;
    NaN stays NaN. Around one level; `GroupMinMax`, `GroupNormalize` and the history re-scalers have a `noise` of their
    own around a group's or the past's.

    Args:
        inner: the reward.
        band: d, the difference that means nothing: what the audit calls repeatability.
        at: a; the middle of the inner bounds where not given.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: the band is negative.
    """

    def __init__(self, inner: Reward, band: float, at: float | None = None, name: str | None = None) -> None:
        super().__init__(inner, name)
        if not 0 <= band < math.inf:
            raise RewardError(f"reward {self.name!r}: a band of {band} cannot be; give 0 or more")
        self.band = band
        self.at = sum(inner.bounds) / 2 if at is None else at
        ends = transform_functional.dead_band(torch.tensor(inner.bounds, dtype=torch.float64), band, self.at).tolist()
        self.bounds = (ends[0], ends[1])

    def change(self, values: Tensor) -> Tensor:
        """See `transform_functional.dead_band`."""
        return transform_functional.dead_band(values, self.band, self.at)


class Clip(ValueTransform):
    """`min(max(r, low), high)`. Range: the inner bounds, clipped. Higher is better where it was so before.

    Raises:
        RewardError: `low > high`.
    """

    def __init__(self, inner: Reward, low: float, high: float, name: str | None = None) -> None:
        super().__init__(inner, name)
        if not low <= high:
            raise RewardError(f"reward {self.name!r}: cannot clip to [{low}, {high}]")
        self.low = low
        self.high = high
        self.bounds = (min(max(inner.bounds[0], low), high), min(max(inner.bounds[1], low), high))

    def change(self, values: Tensor) -> Tensor:
        """Clip; NaN stays NaN."""
        return values.clamp(self.low, self.high)


class Rescale(ValueTransform):
    """`(r − low) / (high − low)`, clipped to [0, 1]: a frozen map that spreads a narrow band.

    `low` and `high` are percentiles of the scores of *mismatched* and *matched* pairs, measured once (`audit` reports
    them) and kept in the config. Without it a group z-score blows cosines of .860 to .863 up to full-size advantages.
    Range [0, 1].

    Raises:
        RewardError: `low` is not below `high`.
    """

    bounds = (0.0, 1.0)

    def __init__(self, inner: Reward, low: float, high: float, name: str | None = None) -> None:
        super().__init__(inner, name)
        if not low < high:
            raise RewardError(f"reward {self.name!r}: cannot rescale from [{low}, {high}]")
        self.low = low
        self.high = high

    def change(self, values: Tensor) -> Tensor:
        """See `functional.rescale`."""
        return functional.rescale(values, self.low, self.high)


class Cached(Reward):
    """Remembers what a dear reward said about a row; equal rows of one batch are scored once.

    Bounds, parts and info are the inner reward's. A NaN is never kept: the grader may work the next time. Only for
    rewards that score each row by itself, from columns of texts or numbers; the inner reward sees the columns it
    `needs` and no others, because only those are looked up. Pickles without its memory.

    Args:
        inner: the reward.
        size: rows remembered, the least recently used dropped first.
        name: own name; the inner reward's by default.
    """

    def __init__(self, inner: Reward, size: int = 16384, name: str | None = None) -> None:
        if size < 1:
            raise RewardError(f"a cache of {size} rows is none")
        if inner.differentiable:
            raise RewardError(f"reward {inner.name!r} is differentiable; remembered scores have no gradient")
        if "group" in inner.needs:
            raise RewardError(f"reward {inner.name!r} scores groups, so that a row's score cannot be remembered")
        self.inner = inner
        self.size = size
        self.name = inner.name if name is None else name
        self.needs = inner.needs
        self.bounds = inner.bounds
        self.part_names = inner.part_names
        self._memory: OrderedDict[tuple[Hashable, ...], tuple[float, dict[str, float], dict[str, str]]] = OrderedDict()
        self._part_names: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memory": OrderedDict()}

    def score(self, **columns: Any) -> RewardOutput:
        """Look each row up, and score the new ones; see `Reward.score`."""
        size = self.batch_size(columns)
        keys = [
            (self.inner.fingerprint, *(_plain(self.name, one, columns[one], row) for one in self.needs))
            for row in range(size)
        ]
        known = {key: self._memory[key] for key in keys if key in self._memory}
        first = {key: row for row, key in reversed(list(enumerate(keys))) if key not in known}
        rows = sorted(first.values())
        if rows or not size:
            output = self.inner(**take_rows({one: columns[one] for one in self.needs}, rows, size))
            self._part_names = tuple(output.parts)
            for at, row in enumerate(rows):
                known[keys[row]] = (
                    float(output.values[at]),
                    {name: float(part[at]) for name, part in output.parts.items()},
                    {name: texts[at] for name, texts in output.info.items()},
                )
        self._remember(known)
        entries = [known[key] for key in keys]
        values = torch.tensor([value for value, _, _ in entries], dtype=torch.float32)
        parts = {name: torch.tensor([found[name] for _, found, _ in entries]) for name in self._part_names}
        names = dict.fromkeys(name for _, _, texts in entries for name in texts)
        info = {name: [texts.get(name, "") for _, _, texts in entries] for name in names}
        return RewardOutput(values if size else nan_like(0), parts, info)

    def _remember(self, known: dict[tuple[Hashable, ...], tuple[float, dict[str, float], dict[str, str]]]) -> None:
        for key, entry in known.items():
            if not math.isnan(entry[0]):
                self._memory[key] = entry
                self._memory.move_to_end(key)
        while len(self._memory) > self.size:
            self._memory.popitem(last=False)


def _plain(reward: str, column: str, values: Any, row: int) -> Hashable:
    """A row's entry as something to look it up by."""
    if isinstance(values, (int, float)):
        return values
    value = values[row]
    if isinstance(value, Tensor) and value.ndim == 0:
        return float(value)
    if isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, Hashable) or isinstance(value, Tensor):
        raise RewardError(f"reward {reward!r} cannot be cached: column {column!r} holds a {type(value).__name__}")
    return value
