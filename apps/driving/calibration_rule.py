"""How thresholds are chosen from gaps of cosines and known danger, and the curve that shows what they say.

Arrays of N pictures in, plain numbers out; no model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import UsageError
from common.stats import Interval, bootstrap, wilson

Floats = NDArray[np.float64]

RULE = (
    "of all pairs of the 21 quantiles 0 %, 5 % … 100 % of z that lie at least `narrowest` apart, the one whose ramp "
    "(z - low) / (high - low), clipped to [0, 1], has the least mean squared error to the known danger, with danger "
    "and safety weighing the same (balanced Brier score)"
)
#: Thresholds this near would turn the rounding of another batch size (5e-8 of a cosine) into more than 1e-5 of c.
NARROWEST = 0.005


@dataclass(frozen=True)
class Bin:
    """One point of the calibration curve.

    Attributes:
        z: mean gap of the bin's pictures.
        said: mean of 1 − c, what the thresholds make of it.
        danger: mean known danger, with its interval.
    """

    z: float
    said: float
    danger: Interval


def ramp(z: Floats, low: float, high: float) -> Floats:
    """1 − c: 0 at `low`, 1 at `high`, clipped between."""
    return np.clip((z - low) / (high - low), 0.0, 1.0)


def choose(z: Floats, danger: Floats, narrowest: float = NARROWEST) -> tuple[float, float]:
    """The thresholds by `RULE`.

    Raises:
        UsageError: no two quantiles lie `narrowest` apart.
    """
    ends = np.unique(np.quantile(z, np.linspace(0, 1, 21)))
    pairs = [(low, high) for low in ends for high in ends if high - low >= narrowest]
    if not pairs:
        raise UsageError(
            f"z varies by {float(ends[-1] - ends[0]):.2g} only, less than {narrowest:g}: this CLIP sees no difference "
            "in these pictures; take other goals, or another CLIP"
        )
    low, high = min(pairs, key=lambda pair: brier(ramp(z, *pair), danger))
    return float(low), float(high)


def success_cosine(likeness: Floats, danger: Floats) -> float:
    """The threshold on the cosine that tells safe from dangerous best, by Youden's J; midway between two pictures."""
    values = np.unique(likeness)
    if values.size < 2:
        return float(values[0]) - 1e-6
    middles = (values[1:] + values[:-1]) / 2
    if middles.size > 500:
        middles = np.quantile(middles, np.linspace(0, 1, 500))
    safe, unsafe = np.sort(likeness[danger < 0.5]), np.sort(likeness[danger >= 0.5])
    hits = 1 - np.searchsorted(safe, middles, "right") / max(safe.size, 1)
    alarms = 1 - np.searchsorted(unsafe, middles, "right") / max(unsafe.size, 1)
    return float(middles[int(np.argmax(hits - alarms))])


def curve(
    z: Floats, said: Floats, danger: Floats, groups: ArrayLike | None = None, seed: int = 0, bins: int = 8
) -> tuple[Bin, ...]:
    """Known danger in bins of equally many pictures, by z.

    The interval is Wilson's where danger is 0 or 1 and every picture stands for itself, else a bootstrap over groups.
    """
    units = None if groups is None else np.asarray(groups)
    found = []
    for rows in np.array_split(np.argsort(z, kind="stable"), min(bins, z.size)):
        values = danger[rows]
        if units is None and np.isin(values, (0.0, 1.0)).all():
            interval = wilson(int(values.sum()), int(values.size))
        else:
            interval = bootstrap(values, seed=seed, groups=None if units is None else units[rows])
        found.append(Bin(float(z[rows].mean()), float(said[rows].mean()), interval))
    return tuple(found)


def brier(said: Floats, danger: Floats) -> float:
    """Mean squared error with danger and safety weighing the same."""
    errors = (said - danger) ** 2
    unsafe, safe = float(danger.sum()), float((1 - danger).sum())
    parts = [
        float((weight * errors).sum()) / total for weight, total in ((danger, unsafe), (1 - danger, safe)) if total
    ]
    return sum(parts) / len(parts)
