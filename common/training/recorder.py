"""Listens in on the reward functions that trl calls: what was said, what it earned, and how long scoring took."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards.adapters.trl import text_of
from common.training.alarms import group_figures

Function = Callable[..., list[float | None]]


class Recorder:
    """Wraps trl's reward functions and keeps the last batch.

    Args:
        functions: reward functions with unique `__name__`.
        weights: one for each.
        generations: completions in a group; groups lie side by side in a batch.
        bounds: the lowest and highest weighted reward.

    Raises:
        RewardError: two functions share a name, so that trl would mix up their logs.
    """

    def __init__(
        self, functions: Sequence[Function], weights: Sequence[float], generations: int, bounds: tuple[float, float]
    ) -> None:
        names = [function.__name__ for function in functions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RewardError(f"reward functions need unique names; given more than once: {', '.join(twice)}")
        self.functions = [self._listen(function) for function in functions]
        self.weights = dict(zip(names, weights, strict=True))
        self.generations = generations
        self.bounds = bounds
        self.seconds = {"generation": 0.0, "reward": 0.0}
        self.prompts: list[Any] = []
        self.completions: list[str] = []
        self.columns: dict[str, list[Any]] = {}
        self.group = torch.zeros(0, dtype=torch.long)
        self.scores: dict[str, list[float]] = {}
        self.info: dict[str, list[Any]] = {}

    def _listen(self, function: Function) -> Function:
        name = function.__name__

        def recorded(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
            began = time.perf_counter()
            if name == next(iter(self.weights)):
                self._new_batch(prompts, completions, columns)
            columns.setdefault("group", self.group)
            log_extra = columns.pop("log_extra", None)

            def log_info(column: str, values: list[Any]) -> None:
                self.info[column] = list(values)
                if log_extra is not None:
                    log_extra(column, values)

            values = function(prompts=prompts, completions=completions, log_extra=log_info, **columns)
            self.scores[name] = [_number(value) for value in values]
            self.seconds["reward"] += time.perf_counter() - began
            return values

        recorded.__name__ = name
        return recorded

    def _new_batch(self, prompts: list[Any], completions: list[Any], columns: dict[str, Any]) -> None:
        self.prompts = list(prompts)
        self.completions = [text_of(completion) for completion in completions]
        self.columns = {
            column: values
            for column, values in columns.items()
            if isinstance(values, list) and values and isinstance(values[0], str)
        }
        self.scores, self.info = {}, {}
        # Told by place, not by prompt: neighbouring groups may ask the same of two pictures.
        self.group = torch.arange(len(prompts)) // self.generations

    @property
    def rewards(self) -> list[float]:
        """The weighted reward of each completion of the last batch; NaN where no function scored it."""
        totals = []
        for row in range(len(self.completions)):
            scored = [(self.weights[name], values[row]) for name, values in self.scores.items()]
            known = [weight * value for weight, value in scored if not math.isnan(value)]
            totals.append(sum(known) if known else math.nan)
        return totals

    def figures(self) -> dict[str, float]:
        """Figures of the step that just ended; times start again from zero."""
        figures = {f"time/{name}": seconds for name, seconds in self.seconds.items()}
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        if self.completions:
            rewards = self.rewards
            figures |= group_figures(rewards, self.generations, self.bounds)
            figures["completions/distinct"] = len(set(self.completions)) / len(self.completions)
            figures["rewards/unscored"] = sum(math.isnan(value) for value in rewards) / len(rewards)
        return figures

    def samples(self, groups: int = 4) -> list[dict[str, Any]]:
        """The best and the worst completion of the first groups of the last batch, with parts, columns and reasons."""
        rewards, rows = self.rewards, []
        for start in range(0, min(len(rewards), groups * self.generations), self.generations):
            scored = [row for row in range(start, start + self.generations) if not math.isnan(rewards[row])]
            if not scored:
                continue
            best = max(scored, key=lambda row: rewards[row])
            worst = min(scored, key=lambda row: rewards[row])
            rows += [self._row(row, rewards[row]) for row in dict.fromkeys((best, worst))]
        return rows

    def _row(self, row: int, reward: float) -> dict[str, Any]:
        return {
            "prompt": self.prompts[row],
            "completion": self.completions[row],
            "reward": reward,
            "parts": {name: values[row] for name, values in self.scores.items()},
            "info": {name: values[row] for name, values in self.info.items() if row < len(values)},
            "columns": {name: values[row] for name, values in self.columns.items()},
        }


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
