"""Rewards of the steps of an episode: shaped by a potential, credited from its end, or charged by their number."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.errors import MissingColumn, RewardError
from common.rewards.base import Reward, RewardOutput, row_count
from common.rewards.episodes.memory import any_of, look_up, whole
from common.rewards.transforms import functional as transform_functional
from common.rewards.transforms.basic import Transform, explained
from common.schedule import read_schedule


class PotentialShaping(Transform):
    r""":math:`F = \gamma\,\Phi(s') - \Phi(s)`, with Φ = 0 once an episode has ended for good (Ng et al. 1999).

    The way to add "this looks nearer to the goal" to a reward without changing which policy is best: over an episode
    the terms cancel, so that going to and fro earns nothing. For that γ must be the trainer's discount. Range: from γ
    times Φ's least value (or 0) less its greatest, to the reverse; higher is better. NaN where Φ of either state is
    missing.

    After a time limit Φ(s') is kept: the episode did not end for good, and the trainer bootstraps from s'. With
    `ends=()` and γ = 1 the sum is Φ(last) − Φ(first), as progress along a route is paid; then the policy is *not*
    left as it was. `apps.driving`'s progress is this with the fraction of the route as Φ.

    Parts: `before`, `after` (0 at an end) and the inner parts of s'.

    Args:
        inner: Φ, a reward of one state.
        before: by name of Φ's column, the column that holds it *before* the step, as in `{"state": "previous_state"}`;
            what is not named, such as `goal`, is the same before and after.
        gamma: γ.
        ends: columns of which one is above 0 in a terminal s'.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: γ outside (0, 1], nothing in `before`, or Φ compares rows of a group.
    """

    def __init__(
        self,
        inner: Reward,
        before: Mapping[str, str],
        gamma: float = 0.99,
        ends: Sequence[str] = ("state.terminated",),
        name: str | None = None,
    ) -> None:
        super().__init__(inner, name)
        if not 0 < gamma <= 1:
            raise RewardError(f"reward {self.name!r}: gamma {gamma} must lie in (0, 1]")
        if not before or not set(before) <= set(inner.needs) or "group" in inner.needs:
            raise RewardError(
                f"reward {self.name!r}: before {dict(before)} must name columns that the potential {inner.name!r} "
                f"needs ({', '.join(inner.needs)}), and the potential must score each state by itself"
            )
        self.before, self.gamma, self.ends = dict(before), gamma, tuple(ends)
        sources = (end.split(".")[0] for end in self.ends)
        self.needs = tuple(dict.fromkeys((*inner.needs, *self.before.values(), *sources)))
        low, high = inner.bounds
        least, most = (min(low, 0.0), max(high, 0.0)) if self.ends else (low, high)
        self.bounds = (gamma * least - high, gamma * most - low)
        self.part_names = ("before", "after", *inner.part_names)

    def score(self, **columns: Any) -> RewardOutput:
        """Score both states; see `Reward.score`."""
        for column in self.before.values():
            if column not in columns:
                raise MissingColumn(self.name, column, sorted(columns))
        output = self.inner(**columns)
        earlier = self.inner(**columns | {name: columns[source] for name, source in self.before.items()}).values
        after, over = output.values, None
        if self.ends:
            over = any_of(self.name, columns, self.ends).to(after.device)
        values = transform_functional.potential_shaping(earlier, after, self.gamma, over)
        paid = after if over is None else torch.where(over, 0.0, after)
        return RewardOutput(values, {**output.parts, "before": earlier, "after": paid}, output.info)


class DiscountedCredit(Transform):
    r""":math:`r_t = \gamma^{T - 1 - t} R` for every step of an episode, R being what its last step scored.

    Range: between 0 and the inner bounds; higher is better. It needs whole episodes: all rows of a `group` in one
    batch, of which the last is an end. Rows of an episode whose end is not in the batch, or could not be scored, are
    NaN, with a reason: they are not worthless, only not known yet. Summed over an episode it pays up to :math:`1 / (1
    - \gamma)` times R, more for longer ones; as per-token or per-turn credit in place of R, not beside it. The form of
    OpenEnv's exponential discounting of a trajectory's score.

    Part: `outcome` (R), and the inner parts.

    Args:
        inner: the reward; only its value in the last step counts.
        gamma: γ.
        place: column of a row's place in its episode, without gaps.
        ends: columns of which one is above 0 in an episode's last row.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: γ outside (0, 1]; at a call, places of an episode that have gaps or come twice.
    """

    def __init__(
        self,
        inner: Reward,
        gamma: float = 0.99,
        place: str = "state.step",
        ends: Sequence[str] = ("state.terminated", "state.truncated"),
        name: str | None = None,
    ) -> None:
        super().__init__(inner, name)
        if not 0 < gamma <= 1:
            raise RewardError(f"reward {self.name!r}: gamma {gamma} must lie in (0, 1]")
        self.differentiable = False
        self.gamma, self.place, self.ends = gamma, place, tuple(ends)
        sources = (one.split(".")[0] for one in (place, *self.ends))
        self.needs = tuple(dict.fromkeys((*inner.needs, "group", *sources)))
        self.bounds = (min(0.0, inner.bounds[0]), max(0.0, inner.bounds[1]))
        self.part_names = ("outcome", *inner.part_names)

    def score(self, **columns: Any) -> RewardOutput:
        """Score, then hand each episode's outcome to its steps; see `Reward.score`."""
        output = self.inner(**columns)
        inner = output.values.detach().cpu().double()
        groups = whole(self.name, columns["group"], "group")
        places = whole(self.name, look_up(self.name, columns, self.place), self.place)
        over = any_of(self.name, columns, self.ends)
        values, outcomes = torch.full_like(inner, math.nan), torch.full_like(inner, math.nan)
        told = [""] * len(inner)
        for group in groups.unique().tolist():
            rows = (groups == group).nonzero().flatten()
            rows = rows[places[rows].argsort()]
            if (places[rows].diff() != 1).any():
                raise RewardError(
                    f"reward {self.name!r}: episode {group} has the places {places[rows].tolist()}; credit needs each "
                    "step once, without gaps"
                )
            if not over[rows[-1]]:
                for row in rows.tolist():
                    told[row] = "the end of the episode is not in the batch"
                continue
            outcomes[rows] = inner[rows[-1]]
            values[rows] = transform_functional.discounted_credit(inner[rows[-1]], len(rows), self.gamma)
        parts = {**output.parts, "outcome": outcomes.float()}
        return RewardOutput(values.float(), parts, explained(output, told))


class StepPenalty(Reward):
    r""":math:`-\min(c \max(n - n_0, 0), c_{max})`: each step beyond the free ones costs.

    Range [−c_max, 0], higher is better; never NaN. TeaRAG (IP-DPO) ranks trajectories by what they found less a
    penalty for their steps; known from its abstract, this form is ours. The cap keeps a right answer after many steps
    above a wrong one after none, as long as c_max is less than being right pays.

    Args:
        each: c.
        free: n_0.
        most: c_max.
        column: numbers of steps, or a list of the steps themselves a row.
        name: the part's name.

    Raises:
        RewardError: a setting that cannot be; at a call, a number of steps below 0 or none at all.
    """

    def __init__(
        self, each: float = 0.1, free: float = 0.0, most: float = 1.0, column: str = "steps", name: str = "steps"
    ) -> None:
        if not (0 < each < math.inf and 0 <= free < math.inf and 0 < most < math.inf):
            raise RewardError(f"reward {name!r}: each {each} and most {most} must be above 0, free {free} 0 or more")
        self.each, self.free, self.most, self.column, self.name = each, free, most, column, name
        self.needs = (column,)
        self.bounds = (-most, 0.0)

    def score(self, **columns: Any) -> RewardOutput:
        """Count each row's steps; see `Reward.score`."""
        steps = [self._number(entry, row) for row, entry in enumerate(columns[self.column])]
        counted = torch.tensor(steps, dtype=torch.float64)
        values = transform_functional.step_penalty(counted, self.each, self.free, self.most)
        return RewardOutput(values.float() + 0.0, {"count": counted.float()})

    def _number(self, entry: Any, row: int) -> float:
        rows = row_count(entry)
        try:
            number = float(entry if rows is None else rows)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise RewardError(
                f"reward {self.name!r}: {self.column!r} of row {row} is {reprlib.repr(entry)}; it must be a number of "
                "steps or a list"
            )
        return number


class Scheduled(Transform):
    r""":math:`w(t)\,r`: a weight that changes with the trainer's step.

    Range: from the inner bounds and all that w takes; direction and NaN as before. Needs `step`, which trl's adapter
    takes from `trainer_state`; an evaluation says itself of which step it speaks. The weight is a pure function of the
    step, so that a resumed run needs no state. ToolRL (arXiv 2504.13958) pays for format first and for content later:
    `configs/rewards/toolrl-schedule.yaml`.

    In GDPO, which normalises each part by itself, a scheduled weight cancels out: give trl the sum there instead.

    Args:
        inner: the reward.
        schedule: w, as `common.schedule.read_schedule` reads it: a number, `[start step, start, end, end step, …]`, or
            `{kind: cosine, points: [[step, value], …]}`.
        name: own name; the inner reward's by default.

    Raises:
        UsageError: it is no schedule.
    """

    def __init__(self, inner: Reward, schedule: Any, name: str | None = None) -> None:
        super().__init__(inner, name)
        self.weight = read_schedule(schedule, f"the schedule of {self.name!r}")
        self.needs = tuple(dict.fromkeys((*inner.needs, "step")))
        ends = [end * value for end in inner.bounds for value in self.weight.bounds]
        self.bounds = (min(ends), max(ends))

    def score(self, **columns: Any) -> RewardOutput:
        """Score, then weigh; see `Reward.score`."""
        output = self.inner(**columns)
        weights = self._weights(columns["step"]).to(output.values)
        return RewardOutput(output.values * weights, output.parts, output.info)

    def _weights(self, step: Any) -> Tensor:
        """A weight for the batch, or `(B,)` where each row has its own step."""
        steps = [step] if row_count(step) is None else step
        found = torch.tensor([self.weight(float(one)) for one in steps], dtype=torch.float64)
        return found[0] if row_count(step) is None else found
