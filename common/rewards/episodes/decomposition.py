"""Return decomposition over factors (LaRe, arXiv 2412.11120): a dense reward that adds up to a sparse return.

LaRe has a language model write the factors and runs its code; here they are a function that somebody wrote by hand.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.episodes.key_model import initialise
from common.rewards.episodes.memory import Episodes, any_of, look_up, whole
from common.rewards.transforms.basic import Transform, explained


def rrd_loss(drawn: Tensor, known: Tensor, totals: Tensor, lengths: Tensor, unbiased: bool = True) -> Tensor:
    r"""Randomised return decomposition (Ren et al., arXiv 2111.13485), per step, mean over episodes.

    .. math:: L = \Bigl(\frac{R}{T} - \frac1K \sum_k f_k\Bigr)^2 -
        \frac1K \Bigl(1 - \frac KT\Bigr) \mathrm{Var}_K(f)

    with K of an episode's T steps drawn without replacement. The second term takes out what the drawing adds, so that
    the expectation is :math:`(R / T - \bar f)^2`; the variance is the sample's, with K − 1. It is 0 where all steps
    are drawn (K = T, and so T = 1).

    Args:
        drawn: `(E, K)` f of the drawn steps, anything where `known` is false.
        known: `(E, K)` bool; an episode of less than K steps has fewer.
        totals: `(E,)` R.
        lengths: `(E,)` T, at least 1.
        unbiased: subtract the second term.

    Returns:
        A scalar.
    """
    count = known.sum(1).clamp(min=1)
    values = torch.where(known, drawn, 0.0)
    mean = values.sum(1) / count
    loss = (totals / lengths - mean).square()
    if unbiased:
        spread = torch.where(known, drawn - mean[:, None], 0.0).square().sum(1) / (count - 1).clamp(min=1)
        loss = loss - (1 - count / lengths).clamp(min=0) / count * spread
    return loss.mean()


class ReturnDecomposition(Transform):
    r"""A dense reward :math:`f_\psi(\phi(s_t))` whose sum over an episode is near the sum of the inner reward.

    φ are the factors of a row, f a small network that learns by `rrd_loss` from whole episodes. Meant for inner
    rewards that come at the end. Until `warmup` episodes are known the value is the inner reward's own. Range:
    ±`limit` and the inner bounds; higher is better. Parts: `true` (the inner reward), `decoded` (f, before the limit;
    NaN before the warm-up) and the inner parts.

    A row whose factors, or whose inner reward before the warm-up, are no number is NaN; an episode with such a row, or
    of which the beginning was not seen, is not learnt from, and counted in `skipped`.

    Learns only where a `step` column says which training step it is, from the episodes that ended in the steps before.

    Args:
        inner: the reward whose return is decomposed.
        factors: `(B, size)` of a column; a pure function that pickles.
        size: factors.
        column: column that factors are made of.
        place: column of a row's place in its episode, from 0 or 1 on.
        ends: columns of which one is above 0 in an episode's last row.
        draws: K, 2 or more.
        episodes: of one gradient step.
        updates: gradient steps in a training step in which an episode ended.
        memory: episodes learnt from, the newest.
        warmup: episodes needed.
        limit: cut of |f|; the inner bounds' greater end by default.
        hidden: units of the network's two layers; none makes it linear.
        learning_rate: Adam's.
        unbiased: see `rrd_loss`.
        seed: of weights and draws.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: a setting that cannot be.
    """

    def __init__(
        self,
        inner: Reward,
        factors: Callable[[Any], Tensor],
        size: int,
        column: str = "state",
        place: str = "state.step",
        ends: tuple[str, ...] = ("state.terminated", "state.truncated"),
        draws: int = 32,
        episodes: int = 32,
        updates: int = 50,
        memory: int = 512,
        warmup: int = 8,
        limit: float | None = None,
        hidden: int = 64,
        learning_rate: float = 3e-3,
        unbiased: bool = True,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(inner, name)
        if draws < 2 or min(size, episodes, updates, warmup) < 1 or not warmup <= memory or hidden < 0:
            raise RewardError(
                f"reward {self.name!r}: draws {draws} must be 2 or more (one draw has no variance), size {size}, "
                f"episodes {episodes}, updates {updates} and warmup {warmup} 1 or more, memory {memory} at least that"
            )
        limit = max(abs(end) for end in inner.bounds) if limit is None else limit
        if not (0 < limit < math.inf and 0 < learning_rate < math.inf):
            raise RewardError(f"reward {self.name!r}: limit {limit} and learning rate {learning_rate} must be above 0")
        self.differentiable = False
        self.factors, self.size, self.column = factors, size, column
        self.place, self.ends = place, ends
        self.draws, self.episodes, self.updates = draws, episodes, updates
        self.memory, self.warmup, self.limit = memory, warmup, limit
        self.unbiased = unbiased
        sources = (column, place.split(".")[0], *(end.split(".")[0] for end in ends))
        self.needs = tuple(dict.fromkeys((*inner.needs, *sources, "group")))
        self.bounds = (min(-limit, inner.bounds[0]), max(limit, inner.bounds[1]))
        self.part_names = ("true", "decoded", *(f"true.{one}" for one in inner.part_names))
        self.generator = torch.Generator().manual_seed(seed)
        sizes = [size, hidden, hidden] if hidden else [size]
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        initialise(self.net, self.generator)
        self.optimiser = torch.optim.Adam(self.net.parameters(), learning_rate)
        self.under_way = Episodes()
        self.known: OrderedDict[int, Tensor] = OrderedDict()
        self.ended: dict[int, Tensor] = {}
        self.scale = math.nan
        self.skipped = 0
        self.loss = math.nan
        self.step = -1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "generator": self.generator.get_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.generator = torch.Generator()
        self.generator.set_state(state["generator"])

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        step = columns.get("step")
        if step is not None:
            self._begin(int(step))
        rows = self.factors(columns[self.column]).detach().float().cpu()
        outer = self.inner(**columns)
        true = outer.values.detach().float().cpu()
        if rows.shape != (len(true), self.size):
            raise RewardError(
                f"reward {self.name!r}: the factors have shape {tuple(rows.shape)}, not ({len(true)}, {self.size})"
            )
        if step is not None:
            self._note(columns, torch.cat([rows, true[:, None]], 1))
        decoded = self._decoded(rows) if self.ready else torch.full_like(true, math.nan)
        values = decoded.clamp(-self.limit, self.limit) if self.ready else true
        told = ["" if known else "the factors are no number" for known in rows.isfinite().all(1).tolist()]
        parts = {"true": true, "decoded": decoded} | {f"true.{one}": part for one, part in outer.parts.items()}
        # Once the network pays, a row stands or falls with its factors.
        info = {**outer.info, "reason": told} if self.ready else explained(outer, [""] * len(told))
        return RewardOutput(values, parts, {**info, "factors": told})

    @property
    def ready(self) -> bool:
        """Whether values come from the network."""
        return not math.isnan(self.scale)

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser, episodes and the step in progress, and the inner reward's state where it has one."""
        return {
            "net": {name: value.clone() for name, value in self.net.state_dict().items()},
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "under_way": self.under_way.state_dict(),
            "known": list(self.known.items()),
            "ended": dict(self.ended),
            "numbers": (self.scale, self.skipped, self.loss, self.step),
            "inner": self.inner.state_dict() if hasattr(self.inner, "state_dict") else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.under_way.load_state_dict(state["under_way"])
        self.known = OrderedDict(state["known"])
        self.ended = dict(state["ended"])
        self.scale, self.skipped, self.loss, self.step = state["numbers"]
        if state["inner"] is not None and hasattr(self.inner, "load_state_dict"):
            self.inner.load_state_dict(state["inner"])

    def _note(self, columns: Mapping[str, Any], rows: Tensor) -> None:
        groups = whole(self.name, columns["group"], "group")
        places = whole(self.name, look_up(self.name, columns, self.place), self.place)
        ends = any_of(self.name, columns, self.ends)
        for group in self.under_way.take_in(groups, places, rows, ends):
            self.ended[group] = self.under_way.rows(group) if self._complete(group) else rows.new_zeros(0)

    def _complete(self, group: int) -> bool:
        places = self.under_way.places(group)
        whole_way = places[0] <= 1 and places == list(range(places[0], places[0] + len(places)))
        return whole_way and bool(self.under_way.rows(group).isfinite().all())

    def _begin(self, step: int) -> None:
        """Learn from the episodes that ended before this step."""
        if step <= self.step:
            return
        self.step = step
        fresh = False
        for group, rows in sorted(self.ended.items()):
            self.skipped += not len(rows)
            if len(rows) and group not in self.known:
                self.known[group] = rows
                fresh = True
        self.ended.clear()
        while len(self.known) > self.memory:
            self.known.popitem(last=False)
        if not fresh or len(self.known) < self.warmup:
            return
        if not self.ready:
            # Fixed from here on: a network that learns numbers of size 1 needs no tuning to the return's.
            largest = max(abs(float(rows[:, -1].mean())) for rows in self.known.values())
            self.scale = largest if largest > 1e-6 else 1.0
        for _ in range(self.updates):
            self._learn()

    def _learn(self) -> None:
        episodes = list(self.known.values())
        chosen = [episodes[at] for at in torch.randperm(len(episodes), generator=self.generator)[: self.episodes]]
        drawn = torch.zeros(len(chosen), self.draws, self.size)
        known = torch.zeros(len(chosen), self.draws, dtype=torch.bool)
        for row, episode in enumerate(chosen):
            picks = torch.randperm(len(episode), generator=self.generator)[: self.draws]
            drawn[row, : len(picks)] = episode[picks, :-1]
            known[row, : len(picks)] = True
        totals = torch.stack([episode[:, -1].double().sum() for episode in chosen]).float() / self.scale
        lengths = torch.tensor([len(episode) for episode in chosen], dtype=torch.float32)
        with torch.enable_grad():
            loss = rrd_loss(self.net(drawn).squeeze(-1), known, totals, lengths, self.unbiased)
            self.optimiser.zero_grad()
            loss.backward()
        self.optimiser.step()
        self.loss = float(loss.detach())

    @torch.no_grad()
    def _decoded(self, rows: Tensor) -> Tensor:
        values: Tensor = self.net(rows).squeeze(-1) * self.scale
        return values
