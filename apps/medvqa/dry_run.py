"""`train --dry_run`: what a recipe would do, checked without weights, training or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import Example
from apps.medvqa.data_config import DataConfig
from common.training import dry_run
from common.training.dry_run import Check, NotChecked, show

__all__ = ["Check", "check", "show"]


def check(config: MedVqaConfig) -> list[Check]:
    """Look at the data, the model (on the meta device), the batch arithmetic and the reward."""

    @cache
    def read(name: str) -> list[Example]:
        return _read(getattr(config, name))

    taught = [("demonstrations", lambda: _data(read("demonstrations")))] if config.sft.steps else []
    return dry_run.checks(
        (
            *taught,
            ("training data", lambda: _data(read("train"))),
            ("held-out data", lambda: _data(read("heldout"))),
            ("no overlap", lambda: _overlap(read("train"), read("heldout"))),
            ("prompt", lambda: _prompt(read("train")[0], config)),
            ("model", lambda: dry_run.model(config.model, sees=True)),
            ("batches", lambda: dry_run.batches(config.sft, config.grpo)),
            ("reward", lambda: _reward(config)),
            ("run folder", lambda: dry_run.folder(config.runs)),
        )
    )


def _read(data: DataConfig) -> list[Example]:
    from pathlib import Path

    from apps.medvqa.data import load_examples

    if data.path and not Path(data.path).expanduser().exists():
        raise NotChecked(f"{data.path}: not on this machine; put the data set there, or set its path")
    return load_examples(data)


def _data(examples: Sequence[Example]) -> str:
    closed = sum(example.kind == "closed" for example in examples)
    pictures = len({str(picture) for example in examples for picture in example.pictures})
    return f"{len(examples):,} questions ({closed:,} closed), {pictures:,} pictures"


def _overlap(train: Sequence[Example], heldout: Sequence[Example]) -> str:
    from apps.medvqa.train import refuse_overlap

    refuse_overlap(train, heldout)
    return "no study is both trained on and held out"


def _prompt(example: Example, config: MedVqaConfig) -> str:
    from apps.medvqa.prompts import messages

    turns = messages(example, config.prompt.style)
    return f"style {config.prompt.style}, {len(turns)} turns, {sum(len(one['content']) for one in turns):,} characters"


def _reward(config: MedVqaConfig) -> str:
    from apps.medvqa.rewards import build_reward

    reward = build_reward(config.reward)
    return f"{config.reward.title}, between {reward.bounds[0]:g} and {reward.bounds[1]:g}"
