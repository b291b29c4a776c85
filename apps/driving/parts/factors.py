"""What a moment of driving is made of: numbers for LaRe's return decomposition, words for ONI's annotator.

LaRe (arXiv 2412.11120) has a language model write such functions and runs what it wrote; here they are written by
hand, and nothing that a model says is ever executed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from apps.driving.parts import functional
from apps.driving.parts.signals import ENDS, read

#: The factors, in order.
FACTORS = (
    "progress",
    "speed",
    "reverse",
    "excess",
    "centring",
    "alignment",
    "stability",
    "closeness",
    "steering",
    "off_route",
    "red_light",
    "collision",
    "failed",
    "success",
)
READS = (
    "progress_change",
    "speed",
    "heading",
    "offset",
    "offset_std",
    "speed_limit",
    "hazard",
    "steer_change",
    "off_route",
    "red_light",
    *ENDS,
)


def driving_factors(state: Mapping[str, Any]) -> Tensor:
    """`(B, len(FACTORS))` float32 of a `state` column, each in [−1, 1]; NaN where an entry is NaN.

    progress is a hundred times the step's share of the route, speed and excess are in units of 10 m/s, closeness is 1
    at a hazard and 0 from 20 m on.

    Raises:
        MissingColumn: an entry is not there.
    """
    rows = read("driving_factors", state, READS)
    speed = functional.along(rows["speed"], rows["heading"])
    failed = functional.failed(rows["terminated"], rows["success"], rows["collision"])
    columns = (
        (100 * rows["progress_change"]).clamp(-1, 1),
        (speed / 10).clamp(-1, 1),
        (rows["speed"] < -functional.ROLLING).double(),
        ((rows["speed"].abs() - rows["speed_limit"]) / 10).clamp(0, 1),
        functional.centring(rows["offset"], 3.0),
        functional.alignment(rows["heading"]),
        functional.stability(rows["offset_std"]),
        (1 - rows["hazard"] / 20).clamp(0, 1),
        rows["steer_change"].abs().clamp(max=1),
        (rows["off_route"] > 0).double(),
        (rows["red_light"] > 0).double(),
        (rows["collision"] > 0).double(),
        failed.double(),
        (rows["success"] > 0).double(),
    )
    lost = torch.stack([rows[name].isnan() for name in READS]).any(0)
    return torch.where(lost[:, None], torch.nan, torch.stack(columns, 1)).float()


def events(state: Mapping[str, Any]) -> list[str]:
    """One sentence a row that says what happens, from a vocabulary of some hundred; equal moments, equal words.

    A row in which an entry is NaN is an empty text, which nobody is asked about.

    Raises:
        MissingColumn: an entry is not there.
    """
    rows = read("events", state, READS)
    lost = torch.stack([rows[name].isnan() for name in READS]).any(0).tolist()
    plain = {name: entry.tolist() for name, entry in rows.items()}
    return ["" if lost[row] else _event({name: one[row] for name, one in plain.items()}) for row in range(len(lost))]


def _event(row: Mapping[str, float]) -> str:
    if row["collision"] > 0:
        return "the car collides"
    if row["success"] > 0:
        return "the car arrives"
    speed, limit = row["speed"], row["speed_limit"]
    pace = _step(speed, ((-functional.ROLLING, "drives backwards"), (0.5, "stands"), (3.0, "crawls")), "drives")
    if speed > limit:
        pace = "drives too fast"
    turned = abs(math.remainder(row["heading"], 2 * math.pi))
    where = _step(abs(row["offset"]), ((0.5, "in its lane"), (1.5, "at the edge of its lane")), "beside its lane")
    way = _step(turned, ((math.pi / 6, "along the route"), (math.pi / 2, "at an angle")), "the wrong way")
    ahead = _step(row["hazard"], ((5.0, "close to an obstacle"), (15.0, "behind an obstacle")), "on a free road")
    light = ", over a red light" if row["red_light"] > 0 else ""
    route = ", off the route" if row["off_route"] > 0 else ""
    return f"the car {pace} {where}, {way}, {ahead}{light}{route}"


def _step(value: float, steps: Sequence[tuple[float, str]], beyond: str) -> str:
    """The word of the first bound that a value is below."""
    return next((word for bound, word in steps if value < bound), beyond)
