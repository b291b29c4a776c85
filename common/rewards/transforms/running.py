"""Normalisation by a running mean and deviation, which trainers that do not normalise need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from common.errors import RewardError
from common.rewards.base import Reward
from common.rewards.transforms.history import Remembering


@dataclass(frozen=True)
class Moments:
    """Mean and squared deviations of numbers that came in batches (Welford; Chan et al. for merging).

    Attributes:
        count: numbers.
        mean: of them.
        squares: sum of their squared deviations from it.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Tensor) -> Moments:
        """Of one batch `(N,)` of finite numbers."""
        if not len(values):
            return cls()
        values = values.double()
        mean = values.mean()
        return cls(len(values), float(mean), float((values - mean).square().sum()))

    def merge(self, other: Moments) -> Moments:
        """Of both; which comes first, and how they were cut, changes no more than rounding."""
        count = self.count + other.count
        if not count:
            return self
        step = other.mean - self.mean
        squares = self.squares + other.squares + step * step * self.count * other.count / count
        return Moments(count, self.mean + step * other.count / count, squares)

    @property
    def deviation(self) -> float:
        """Standard deviation, with the count in its denominator; 0 for none."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0


class RunningNormalize(Remembering):
    r""":math:`(r - \mu) / \max(s, d)` with mean and deviation of all past steps, cut at ±`limit`.

    Range [−limit, limit], higher is better, NaN stays NaN and is not remembered. A step is scored by what was known
    before it, and scores are remembered where a `step` column says which step it is; see `transforms.history`,
    also for checkpoints and several processes. Until `warmup` scores are known the inner bounds are mapped onto [−1,
    1], so that the first steps have a scale at all.

    For trainers that do not normalise (SB3, text-to-3D); under GRPO's group z-score it changes nothing. Unlike
    `HistorySigmoid` it forgets nothing: early scores weigh as much as late ones. After ONI (arXiv 2410.23022) and
    SB3's `VecNormalize`, whose limit of 10 it has.

    Args:
        inner: the reward.
        noise: d, the deviation that means nothing and is never blown up.
        centred: subtract μ; without, only the scale changes, and a reward of 0 stays 0.
        limit: of the result.
        warmup: scores needed.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: a noise that is not above 0, a limit below 1, or a warm-up of less than 2.
    """

    def __init__(
        self,
        inner: Reward,
        noise: float = 1e-4,
        centred: bool = True,
        limit: float = 10.0,
        warmup: int = 64,
        name: str | None = None,
    ) -> None:
        super().__init__(inner, name)
        if not (0 < noise < math.inf and 1 <= limit < math.inf and warmup >= 2):
            raise RewardError(
                f"reward {self.name!r}: noise {noise} must be above 0, limit {limit} 1 or more and warmup {warmup} 2 "
                "or more"
            )
        self.noise, self.centred, self.limit, self.warmup = noise, centred, limit, warmup
        self.bounds = (-limit, limit)
        self.moments = Moments()

    def change(self, values: Tensor) -> Tensor:
        """See the class."""
        low, high = self.inner.bounds
        if self.moments.count < self.warmup:
            mean, deviation = (low + high) / 2, (high - low) / 2
        else:
            mean, deviation = self.moments.mean, self.moments.deviation
        centre = mean if self.centred else 0.0
        return ((values.double() - centre) / max(deviation, self.noise)).clamp(-self.limit, self.limit).to(values)

    def take_in(self, scores: Tensor) -> None:
        """Merge their moments."""
        self.moments = self.moments.merge(Moments.of(scores))

    def state_dict(self) -> dict[str, Any]:
        """The moments and the scores of the step in progress, for a checkpoint."""
        return {"moments": asdict(self.moments), **super().state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        super().load_state_dict(state)
        self.moments = Moments(**state["moments"])
