"""Gives a deterministic Gymnasium environment the `get_state` and `set_state` that a resumed run needs."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from common.errors import DataError


class Replayed(gymnasium.Wrapper):
    """The state of an environment as the way that led to it: how the episode began, and the actions since.

    `set_state` begins the episode again and repeats its actions, which takes as long as they took; simulators whose
    state cannot be copied need no more. It must be the outermost wrapper, and the environment must be deterministic: a
    reset may depend on its seed, its options and `np_random`, a step on the action and on what went before in the
    episode. What the environment makes once and keeps (maps, a pool of routes) may depend on its first seed.

    That the repeated episode came out where the first one was is checked by its last reward and ending.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self._begin: dict[str, Any] | None = None
        self._actions: list[np.ndarray] = []
        self._outcome: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin an episode; see `gymnasium.Env.reset`."""
        self._begin = {"seed": seed, "options": options, "random": self._random().bit_generator.state}
        self._actions, self._outcome = [], []
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        """One step; see `gymnasium.Env.step`."""
        self._actions.append(np.array(action))
        result = self.env.step(action)
        self._outcome = [float(result[1]), bool(result[2]), bool(result[3])]
        return result

    def get_state(self) -> dict[str, Any]:
        """The episode so far.

        Raises:
            DataError: there is none yet.
        """
        if self._begin is None:
            raise DataError("the environment was not reset yet")
        return {"begin": self._begin, "actions": list(self._actions), "outcome": list(self._outcome)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go through an episode again.

        Raises:
            DataError: it came out otherwise: the environment is not deterministic, or it is another one.
        """
        begin = state["begin"]
        self._random().bit_generator.state = begin["random"]
        self.reset(seed=begin["seed"], options=begin["options"])
        self._begin = begin
        for action in state["actions"]:
            # An array of no axes is a number, as it came from a discrete space.
            self.step(action if action.ndim else action[()])
        if self._outcome != state["outcome"]:
            raise DataError(
                f"an episode that was repeated ended with {self._outcome}, not {state['outcome']}; the environment is "
                "not deterministic, or its settings changed"
            )

    def _random(self) -> np.random.Generator:
        return self.env.unwrapped.np_random
