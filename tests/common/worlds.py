"""Small Gymnasium environments and rewards for the tests of the Gymnasium half of the core."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from common.rewards.base import Reward, RewardOutput


class Corridor(gymnasium.Env):
    """A point on a line from -1 to 1 is pushed left or right; the info tells its place and shows it in a picture.

    It falls off an end (terminated, -10 from the environment, 0.1 elsewhere) or is stopped by a time limit of its own.
    """

    metadata = {"render_modes": []}

    def __init__(
        self, limit: int = 9, discrete: bool = False, masks: bool = False, keep_state: bool = True, push: float = 0.3
    ) -> None:
        self.limit, self.push, self.masks = limit, push, masks
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1.0, 1.0, (1,), np.float32)
        measures = spaces.Box(-10.0, 10.0, (2,), np.float32)
        self.observation_space = (
            spaces.Dict({"measures": measures, "masks": spaces.Box(0, 255, (6, 5, 3), np.uint8)})
            if masks
            else measures
        )
        self.place, self.steps = 0.0, 0
        if not keep_state:
            # As an environment that offers neither.
            self.get_state = self.set_state = None

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in ("get_state", "set_state") and value is None:
            raise AttributeError(name)
        return value

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-0.5, 0.5)), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        way = int(action) - 1 if isinstance(self.action_space, spaces.Discrete) else float(np.asarray(action)[0])
        self.place += self.push * way + 0.05 * float(self.np_random.normal())
        self.steps += 1
        fell = abs(self.place) > 1
        info = {
            "state": {"place": self.place, "steps": float(self.steps)},
            "picture": self._picture(),
            "word": f"step {self.steps}",
            "is_success": not fell,
        }
        return self._observation(), -10.0 if fell else 0.1, fell, not fell and self.steps >= self.limit, info

    def _picture(self) -> np.ndarray:
        picture = np.zeros((4, 6, 3), np.uint8)
        picture[..., 0] = int(np.clip((self.place + 2) / 4, 0, 1) * 255)
        picture[..., 1] = min(self.steps * 20, 255)
        return picture

    def _observation(self) -> Any:
        measures = np.array([self.place, self.steps / self.limit], np.float32)
        if not self.masks:
            return measures
        grid = np.zeros((6, 5, 3), np.uint8)
        grid[: self.steps % 6, :, 0] = 255
        grid[:, int(np.clip((self.place + 1) * 2.5, 0, 4)), 1] = 255
        return {"measures": measures, "masks": grid}

    def get_state(self) -> dict[str, Any]:
        return {"place": self.place, "steps": self.steps, "random": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.place, self.steps = state["place"], state["steps"]
        self.np_random.bit_generator.state = state["random"]


class Near(Reward):
    """1 in the middle, less towards the ends."""

    name = "near"
    needs = ("state",)

    def score(self, **columns: Any) -> RewardOutput:
        place = columns["state"]["place"]
        return RewardOutput((1 - place.abs()).clamp(0, 1), {"place": place})


class Redness(Reward):
    """The mean of the first channel, seen in pictures; it counts how many it was shown."""

    name = "redness"
    needs = ("images",)

    def __init__(self) -> None:
        self.shown = 0

    def score(self, **columns: Any) -> RewardOutput:
        images = columns["images"]
        self.shown += len(images)
        value = images[:, 0].mean(dim=(1, 2))
        return RewardOutput(value, {"green": images[:, 1].mean(dim=(1, 2))})


class RedAndNear(Reward):
    """A reward of both: the picture, or the vector that stands for it, times the place."""

    name = "both"
    needs = ("images", "state")

    def score(self, **columns: Any) -> RewardOutput:
        images = columns["images"]
        red = images[:, 0] if images.ndim == 2 else images[:, 0].mean(dim=(1, 2))
        return RewardOutput(red * (1 - columns["state"]["place"].abs()).clamp(0, 1), {"red": red})


class Failing(Reward):
    """Near, but NaN in the rows whose step of the episode is listed."""

    name = "failing"
    needs = ("state",)

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def score(self, **columns: Any) -> RewardOutput:
        state = columns["state"]
        lost = torch.tensor([int(step) in self.steps for step in state["steps"]], dtype=torch.bool)
        values = torch.where(lost, torch.nan, (1 - state["place"].abs()).clamp(0, 1))
        return RewardOutput(values, {}, {"reason": ["the judge is down" if one else "" for one in lost.tolist()]})


class Counting(Reward):
    """A reward with a state of its own: it pays how many rows it has scored so far."""

    name = "counting"
    needs = ("state",)
    bounds = (0.0, 1e6)

    def __init__(self) -> None:
        self.rows = 0

    def score(self, **columns: Any) -> RewardOutput:
        size = len(columns["state"]["place"])
        values = torch.arange(self.rows, self.rows + size, dtype=torch.float32)
        self.rows += size
        return RewardOutput(values)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]


def mean_colour(images: torch.Tensor) -> torch.Tensor:
    """What an encoder is to pictures: `(B, 3)`."""
    return images.mean(dim=(2, 3))
