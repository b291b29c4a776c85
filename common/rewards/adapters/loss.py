"""Hands a differentiable reward to an optimiser, as a loss on tensors: pictures, features or whatever it reads.

A row that the grader could not score is left out and counted; a grader that goes on failing stops the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.errors import GraderFailure, MissingColumn, RewardError
from common.rewards.base import Reward, RewardOutput, take_rows
from common.schedule import Schedule, read_schedule

#: Share of rows without a score above which a call counts as failed, and failed calls in a row that stop the run.
FAILED_SHARE, PATIENCE = 0.2, 5


@dataclass(frozen=True)
class Loss:
    """What `to_loss` makes of one batch.

    Attributes:
        value: scalar to be minimised; 0, with no way to any column, where no row has a score.
        reward: the mean reward of the rows that have one; NaN where none has.
        weight: w.
        unscored: rows left out.
    """

    value: Tensor
    reward: float
    weight: float
    unscored: int


class RewardLoss:
    """See `to_loss`."""

    def __init__(self, reward: Reward, weight: Schedule) -> None:
        self.reward = reward
        self.weight = weight
        self.failed_calls = 0

    def __call__(self, **columns: Any) -> Loss:
        """The loss of one batch of columns; gradient flows to those of its tensors that require it.

        Raises:
            MissingColumn: a column that the reward needs, or `step` for a weight that changes.
            GraderFailure: more than 20 % of the rows had no score in five calls in a row.
        """
        if "step" not in columns and len(self.weight.points) > 1:
            raise MissingColumn(self.reward.name, "step", sorted(columns))
        weight = self.weight(columns.get("step", 0))
        output = self.reward(**columns)
        known = output.values.isfinite()
        size, rows = len(known), known.nonzero().flatten().tolist()
        self._count(size - len(rows), size, output)
        scored = output.values
        if 0 < len(rows) < size:
            # Scored by themselves: a NaN that is only masked comes back as the gradient 0 · NaN.
            again = self.reward(**take_rows(columns, rows, size)).values
            scored = again[again.isfinite()]
        if not rows or not len(scored):
            return Loss(torch.zeros((), requires_grad=True), float("nan"), weight, size)
        mean = scored.mean()
        return Loss(-weight * mean, float(mean.detach()), weight, size - len(scored))

    def _count(self, unscored: int, size: int, output: RewardOutput) -> None:
        self.failed_calls = self.failed_calls + 1 if unscored > FAILED_SHARE * size else 0
        if self.failed_calls >= PATIENCE:
            reason = next((text for texts in output.info.values() for text in texts if text), "no reason given")
            raise GraderFailure(
                f"reward {self.reward.name!r}: {unscored} of {size} rows could not be scored, and so {PATIENCE} times "
                f"in a row ({reason})"
            )


def to_loss(reward: Reward, weight: Any = 1.0) -> RewardLoss:
    r"""A function of columns to the loss :math:`-w(step) \cdot \mathrm{mean}(r)` over the rows that have a score.

    Args:
        reward: a differentiable one.
        weight: w, a number or a schedule by the column `step`; see `common.schedule.read_schedule`.

    Raises:
        RewardError: the reward has no gradient.
        UsageError: the weight is no number and no schedule.
    """
    if not reward.differentiable:
        raise RewardError(
            f"reward {reward.name!r} has no gradient, so that nothing can be moved by it. Where it has a field "
            "`differentiable`, set it to true; else let it score and choose what was made otherwise"
        )
    return RewardLoss(reward, read_schedule(weight, "weight"))
