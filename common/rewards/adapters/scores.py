"""How a reward's values become what a policy learns from, and what is told of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import RewardError

#: Key of the info under which a step's score lies: value, environment (what it paid itself), failed, and the parts.
SCORED = "scored"
#: Why the grader failed, in the info of such a step.
REASON = "scored_reason"


@dataclass(frozen=True)
class Scoring:
    """How a reward becomes what the policy learns from.

    Attributes:
        mode: "replace" the environment's reward, or "add" to it.
        weight: the reward is multiplied by it.
        keep_penalties: a step that ended an episode and for which the environment paid less than 0 keeps that reward
            when it is replaced.
        fallback: what stands for a value that the grader failed to give. "hold": the last one of the same episode;
            where there is none, the mean of the other rows of the call; where there is none either, the middle of the
            bounds. "environment": that step keeps the environment's reward. A number: itself. Never the policy's
            fault: such steps are flagged and counted.
        stride: pictures are looked at every so many steps; see `StepReader`. State is read in every step.
        batch_size: rows scored, and pictures looked at, in one call.
        cache: frames remembered.
        failed_rows: rows over which failures are counted.
        failed_share: the run stops where more than this share of them failed.
    """

    mode: Literal["replace", "add"] = "replace"
    weight: float = 1.0
    keep_penalties: bool = True
    fallback: Literal["hold", "environment"] | float = "hold"
    stride: int = 1
    batch_size: int = 256
    cache: int = 4096
    failed_rows: int = 100
    failed_share: float = 0.2

    def checked(self) -> Scoring:
        """Itself.

        Raises:
            RewardError: settings that cannot be.
        """
        if self.mode not in ("replace", "add"):
            raise RewardError(f"unknown mode {self.mode!r}: replace or add")
        if isinstance(self.fallback, str) and self.fallback not in ("hold", "environment"):
            raise RewardError(f"unknown fallback {self.fallback!r}: hold, environment or a number")
        numbers = [self.weight] + ([] if isinstance(self.fallback, str) else [self.fallback])
        if not all(map(math.isfinite, numbers)):
            raise RewardError(f"weight {self.weight} and fallback {self.fallback} must be finite")
        if self.batch_size < 1 or self.cache < 0 or self.failed_rows < 1 or not 0 <= self.failed_share <= 1:
            raise RewardError("batch_size and failed_rows must be 1 or more, cache 0 or more, failed_share in [0, 1]")
        return self


@dataclass(frozen=True)
class Scores:
    """Of the rows of one call, all `(B,)`.

    Attributes:
        rewards: float32, what the policy learns from; always finite.
        values: the reward's own, the fallback where it failed.
        environment: what the environments paid.
        failed: whether the grader failed.
        parts: of the reward; NaN where unknown.
        reasons: why the grader failed, "" elsewhere.
    """

    rewards: NDArray[np.float32]
    values: NDArray[np.float32]
    environment: NDArray[np.float32]
    failed: NDArray[np.bool_]
    parts: Mapping[str, NDArray[np.float32]]
    reasons: Sequence[str]


def figures(scores: Scores) -> dict[str, float]:
    """Means over the rows: `reward`, `reward/environment`, `reward/failed` and `reward/<part>`."""
    if not len(scores.rewards):
        return {}
    found = {
        "reward": float(scores.rewards.mean()),
        "reward/environment": float(scores.environment.mean()),
        "reward/failed": float(scores.failed.mean()),
    }
    for name, part in scores.parts.items():
        known = part[np.isfinite(part)]
        if len(known):
            found[f"reward/{name}"] = float(known.mean())
    return found
