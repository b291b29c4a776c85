"""Rewards small enough that a test can say what they must do."""

from __future__ import annotations

from typing import Any

import torch

from common.rewards.base import Reward, RewardOutput


class Column(Reward):
    """The numbers of a column, NaN included; counts its calls and rows."""

    def __init__(
        self,
        column: str = "a",
        name: str | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        texts: bool = False,
        detail: bool = False,
    ) -> None:
        self.column = column
        self.name = name or column
        self.needs = ("completion", column)
        self.bounds = bounds
        self.texts = texts
        self.detail = detail
        self.part_names = ("half",) if detail else ()
        self.calls: list[int] = []

    def score(self, **columns: Any) -> RewardOutput:
        values = torch.tensor([float(one) for one in columns[self.column]])
        self.calls.append(len(values))
        info = {"reason": ["no grade" if one != one else "" for one in values.tolist()]} if self.texts else {}
        return RewardOutput(values, {"half": values / 2} if self.detail else {}, info)


class Differentiable(Reward):
    """Mean of a row of `x`, squashed: gradient flows."""

    name = "squashed"
    needs = ("x",)
    differentiable = True

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(torch.sigmoid(columns["x"].mean(-1)))


def batch(**columns: list[float]) -> dict[str, Any]:
    size = len(next(iter(columns.values())))
    return {"completion": [f"text {row}" for row in range(size)], **columns}
