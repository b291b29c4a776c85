from __future__ import annotations

import itertools
import math
import threading
from typing import Any

import pytest
import torch
from torch import nn

from common.errors import RewardError
from common.rewards import check_reward
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import Gate, WeightedSum
from common.rewards.text import EncoderSimilarity, ExactMatch, TemplateFormat, TokenF1
from tests.common.rewards.toy import Column, Differentiable, batch

BATCH = {
    "completion": ["<answer>red</answer>", "blue sky", "a dog", "the cat sat", "nothing"],
    "reference": ["red", "blue sea", "a dog", "the cat sat down", "everything"],
}


@pytest.mark.parametrize(
    "reward",
    [
        ExactMatch(),
        TokenF1(),
        EncoderSimilarity("hash"),
        0.5 * TokenF1() + 0.25 * TemplateFormat(["answer"]) + 0.25 * ExactMatch(),
        TokenF1() * EncoderSimilarity("hash"),
        Gate(TokenF1(), EncoderSimilarity("hash"), 0.5),
    ],
    ids=lambda one: one.name,
)
def test_sound_rewards_pass(reward: Reward) -> None:
    check_reward(reward, BATCH)


def test_rows_that_cannot_be_scored_pass_as_long_as_some_can() -> None:
    check_reward(TokenF1(), {**BATCH, "reference": ["red", "", "a dog", "the cat", "x"]})


def test_a_gradient_passes() -> None:
    check_reward(Differentiable(), {"x": torch.randn(4, 3)})


class Leaf(Reward):
    """Scores by length; each subclass breaks one rule."""

    name = "leaf"

    def score(self, **columns: Any) -> RewardOutput:
        return self.output([min(len(text), 100) / 100 for text in columns["completion"]])

    @staticmethod
    def output(values: list[float], **fields: Any) -> RewardOutput:
        return RewardOutput(torch.tensor(values), **fields)


class OutOfBounds(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        return self.output([1.5 * len(text) / 20 for text in columns["completion"]])


class Infinite(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        return self.output([math.inf for _ in columns["completion"]])


class NormalisedOverBatch(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        lengths = torch.tensor([float(len(text)) for text in columns["completion"]])
        return RewardOutput(lengths / lengths.max())


class OrderDependent(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        return self.output([row / 100 for row in range(len(columns["completion"]))])


class Fickle(Leaf):
    numbers = itertools.count()

    def score(self, **columns: Any) -> RewardOutput:
        return self.output([next(self.numbers) % 7 / 7 for _ in columns["completion"]])


class PolicyFaultAsNan(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        return self.output([0.5 if text.strip() else math.nan for text in columns["completion"]])


class PolicyFaultRaises(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        return self.output([1 / len(text) for text in columns["completion"]])


class AllNan(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        size = len(columns["completion"])
        return self.output([math.nan] * size, info={"reason": ["the judge is down"] * size})


class ChangingParts(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        output = super().score(**columns)
        return RewardOutput(output.values, {"long": output.values} if len(columns["completion"]) > 1 else {})


class ChangesColumns(Leaf):
    def score(self, **columns: Any) -> RewardOutput:
        output = super().score(**columns)
        columns["completion"][0] += "!"
        return output


class Locked(Leaf):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Forgetful(Leaf):
    def __init__(self) -> None:
        self.scale = 0.5

    def __getstate__(self) -> dict[str, Any]:
        return {"scale": 1.0}

    def score(self, **columns: Any) -> RewardOutput:
        return self.output([self.scale for _ in columns["completion"]])


class NoGradient(Leaf):
    needs = ("x",)
    differentiable = True

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(columns["x"].detach().sigmoid().mean(-1))


class FlatGradient(NoGradient):
    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(columns["x"].clamp(5.0, 6.0).mean(-1) / 10)


class NotFiniteGradient(NoGradient):
    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput((columns["x"] * 0).sum(-1).sqrt())


class SkipsChecks(Leaf):
    needs = ("completion", "reference")

    def __call__(self, **columns: Any) -> RewardOutput:
        return self.score(completion=columns.get("completion", [""] * 5))


@pytest.mark.parametrize(
    ("reward", "complaint"),
    [
        (OutOfBounds(), "outside its bounds"),
        (Infinite(), "row 0 .* inf, outside"),
        (NormalisedOverBatch(), "row 2 alone: row 2 scores 0.25 and then 1. Score each row by itself"),
        (OrderDependent(), "another order"),
        (Fickle(), "scored twice"),
        (PolicyFaultAsNan(), "NaN is for the grader"),
        (PolicyFaultRaises(), "broken completions it raised ZeroDivisionError"),
        (AllNan(), "the judge is down"),
        (ChangingParts(), "same parts for every batch"),
        (ChangesColumns(), "changes the columns"),
        (Locked(), "does not pickle"),
        (Forgetful(), "after pickling"),
        (SkipsChecks(), "does not miss its column"),
        (nn.Linear(1, 1), "nn.Module"),
        (len, "not a common.rewards.Reward"),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else "",
)
def test_it_explains_what_is_wrong(reward: Any, complaint: str) -> None:
    with pytest.raises(RewardError, match=complaint):
        check_reward(reward, {name: list(column) for name, column in BATCH.items()})


@pytest.mark.parametrize(
    ("reward", "complaint"),
    [(NoGradient(), "no gradient"), (FlatGradient(), "0 everywhere"), (NotFiniteGradient(), "not finite")],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else "",
)
def test_it_checks_a_declared_gradient(reward: Reward, complaint: str) -> None:
    with pytest.raises(RewardError, match=complaint):
        check_reward(reward, {"x": torch.randn(4, 3).clamp(-2, 2)})


def test_a_part_out_of_bounds_is_named_even_where_the_sum_is_within() -> None:
    reward = WeightedSum({"good": (Column("a"), 1.0), "wild": (Column("b"), 0.1)})
    with pytest.raises(RewardError, match=r"sum\.wild"):
        check_reward(reward, batch(a=[0.0, 0.5], b=[1.5, 0.5]))


class Ranked(NormalisedOverBatch):
    needs = ("completion", "group")


def test_rewards_of_groups_may_look_at_other_rows() -> None:
    check_reward(Ranked(), {"completion": ["a", "bb", "ccc"], "group": torch.zeros(3)})


def test_an_empty_or_single_row_cannot_be_checked() -> None:
    with pytest.raises(RewardError, match="two rows"):
        check_reward(ExactMatch(), {"completion": ["x"], "reference": ["x"]})
