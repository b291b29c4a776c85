"""What one metric found, with its interval, or the reason why it could not be taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from common.stats import CHUNK, Interval, bootstrap

#: Resamples of the intervals.
RESAMPLES = 1000


@dataclass(frozen=True)
class MetricResult:
    """One figure.

    Attributes:
        name: of the metric.
        value: the estimate with its 95 % interval over pictures; None where it could not be taken.
        reason: why it could not.
        seconds: what it took, shared by the metrics that are taken together.
        each: `(N,)` value of each picture, in the order of ids; empty where there is none.
        sums: `(N, K)` what is summed over pictures before the figure is taken: METEOR's, and with BLEU-1 those of all
            BLEUs; empty elsewhere.
        note: what a reader should know: a warning, a default.
    """

    name: str
    value: Interval | None = None
    reason: str = ""
    seconds: float = 0.0
    each: Sequence[float] = ()
    sums: Sequence[Sequence[float]] = ()
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        interval = self.value.to_dict() if self.value is not None else None
        return {
            "value": None if interval is None else interval["mean"],
            "interval": interval,
            "reason": self.reason,
            "note": self.note,
            "seconds": round(self.seconds, 3),
            "each": [None if math.isnan(value) else value for value in self.each],
            "sums": [list(row) for row in self.sums],
        }

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> MetricResult:
        """What `to_dict` wrote."""
        interval = None if values["interval"] is None else Interval.from_dict(values["interval"])
        each = [_or_nan(value) for value in values["each"]]
        return cls(name, interval, values["reason"], values["seconds"], each, values["sums"], values["note"])


@dataclass
class Measurement:
    """All metrics of one set of captions.

    Attributes:
        results: by name, in the order asked for.
        ids: `(N,)` of the pictures, in the order of `each` and `sums`.
        captions: `(N,)`.
        missing: pictures without a prediction, left out.
        extra: predictions without references, left out.
        settings: what was measured and how.
    """

    results: dict[str, MetricResult]
    ids: Sequence[str | int]
    captions: Sequence[str]
    missing: Sequence[str | int] = ()
    extra: Sequence[str | int] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether a metric that was asked for could not be taken."""
        return any(result.value is None for result in self.results.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `evaluation.json`."""
        return {
            "settings": self.settings,
            "partial": self.partial,
            "metrics": {name: result.to_dict() for name, result in self.results.items()},
            "missing": list(self.missing),
            "extra": list(self.extra),
            "items": [{"id": key, "caption": text} for key, text in zip(self.ids, self.captions, strict=True)],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measurement:
        """What `to_dict` wrote; raises KeyError or TypeError for anything else."""
        return cls(
            {name: MetricResult.from_dict(name, found) for name, found in values["metrics"].items()},
            [row["id"] for row in values["items"]],
            [row["caption"] for row in values["items"]],
            values["missing"],
            values["extra"],
            dict(values["settings"]),
        )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def mean_of(name: str, each: Sequence[float], note: str = "") -> MetricResult:
    """A metric that is the mean of its pictures' values; NaN is left out."""
    return MetricResult(name, bootstrap(list(each), n=RESAMPLES), each=list(each), note=note)


def bootstrap_sums(
    sums: ArrayLike, statistic: Callable[[Any], Any], n: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile interval, over pictures, of a figure that is taken from sums: corpus BLEU, METEOR.

    Args:
        sums: `(N, K)` one row a picture.
        statistic: from `(..., K)` sums to `(...,)` figures.
        n: resamples.
        seed: same seed, same interval.
        level: confidence level.
    """
    data = np.asarray(sums, float)
    rng = np.random.default_rng(seed)
    size = len(data)
    step = max(1, CHUNK // size)
    draws = np.concatenate(
        [data[rng.integers(0, size, (min(step, n - start), size))].sum(1) for start in range(0, n, step)]
    )
    low, high = np.quantile(statistic(draws), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(data.sum(0))), float(low), float(high), size, level)
