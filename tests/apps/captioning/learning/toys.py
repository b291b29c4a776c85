"""Small rewards, pictures and learners for the tests of the reinforcement."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from apps.captioning.learning.naturalness import Naturalness
from apps.captioning.learning.reinforce import Material, Reinforcer
from apps.captioning.model_config import DiscriminatorConfig
from apps.captioning.train_config import RlConfig
from common.rewards.base import Reward, RewardOutput
from tests.apps.captioning.tiny import new_tiny_captioner
from tests.apps.captioning.tiny_models import sentences

TOKENS = 10
CORPUS = sentences(20)


class Vowels(Reward):
    """Share of the letters a, e, i in a caption. Range [0, 1].

    Args:
        at: the call at which something is done.
        act: what.
    """

    name = "vowels"

    def __init__(self, at: int = 0, act: Callable[[], None] = lambda: None) -> None:
        self.calls, self.at, self.act = 0, at, act

    def score(self, **columns: Any) -> RewardOutput:
        self.calls += 1
        if self.calls == self.at:
            self.act()
        texts = columns["completion"]
        return RewardOutput(torch.tensor([sum(map(text.count, "aei")) / max(1, len(text)) for text in texts]))


class Unscored(Vowels):
    """Cannot score the first `count` rows."""

    name = "unscored"

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def score(self, **columns: Any) -> RewardOutput:
        values = super().score(**columns).values
        values[: self.count] = math.nan
        return RewardOutput(values)


def features(count: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


def material(pictures: int = 12, corpus: int = 20) -> Material:
    return Material(features(pictures), {}, CORPUS[:corpus], features(corpus, 1))


def config(**changes: Any) -> RlConfig:
    usual = {"steps": 8, "pictures_per_step": 3, "samples": 4, "learning_rate": 1e-3, "warmup": 1}
    return RlConfig(**{**usual, **changes})


def learner(
    rewards: Any = None,
    judge: Naturalness | None = None,
    data: Material | None = None,
    **changes: Any,
):
    paid = {"vowels": (Vowels(), 1.0)} if rewards is None else rewards
    one = new_tiny_captioner()
    return Reinforcer(one, config(**changes), paid, data or material(), TOKENS, 0, judge)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def new_judge(folder, **settings: Any) -> Naturalness:
    torch.manual_seed(3)
    return Naturalness(DiscriminatorConfig(str(folder), **{"learning_rate": 2e-3, **settings}), "cpu")
