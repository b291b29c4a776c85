"""Rewards that die, tell how they were called, or take time; named in configs by their import path."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from common.rewards.base import Reward, RewardOutput


class Fragile(Reward):
    """A text's length in hundredths. Its process dies at a text that says "die" while the fuse file is there."""

    name = "fragile"

    def __init__(self, fuse: str) -> None:
        self.fuse = fuse

    def score(self, **columns: Any) -> RewardOutput:
        if any("die" in text for text in columns["completion"]) and os.path.exists(self.fuse):
            Path(self.fuse).unlink()
            os._exit(1)
        size = len(columns["completion"])
        values = torch.tensor([len(text) / 100 for text in columns["completion"]])
        return RewardOutput(values, {"rows": torch.full((size,), float(size))}, {"pid": [str(os.getpid())] * size})


class Busy(Reward):
    """Adds up numbers for a while, as a reward does that computes."""

    name = "busy"

    def __init__(self, work: int = 20_000) -> None:
        self.work = work

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(
            torch.tensor([sum(range(self.work)) % 97 / 97 + 0 * len(one) for one in columns["completion"]])
        )


class Waiting(Reward):
    """Waits for each row, as a judge behind an interface does that answers one after the other."""

    name = "waiting"

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds

    def score(self, **columns: Any) -> RewardOutput:
        time.sleep(self.seconds * len(columns["completion"]))
        return RewardOutput(torch.ones(len(columns["completion"])))
