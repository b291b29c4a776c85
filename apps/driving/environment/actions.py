"""From what a policy puts out to what the car is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from apps.driving.backends.base import Control, control
from apps.driving.env_config import ActionConfig

THROTTLES = (-1.0, -0.5, 0.0, 0.5, 1.0)
STEERS = (-0.8, -0.4, -0.1, 0.1, 0.4, 0.8)
#: The discrete actions: (throttle, steer), throttle below 0 brakes. Thirty, in this order, as in VLM-RL's PPO.
TABLE = tuple((throttle, steer) for throttle in THROTTLES for steer in STEERS)


class Actions:
    """The action space, and its smoothed steering: s <- k s + (1 - k) a (VLM-RL: k = 0.75)."""

    def __init__(self, config: ActionConfig) -> None:
        self.smoothing = config.smoothing
        self.discrete = config.kind == "discrete"
        self.space: spaces.Space[Any] = (
            spaces.Discrete(len(TABLE)) if self.discrete else spaces.Box(-1.0, 1.0, (2,), np.float32)
        )
        self.steer = 0.0

    def reset(self) -> None:
        """Forget the steering of the former episode."""
        self.steer = 0.0

    def control(self, action: Any) -> Control:
        """Read one action: a number of `TABLE`, or steer and pedals in [-1, 1] (clipped).

        Raises:
            ValueError: another shape or number, NaN or infinity.
        """
        if self.discrete:
            if np.ndim(action) or int(action) != action or not 0 <= int(action) < len(TABLE):
                raise ValueError(f"action {action!r}: give one whole number from 0 to {len(TABLE) - 1}")
            pedals, steer = TABLE[int(action)]
        else:
            if np.shape(action) != (2,):
                raise ValueError(f"action {action!r}: give two numbers, steer and pedals, each in [-1, 1]")
            steer, pedals = action
        wanted = control(steer, pedals)
        self.steer = self.smoothing * self.steer + (1.0 - self.smoothing) * wanted.steer
        return wanted._replace(steer=self.steer)
