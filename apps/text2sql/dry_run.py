"""`train --dry_run`: what a recipe would do, checked without weights, training or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import Example, load_examples
from common.training import dry_run
from common.training.dry_run import Check, show

__all__ = ["Check", "check", "show"]


def check(config: Text2SqlConfig) -> list[Check]:
    """Look at the data, the model (on the meta device), the batch arithmetic and the reward."""

    @cache
    def read(name: str) -> list[Example]:
        return load_examples(getattr(config, name))

    return dry_run.checks(
        (
            ("training data", lambda: _data(read("train"))),
            ("held-out data", lambda: _data(read("heldout"))),
            ("no overlap", lambda: _overlap(read("train"), read("heldout"))),
            ("prompt", lambda: _prompt(read("train")[0], config)),
            ("model", lambda: dry_run.model(config.model)),
            ("batches", lambda: dry_run.batches(config.sft, config.grpo)),
            ("reward", lambda: _reward(config)),
            ("run folder", lambda: dry_run.folder(config.runs)),
        )
    )


def _data(examples: Sequence[Example]) -> str:
    languages = sorted({example.language for example in examples})
    databases = {example.path for example in examples}
    return f"{len(examples):,} questions, {len(databases)} databases, {', '.join(languages)}"


def _overlap(train: Sequence[Example], heldout: Sequence[Example]) -> str:
    from apps.text2sql.train import refuse_overlap

    refuse_overlap(train, heldout)
    return "no query of a database is both trained on and held out"


def _prompt(example: Example, config: Text2SqlConfig) -> str:
    from apps.text2sql.prompts import messages

    message = messages(example, config.prompt)[-1]["content"]
    return f"style {config.prompt.style}, the first one has {len(message):,} characters"


def _reward(config: Text2SqlConfig) -> str:
    from apps.text2sql.rewards import build_reward

    reward = build_reward(config.reward)
    return f"{config.reward.title}, between {reward.bounds[0]:g} and {reward.bounds[1]:g}"
