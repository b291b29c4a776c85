"""Counts what happens in the environments between two lines of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from common.rewards.adapters.scores import SCORED


class Episodes(BaseCallback):
    """Returns, lengths and endings of episodes, and the parts of the reward, averaged over the steps of a log line.

    It takes the place of SB3's Monitor, whose state cannot be kept.

    Args:
        keys: numbers in the info of an episode's last step that are averaged over episodes, such as "progress".
        window: episodes over which `episode/*` figures are taken.
        relabelled: rewards are replaced later, and a relabelling callback tells `reward`; `episode/return` is then of
            what the environments paid.
    """

    def __init__(self, keys: Sequence[str] = (), window: int = 100, relabelled: bool = False) -> None:
        super().__init__()
        self.keys = tuple(keys)
        self.window = window
        self.relabelled = relabelled
        self.running: list[list[float]] = []
        self.ended: list[dict[str, float]] = []
        self.sums: dict[str, list[float]] = {}

    def _init_callback(self) -> None:
        self.running = [[0.0, 0.0] for _ in range(self.training_env.num_envs)]

    def _on_step(self) -> bool:
        for number, info in enumerate(self.locals["infos"]):
            reward = float(self.locals["rewards"][number])
            if not self.relabelled:
                self._add("reward", reward)
            scored = info.get(SCORED, {})
            for name, value in scored.items():
                self._add(f"reward/{name}", float(value))
            running = self.running[number]
            running[0] += reward
            running[1] += 1
            if self.locals["dones"][number]:
                self._end(number, info)
        return True

    def _end(self, number: int, info: Mapping[str, Any]) -> None:
        total, length = self.running[number]
        episode = {"return": total, "length": length}
        episode |= {key: float(info[key]) for key in self.keys if key in info}
        if "is_success" in info:
            episode["success"] = float(info["is_success"])
        self.ended = [*self.ended, episode][-self.window :]
        self.running[number] = [0.0, 0.0]
        self._add("episodes", 1.0)

    def _add(self, name: str, value: float) -> None:
        if np.isfinite(value):
            entry = self.sums.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += 1

    def note(self, figures: Mapping[str, Any]) -> None:
        """Take in the figures of one update, averaged like the rest."""
        for name, value in figures.items():
            if isinstance(value, (int, float, np.floating)):
                self._add(name, float(value))

    def figures(self) -> dict[str, float]:
        """The figures of the steps since the last call; `episodes` counts those that ended in them."""
        found = {name: total / number for name, (total, number) in self.sums.items()}
        found["episodes"] = self.sums.get("episodes", [0.0])[0]
        self.sums = {}
        for name in dict.fromkeys(name for episode in self.ended for name in episode):
            values = [episode[name] for episode in self.ended if name in episode]
            found[f"episode/{name}"] = sum(values) / len(values)
        return found

    def restart(self) -> None:
        """All environments were reset: the episodes in progress do not count."""
        self.running = [[0.0, 0.0] for _ in self.running]

    def state_dict(self) -> dict[str, Any]:
        """Episodes in progress, those that ended last, and the sums of the line in progress."""
        return {
            "running": [list(one) for one in self.running],
            "ended": [dict(one) for one in self.ended],
            "sums": {name: list(entry) for name, entry in self.sums.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.running = [list(one) for one in state["running"]]
        self.ended = [dict(one) for one in state["ended"]]
        self.sums = {name: list(entry) for name, entry in state["sums"].items()}
