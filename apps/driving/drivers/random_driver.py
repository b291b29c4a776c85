"""The floor: actions drawn evenly from the action space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class RandomDriver:
    """Draws every action evenly.

    Args:
        space: of actions.
        seed: of the draws.
    """

    name = "random"

    def __init__(self, space: spaces.Space[Any], seed: int = 0) -> None:
        self.space = space
        self.rng = np.random.default_rng(seed)

    def begin(self, seed: int) -> None:
        """Draw anew, so that an episode is the same whichever were driven before it."""
        self.rng = np.random.default_rng(seed)

    def act(self, observation: Mapping[str, NDArray[Any]]) -> Any:
        """An action; what is observed does not matter."""
        if isinstance(self.space, spaces.Discrete):
            return int(self.rng.integers(self.space.n))
        if not isinstance(self.space, spaces.Box):
            raise TypeError(f"no even draw from {self.space}")
        return self.rng.uniform(self.space.low, self.space.high).astype(np.float32)
