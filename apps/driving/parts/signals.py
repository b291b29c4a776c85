"""What the driving rewards share: reading the `state` column, and whose fault a number is that is none."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.errors import MissingColumn, RewardError
from common.rewards.base import Reward, RewardOutput

#: Entries of `state` that say how a step ended.
ENDS = ("terminated", "success", "collision")


def read(reward: str, state: Mapping[str, Any], names: Sequence[str]) -> dict[str, Tensor]:
    """The named entries of a `state` column as `(B,)` float64, so that a value does not depend on its neighbours.

    Raises:
        MissingColumn: an entry is not there.
        RewardError: an entry is no `(B,)` tensor.
    """
    found = {}
    for name in names:
        if name not in state:
            raise MissingColumn(reward, f"state.{name}", sorted(state))
        entry = torch.as_tensor(state[name])
        if entry.ndim != 1:
            raise RewardError(f"reward {reward!r}: state.{name} has shape {tuple(entry.shape)}; it must be (B,)")
        found[name] = entry.detach().double().cpu()
    return found


def missing(signals: Mapping[str, Tensor]) -> tuple[Tensor, list[str]]:
    """Rows in which an entry is NaN (the simulator's fault), `(B,)` bool, and the reason of each."""
    size = len(next(iter(signals.values())))
    lost, reasons = torch.zeros(size, dtype=torch.bool), [""] * size
    for name, entry in signals.items():
        for row in entry.isnan().nonzero().flatten().tolist():
            lost[row] = True
            reasons[row] = reasons[row] or f"state.{name} is not a number"
    return lost, reasons


class StateReward(Reward):
    """A reward of the `state` column alone: subclasses name the entries in `reads` and say what they are worth.

    Entries in `welcome` are read where the environment has them.

    A row of which an entry is NaN is NaN with a reason (the simulator's fault); an absent entry raises (the caller's).
    Infinite entries are allowed: a car infinitely far from its lane scores like one far away.
    """

    reads: tuple[str, ...]
    welcome: tuple[str, ...] = ()

    def __init__(self, name: str, bounds: tuple[float, float]) -> None:
        self.name = name
        self.bounds = bounds
        self.needs = ("state",)

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        state = columns["state"]
        signals = read(self.name, state, (*self.reads, *(name for name in self.welcome if name in state)))
        lost, reasons = missing(signals)
        values, parts = self.worth(signals)
        values = torch.where(lost, torch.nan, values)
        return RewardOutput(values.float(), {name: part.float() for name, part in parts.items()}, {"reason": reasons})

    @abstractmethod
    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Values `(B,)` and parts of rows whose entries are float64."""
