"""The space that observations lie in."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from apps.driving.env_config import ObservationConfig
from apps.driving.observation.measures import MEASURES, NEIGHBOUR


def space(config: ObservationConfig, bev: tuple[int, int, int] | None) -> spaces.Dict:
    """See `apps.driving.environment.env.DrivingEnv`; `bev` is the shape of its view, where there is one."""

    def numbers(*shape: int) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, shape, np.float32)

    found: dict[str, spaces.Space[Any]] = {
        "measures": numbers(len(MEASURES)),
        "waypoints": numbers(config.waypoints, 2),
    }
    if config.neighbours:
        found["neighbours"] = numbers(config.neighbours, len(NEIGHBOUR))
    if bev is not None:
        found["bev"] = spaces.Box(0, 255, bev, np.uint8)
    return spaces.Dict(found)
