"""The prompts of a training."""

from __future__ import annotations

from apps.text3d.measures.prompt_sets import read_prompts
from apps.text3d.pocket.prompts import prompts
from apps.text3d.train_config import TrainConfig
from common.errors import UsageError


def prompt_set(config: TrainConfig, seed: int) -> list[str]:
    """The texts, in the order in which they are made, each once.

    Of the pocket world's levels one prompt after another is drawn, so that the first few already are of all kinds.

    Args:
        config: where they come from.
        seed: of those that are drawn; a file has none.

    Raises:
        UsageError: none are asked for, or the pocket world has not so many.
        DataError: the file cannot be read, or holds none.
    """
    if config.prompts:
        return read_prompts(config.prompts)
    if config.count < 1 or not config.levels:
        raise UsageError("train.count must be 1 or more, and train.levels name one at least")
    rounds = -(-config.count // len(config.levels))
    each = {
        level: prompts(config.split, rounds * config.levels.count(level), seed, level)
        for level in dict.fromkeys(config.levels)
    }
    return [each[level].pop(0).text for _ in range(rounds) for level in config.levels][: config.count]
