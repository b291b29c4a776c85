"""Rows of the `state` column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

TOP = 25 / 3.6
#: A car that keeps its lane at the target speed on a free road.
GOOD: dict[str, float] = {
    "speed": TOP,
    "offset": 0.0,
    "heading": 0.0,
    "offset_std": 0.0,
    "steer": 0.0,
    "steer_change": 0.0,
    "throttle": 0.3,
    "brake": 0.0,
    "acceleration": 0.0,
    "progress": 0.5,
    "progress_change": 0.004,
    "distance": 0.7,
    "lane_width": 3.5,
    "speed_limit": 8.0,
    "off_route": 0.0,
    "collision": 0.0,
    "collision_speed": 0.0,
    "red_light": 0.0,
    "success": 0.0,
    "terminated": 0.0,
    "truncated": 0.0,
    "hazard": 1000.0,
    "time": 5.0,
    "step": 50.0,
}


def state(**changes: float | Sequence[float]) -> dict[str, Tensor]:
    """Good driving with some entries changed; lists make that many rows."""
    rows = max((len(one) for one in changes.values() if not isinstance(one, (int, float))), default=1)
    whole: dict[str, Any] = {**GOOD, **changes}
    return {
        name: torch.full((rows,), float(one)) if isinstance(one, (int, float)) else torch.tensor(list(one)).float()
        for name, one in whole.items()
    }


def random_states(rows: int, seed: int = 0) -> dict[str, Tensor]:
    """All sorts of moments, bad ones among them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(rows, generator=generator)

    found = state(speed=[0.0] * rows)
    found |= {
        "speed": draw(-3, 12),
        "offset": draw(-3, 3),
        "heading": draw(-3.1, 3.1),
        "offset_std": draw(0, 0.6),
        "steer": draw(-1, 1),
        "steer_change": draw(-0.3, 0.3),
        "progress": draw(0.1, 1),
        "progress_change": draw(0, 0.02),
        "distance": draw(0, 1),
        "hazard": draw(0, 40),
        "step": torch.arange(1.0, rows + 1),
    }
    for name in ("collision", "terminated", "success", "red_light", "off_route"):
        found[name] = (draw(0, 1) > 0.8).float()
    found["success"] *= found["terminated"] * (1 - found["collision"])
    return found
