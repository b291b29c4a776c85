"""Re-scalers that remember: the scores of past training steps say what is low and what is high.

A step is scored with what was known *before* it, so that a value depends on neither the rest of the batch nor its
order, and scoring a batch twice gives the same; what the step shows is taken in when a later `step` comes. Without a
`step` column, in an evaluation or `check_reward`, nothing is taken in. The state goes into checkpoints (`state_dict`),
pickles with the reward, and `synchronise` makes it the same in all processes. See `rescale.py` for what re-scalers can
and cannot do.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput
from common.rewards.transforms.basic import Transform

T = TypeVar("T")
Gather = Callable[[T], list[T]]


class Remembering(Transform):
    """What transforms share that learn from the inner scores of past steps; see the module.

    Subclasses take scores in and keep them; there is no gradient.
    """

    def __init__(self, inner: Reward, name: str | None = None) -> None:
        super().__init__(inner, name)
        self.differentiable = False
        self.pending = torch.zeros(0, dtype=torch.float64)
        self.step = -1

    def score(self, **columns: Any) -> RewardOutput:
        """Score with what was known before this step, and note the scores for later ones; see `Reward.score`."""
        step = columns.get("step")
        if step is not None and int(step) > self.step:
            self._settle(self.pending)
            self.step = int(step)
        output = self.inner(**columns)
        if step is not None:
            known = output.values.detach().double().cpu()
            self.pending = torch.cat([self.pending, known[known.isfinite()]])
        return RewardOutput(self.change(output.values), output.parts, output.info)

    @abstractmethod
    def change(self, values: Tensor) -> Tensor:
        """The new values `(B,)`, by what is known."""

    @abstractmethod
    def take_in(self, scores: Tensor) -> None:
        """Learn from the scores of a past step, `(N,)` float64 and finite."""

    def state_dict(self) -> dict[str, Any]:
        """What was learnt, and the scores of the step in progress, for a checkpoint."""
        return {"pending": self.pending.clone(), "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.pending, self.step = state["pending"].clone(), int(state["step"])

    def synchronise(self, gather: Gather[Tensor]) -> None:
        """Take in what all processes saw in the step that just ended.

        Every process must call it after the same step; a second call finds nothing new.

        Args:
            gather: gives every process' tensor by rank, as `common.training.workers.Workers.gather` does.
        """
        self._settle(torch.cat(gather(self.pending)))

    def _settle(self, scores: Tensor) -> None:
        self.take_in(scores)
        self.pending = torch.zeros(0, dtype=torch.float64)


class History(Remembering):
    """What the history re-scalers share: the inner scores of past steps.

    Until `warmup` scores are known, values are `(r − low) / (high − low)`, clipped to [0, 1].

    Args:
        inner: the reward.
        low: score that earns 0 before the history is long enough; the inner lower bound by default.
        high: score that earns 1 then; the inner upper bound by default.
        noise: difference of inner scores that means nothing.
        window: scores remembered, the oldest dropped first.
        warmup: scores needed.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: limits, noise or sizes that cannot be.
    """

    bounds = (0.0, 1.0)

    def __init__(
        self,
        inner: Reward,
        low: float | None = None,
        high: float | None = None,
        noise: float = 0.0,
        window: int = 4096,
        warmup: int = 64,
        name: str | None = None,
    ) -> None:
        super().__init__(inner, name)
        self.low = inner.bounds[0] if low is None else low
        self.high = inner.bounds[1] if high is None else high
        if not self.low < self.high:
            raise RewardError(f"reward {self.name!r}: cannot rescale from [{self.low}, {self.high}]")
        if not (0.0 <= noise < math.inf and 1 <= warmup <= window):
            raise RewardError(
                f"reward {self.name!r}: noise {noise} must be 0 or more and warmup {warmup} from 1 to window {window}"
            )
        self.noise = noise
        self.window = window
        self.warmup = warmup
        self.seen = torch.zeros(0, dtype=torch.float64)

    def change(self, values: Tensor) -> Tensor:
        """The affine map while the history is short, then `spread`."""
        if len(self.seen) < self.warmup:
            return functional.rescale(values, self.low, self.high)
        return self.spread(values.double()).clamp(0.0, 1.0).to(values)

    @abstractmethod
    def spread(self, values: Tensor) -> Tensor:
        """The new values `(B,)` once the history is long enough."""

    def state_dict(self) -> dict[str, Any]:
        """The scores known and those of the step in progress, for a checkpoint."""
        return {"seen": self.seen.clone(), **super().state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        super().load_state_dict(state)
        self.seen = state["seen"].clone()

    def take_in(self, scores: Tensor) -> None:
        """Add them, and drop the oldest."""
        self.seen = torch.cat([self.seen, scores])[-self.window :]


class HistoryQuantile(History):
    r""":math:`(r - q_{05}) / (q_{95} - q_{05})` of past scores, clipped to [0, 1].

    Range [0, 1], higher is better, NaN stays NaN and is not remembered. Where the quantiles lie nearer than `noise`,
    the map is :math:`1/2 + (r - m) / noise` around their middle m. Arguments as in `History`, and

    Args:
        quantiles: shares of past scores that earn 0 and 1.
    """

    def __init__(
        self, inner: Reward, *args: Any, quantiles: tuple[float, float] = (0.05, 0.95), **settings: Any
    ) -> None:
        super().__init__(inner, *args, **settings)
        if not 0.0 <= quantiles[0] < quantiles[1] <= 1.0:
            raise RewardError(f"reward {self.name!r}: quantiles {quantiles} must lie in [0, 1] and in order")
        self.quantiles = quantiles

    def spread(self, values: Tensor) -> Tensor:
        """See the class."""
        low, high = torch.quantile(self.seen, torch.tensor(self.quantiles, dtype=torch.float64)).tolist()
        width = max(high - low, self.noise)
        return 0.5 + (values - (low + high) / 2) / width if width > 0 else _step(values, low)


class HistorySigmoid(History):
    r"""Sigmoid of the running z-score with a dead band: :math:`\sigma(k z)`, :math:`z = \pm\max(|r-\mu| - d, 0)/s`.

    Range [0, 1], higher is better, NaN stays NaN and is not remembered. μ and s are mean and standard deviation of
    past scores, d is `noise`: scores within the band around the mean all earn 1/2. s is at least d, so that a history
    without spread does not turn noise into full marks. Arguments as in `History`, and

    Args:
        slope: k.
    """

    def __init__(self, inner: Reward, *args: Any, slope: float = 2.0, **settings: Any) -> None:
        super().__init__(inner, *args, **settings)
        if not 0.0 < slope < math.inf:
            raise RewardError(f"reward {self.name!r}: slope {slope} must be above 0")
        self.slope = slope

    def spread(self, values: Tensor) -> Tensor:
        """See the class."""
        mean, deviation = float(self.seen.mean()), float(self.seen.std(correction=0))
        scale = max(deviation, self.noise)
        return (
            torch.sigmoid(self.slope * functional.shrink(values - mean, self.noise) / scale)
            if scale > 0
            else _step(values, mean)
        )


def _step(values: Tensor, at: float) -> Tensor:
    """0, 1/2 or 1 below, at and above a history whose scores were all the same; NaN stays NaN."""
    return torch.where(values.isnan(), values, 0.5 + 0.5 * (values - at).sign())
