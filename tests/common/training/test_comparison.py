"""Comparisons: the runs of a reward that stands in the recipe's place bear its name and keep it."""

from __future__ import annotations

from typing import Any

from apps.text2sql.config import Text2SqlConfig
from common.training.comparison import run_all


def test_seeds_of_an_own_reward_are_called_after_it(tmp_path):
    config = Text2SqlConfig()
    config.reward.own, config.comparison.seeds = {"name": "mine.rewards:kind"}, [3, 4]
    begun: list[str] = []

    def train(own: Text2SqlConfig, name: str, *_: Any) -> int:
        begun.append(name)
        assert own.reward.own == config.reward.own
        return own.seed

    found = run_all(config, tmp_path, "apps.text2sql", train)
    assert found == {("mine.rewards:kind", 3): 3, ("mine.rewards:kind", 4): 4}
    assert begun == ["mine.rewards.kind-seed3", "mine.rewards.kind-seed4"]
