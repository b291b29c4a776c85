"""Rewards that ask several times: several graders, several pieces of one row, or a second completion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from common.errors import MissingColumn, RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput, nan_like, row_count, take_rows
from common.rewards.compose import Composite, by_name, merge, stacked
from common.rewards.transforms import Transform
from common.rewards.transforms import functional as transform_functional


class Ensemble(Composite):
    r""":math:`\bar r - \kappa\,s` of graders of one thing: their mean, or less where they disagree (κ above 0).

    Range: the members' common bounds (what κ would push below is cut there); higher is better. NaN where fewer than
    `least` members scored. BaseReward (arXiv 2509.16127) finds the plain mean of two backbones about as good as tuned
    weights; pessimism by the deviation is the usual guard against over-optimising one of them.

    A missing member is never counted as 0. It may be left out of a mean, but a row that one grader did not see has a
    smaller deviation for no merit of its own; so by default all must have scored it where κ is above 0.

    Args:
        members: by name, or in a row and named after themselves; all with the same bounds.
        kappa: κ.
        least: members that must have scored a row; 1 at κ = 0 and all of them otherwise where not given.
        name: the ensemble's own name.

    Raises:
        RewardError: members of different bounds, κ below 0, or a `least` that no row can reach.
    """

    def __init__(
        self,
        members: Mapping[str, Reward] | Sequence[Reward],
        kappa: float = 0.0,
        least: int | None = None,
        name: str = "ensemble",
    ) -> None:
        if not isinstance(members, Mapping):
            members = {one: reward for one, (reward, _) in by_name((reward, 1.0) for reward in members).items()}
        super().__init__(members, name)
        if not 0 <= kappa < math.inf:
            raise RewardError(
                f"reward {name!r}: kappa {kappa} must be 0 or more; below 0 it would pay for disagreement"
            )
        if len({child.bounds for child in members.values()}) > 1:
            raise RewardError(
                f"reward {name!r}: members have the bounds {[child.bounds for child in members.values()]}; bring them "
                "to one scale first, for instance with Rescale, or the widest decides alone"
            )
        self.kappa = kappa
        self.least = (len(members) if kappa else 1) if least is None else least
        if not 1 <= self.least <= len(members):
            raise RewardError(f"reward {name!r}: least {self.least} must lie between 1 and {len(members)} members")
        self.bounds = next(iter(members.values())).bounds

    def score(self, **columns: Any) -> RewardOutput:
        """Ask every member; see `Reward.score`."""
        outputs = {name: child(**columns) for name, child in self.children.items()}
        values = transform_functional.ensemble(stacked(outputs.values()), self.kappa, self.least)
        return merge(values.clamp(*self.bounds).float(), outputs)


class MixedGrain(Composite):
    r""":math:`R_{whole} + \lambda\,\mathrm{reduce}_j R_{item}(j)`: a whole and its items (PageLLM's page and results).

    A scene and its objects, a sentence and its phrases, a query and its clauses. Range: that of the sum of both
    bounds; higher is better. An item that could not be scored is left out of `reduce`, not counted as 0. A row without
    items, or without one that could be scored, has no item value; then, as in `WeightedSum`, it stands where its other
    part stands, and only a row without both is NaN. PageLLM's weights and `reduce` are not known; this form is
    inspired by it.

    Parts: `whole`, `items` (the reduced value), `count` (items scored) and the whole's own parts.

    Args:
        whole: scores the row.
        item: scores one item; it sees the row's columns, with those of `columns` replaced by the item's own entries.
        columns: by name of the item reward's column, the row's column that holds a list of items; lists of one row are
            equally long.
        item_weight: λ, above 0.
        reduce: "mean", or "min" for the weakest item.
        name: the reward's own name.

    Raises:
        RewardError: a setting that cannot be; at a call, lists of one row that differ in length.
    """

    def __init__(
        self,
        whole: Reward,
        item: Reward,
        columns: Mapping[str, str],
        item_weight: float = 1.0,
        reduce: Literal["mean", "min"] = "mean",
        name: str = "mixed_grain",
    ) -> None:
        super().__init__({"whole": whole, "item": item}, name)
        if not columns or not 0 < item_weight < math.inf or reduce not in ("mean", "min"):
            raise RewardError(
                f"reward {name!r}: columns {dict(columns)} must name a list of items, item_weight "
                f"{item_weight} be above 0, and reduce {reduce!r} be mean or min"
            )
        if "group" in item.needs:
            raise RewardError(
                f"reward {name!r}: the item reward {item.name!r} compares rows of a group; items are none"
            )
        self.columns, self.item_weight, self.reduce = dict(columns), item_weight, reduce
        inherited = (column for column in item.needs if column not in columns)
        self.needs = tuple(dict.fromkeys((*whole.needs, *columns.values(), *inherited)))
        self.bounds = (
            whole.bounds[0] + item_weight * item.bounds[0],
            whole.bounds[1] + item_weight * item.bounds[1],
        )
        self.part_names = ("whole", *(f"whole.{part}" for part in whole.part_names), "items", "count")

    def score(self, **columns: Any) -> RewardOutput:
        """Score the rows, then all their items at once; see `Reward.score`."""
        whole = self.children["whole"](**columns)
        items, count = self._items(columns, self.batch_size(columns))
        weights = torch.tensor([1.0, self.item_weight], dtype=torch.float64)
        limits = torch.tensor([child.bounds for child in self.children.values()], dtype=torch.float64)
        values = functional.weighted_sum(torch.stack([whole.values.double().cpu(), items]), weights, limits)
        merged = merge(values.float(), {"whole": whole})
        return RewardOutput(merged.values, {**merged.parts, "items": items.float(), "count": count}, merged.info)

    def _items(self, columns: Mapping[str, Any], size: int) -> tuple[Tensor, Tensor]:
        """`(B,)` reduced item values and numbers of scored items."""
        owners: list[int] = []
        listed = [columns[source] for source in self.columns.values()]
        for row in range(size):
            lengths = {
                source: row_count(column[row]) for source, column in zip(self.columns.values(), listed, strict=True)
            }
            if None in lengths.values() or len(set(lengths.values())) > 1:
                raise RewardError(
                    f"reward {self.name!r}: row {row} has the item counts {lengths}; each column must hold a list, "
                    "and the lists of one row be equally long"
                )
            owners += [row] * (next(iter(lengths.values())) or 0)
        if not owners:
            return nan_like(size).double(), torch.zeros(size)
        own = {target: [one for row in columns[source] for one in row] for target, source in self.columns.items()}
        scored = self.children["item"](**{**take_rows(columns, owners, size), **own}).values.double().cpu()
        at = torch.tensor(owners)
        known = ~scored.isnan()
        count = torch.zeros(size, dtype=torch.float64).index_add(0, at[known], torch.ones_like(scored[known]))
        if self.reduce == "min":
            least = torch.full((size,), math.inf, dtype=torch.float64)
            reduced = least.scatter_reduce(0, at[known], scored[known], "amin")
        else:
            total = torch.zeros(size, dtype=torch.float64).index_add(0, at[known], scored[known])
            reduced = total / count.clamp(min=1)
        return torch.where(count > 0, reduced, math.nan), count.float()


class Baseline(Transform):
    r""":math:`r(\hat y) - r(\hat y^g)`, with :math:`\hat y^g` the policy's own greedy completion (self-critical,
    SCST).

    Range [low − high, high − low] of the inner bounds; higher is better, 0 as good as the greedy one. NaN where either
    could not be scored: an outage at the greedy completion is no merit of the sample. Where the trainer subtracts a
    group's mean (GRPO, RLOO) the baseline is a constant of the group and changes nothing; it is for plain REINFORCE,
    as in self-critical question generation. The captioning app trains so by its own `advantages`. Source: Rennie et
    al. 2017 (arXiv 1612.00563), eq. 7; of the question paper the idea only.

    Part: `greedy`, the baseline. Both completions are scored; `Cached` saves the greedy one for all samples of a
    prompt.

    Args:
        inner: r, of the column `completion`.
        greedy: column of the greedy completions.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: the inner reward does not read completions, or compares rows of a group.
    """

    def __init__(self, inner: Reward, greedy: str = "greedy", name: str | None = None) -> None:
        super().__init__(inner, name)
        if "completion" not in inner.needs or "group" in inner.needs:
            raise RewardError(
                f"reward {self.name!r}: {inner.name!r} must score completions one by one to have a greedy baseline"
            )
        self.greedy = greedy
        self.needs = tuple(dict.fromkeys((*inner.needs, greedy)))
        low, high = inner.bounds
        self.bounds = (low - high, high - low)
        self.part_names = ("greedy", *inner.part_names)

    def score(self, **columns: Any) -> RewardOutput:
        """Score the samples and the greedy completions; see `Reward.score`."""
        if self.greedy not in columns:
            raise MissingColumn(self.name, self.greedy, sorted(columns))
        sample = self.inner(**columns)
        # A baseline has no gradient.
        greedy = self.inner(**{**columns, "completion": columns[self.greedy]}).values.detach()
        return RewardOutput(sample.values - greedy, {**sample.parts, "greedy": greedy}, sample.info)
