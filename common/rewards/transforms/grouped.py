"""Transforms that compare the rows of a group: the completions of one prompt, by the column `group`.

In trl a group may straddle two processes, and half a group has another mean, another best and other ranks. trl's
adapter refuses groups of different sizes; whoever passes `group` itself can give the `size` that every group must
have.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput
from common.rewards.text.length import Units
from common.rewards.transforms import functional as transform_functional
from common.rewards.transforms.basic import Transform, explained


class Grouped(Transform):
    """What group-wise transforms share; a value depends on the group's other rows, by design.

    Rows without a score stay NaN and do not count. There is no gradient.

    Args:
        inner: the reward.
        size: rows that every group must have; None takes them as they come.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: a size below 1; at a call, a group of another size.
    """

    def __init__(self, inner: Reward, size: int | None = None, name: str | None = None) -> None:
        super().__init__(inner, name)
        if size is not None and size < 1:
            raise RewardError(f"reward {self.name!r}: a group of {size} rows is none")
        self.size = size
        self.differentiable = False
        self.needs = tuple(dict.fromkeys((*inner.needs, "group")))

    def groups(self, group: Any) -> Iterator[Tensor]:
        """The rows of each group, as indices."""
        numbers = torch.as_tensor(group, dtype=torch.long).cpu()
        for number in numbers.unique().tolist():
            rows = (numbers == number).nonzero().flatten()
            if self.size is not None and len(rows) != self.size:
                raise RewardError(
                    f"reward {self.name!r}: group {number} has {len(rows)} rows, not {self.size}; a group is split "
                    "across batches or processes. Choose per_device_train_batch_size as a multiple of num_generations"
                )
            yield rows


class Placed(Grouped):
    """A row's new value follows from the scores of its group alone."""

    def score(self, **columns: Any) -> RewardOutput:
        """Score, then place each row in its group; see `Reward.score`."""
        output = self.inner(**columns)
        values = output.values.detach().cpu().double()
        placed = torch.full_like(values, math.nan)
        for rows in self.groups(columns["group"]):
            known = rows[~values[rows].isnan()]
            if len(known):
                placed[known] = self.place(values[known])
        return RewardOutput(placed.float(), output.parts, output.info)

    @abstractmethod
    def place(self, values: Tensor) -> Tensor:
        """The new values `(G,)` of a group's scored rows, float64."""


class GroupNormalize(Placed):
    r""":math:`(r - \bar r) / \max(s, d)` in each group, cut at ±`limit`.

    Usually wrong inside a reward: GRPO does the same to the sum afterwards, and of a sum of normalised parts each has
    the same say whatever its weight should mean. It has its place before a non-linear transform, and for trainers that
    do not normalise (SB3, text-to-3D). Per-component normalisation in trl is GDPO's (arXiv 2601.05242),
    `multi_objective_aggregation="normalize_then_sum"`, and needs no transform.

    Range [−limit, limit], higher is better, NaN stays NaN. d = `noise` is the deviation that means nothing: cosines of
    .860 to .863 become ±1.1 without it. A group of equal scores, or one row alone, is 0.

    Args:
        inner: the reward.
        noise: d.
        limit: of |z|; of G rows none is beyond :math:`(G - 1) / \sqrt G`.
        size: see `Grouped`.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: noise below 0 or a limit that is not above it.
    """

    def __init__(
        self, inner: Reward, noise: float = 0.0, limit: float = 3.0, size: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(inner, size, name)
        if not (0 <= noise < math.inf and 0 < limit < math.inf):
            raise RewardError(f"reward {self.name!r}: noise {noise} must be 0 or more and limit {limit} above 0")
        self.noise, self.limit = noise, limit
        self.bounds = (-limit, limit)

    def place(self, values: Tensor) -> Tensor:
        """See `transform_functional.z_scores`."""
        return transform_functional.z_scores(values, self.noise).clamp(-self.limit, self.limit)


class GroupRank(Placed):
    r""":math:`(\mathrm{rank} - 1) / (G - 1)` in each group; ties share their mean rank.

    Usually wrong inside a reward: it pays the best of a bad group as much as the best of a good one, and turns noise
    into full marks. It has its place where only the order can be trusted, as with a judge without a scale (after
    PoLi-RL's kind of ranking reward).

    Range [0, 1], higher is better, NaN stays NaN. A group that spreads no wider than `noise`, or one row alone, is
    1/2.

    Args:
        inner: the reward.
        noise: the spread that means nothing.
        size: see `Grouped`.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: noise below 0.
    """

    bounds = (0.0, 1.0)

    def __init__(self, inner: Reward, noise: float = 0.0, size: int | None = None, name: str | None = None) -> None:
        super().__init__(inner, size, name)
        if not 0 <= noise < math.inf:
            raise RewardError(f"reward {self.name!r}: noise {noise} must be 0 or more")
        self.noise = noise

    def place(self, values: Tensor) -> Tensor:
        """See `transform_functional.rank_shares`."""
        if not float(values.max() - values.min()) > self.noise:
            return torch.full_like(values, 0.5)
        return transform_functional.rank_shares(values)


class GroupLengthPenalty(Grouped):
    r"""A correct row that is longer than the correct rows of its group: :math:`-P\,\mathrm{clip}((n - \bar n)/(\tau
    \bar n), 0, 1)`.

    Range [−P, 0], higher is better. Rows that are not correct, and groups without a correct row, are 0: how long a
    wrong answer is does not matter. Where correctness is unknown (NaN) the row is NaN, and no part of n̄. Keep P below
    what correctness pays, or a long right answer earns less than a wrong one.

    Inspired by HARMO (arXiv 2510.05283), whose P_max and τ and exact form are not known; this form is ours.

    Parts: `correct`, the inner value, and its parts. The inner reward is asked for this penalty alone; where it stands
    in the same sum and is dear, make both `Cached`.

    Args:
        inner: correctness.
        most: P.
        tolerance: τ: the penalty is whole where a row is (1 + τ) times as long as the mean.
        threshold: correctness from here on.
        units: cuts a completion into what is counted; words where not given.
        size: see `Grouped`.
        name: the part's name.

    Raises:
        RewardError: a setting that is not above 0.
    """

    def __init__(
        self,
        inner: Reward,
        most: float = 0.2,
        tolerance: float = 1.0,
        threshold: float = 0.5,
        units: Units = functional.tokens,
        size: int | None = None,
        name: str = "group_length",
    ) -> None:
        super().__init__(inner, size, name)
        if not (0 < most < math.inf and 0 < tolerance < math.inf):
            raise RewardError(f"reward {name!r}: most {most} and tolerance {tolerance} must be above 0")
        self.most, self.tolerance, self.threshold, self.units = most, tolerance, threshold, units
        self.needs = tuple(dict.fromkeys(("completion", *self.needs)))
        self.bounds = (-most, 0.0)
        self.part_names = ("correct", *(f"correct.{part}" for part in inner.part_names))

    def score(self, **columns: Any) -> RewardOutput:
        """Compare lengths within each group; see `Reward.score`."""
        output = self.inner(**columns)
        correct = output.values.detach().cpu()
        lengths = torch.tensor([len(self.units(text)) for text in columns["completion"]], dtype=torch.float64)
        values = torch.full_like(lengths, math.nan)
        for rows in self.groups(columns["group"]):
            known = rows[~correct[rows].isnan()]
            values[known] = transform_functional.group_length_penalty(
                lengths[known], correct[known] >= self.threshold, self.most, self.tolerance
            )
        reasons = [
            f"{int(length)} units, more than the group's correct rows on average" if value < 0 else ""
            for length, value in zip(lengths.tolist(), values.tolist(), strict=True)
        ]
        parts = {"correct": output.values} | {f"correct.{one}": part for one, part in output.parts.items()}
        return RewardOutput(values.float(), parts, explained(output, reasons))
