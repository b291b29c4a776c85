"""`train --dry_run`: what a recipe would do, checked without weights, training or a GPU."""

from __future__ import annotations

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data_config import DataConfig
from common.training import dry_run
from common.training.dry_run import Check, NotChecked, show

__all__ = ["Check", "check", "show"]


def check(config: MedVqaConfig) -> list[Check]:
    """Look at the data, the model (on the meta device), the batch arithmetic and the reward."""
    taught = [("demonstrations", lambda: _data(config.demonstrations))] if config.sft.steps else []
    return dry_run.checks(
        (
            *taught,
            ("training data", lambda: _data(config.train)),
            ("held-out data", lambda: _data(config.heldout)),
            ("no overlap", lambda: _overlap(config)),
            ("prompt", lambda: _prompt(config)),
            ("model", lambda: dry_run.model(config.model, sees=True)),
            ("batches", lambda: dry_run.batches(config.sft, config.grpo)),
            ("reward", lambda: _reward(config)),
            ("run folder", lambda: dry_run.folder(config.runs)),
        )
    )


def _data(data: DataConfig) -> str:
    from pathlib import Path

    from apps.medvqa.data import load_examples

    if data.path and not Path(data.path).expanduser().exists():
        raise NotChecked(f"{data.path}: not on this machine; put the data set there, or set its path")
    examples = load_examples(data)
    closed = sum(example.kind == "closed" for example in examples)
    pictures = len({str(picture) for example in examples for picture in example.pictures})
    return f"{len(examples):,} questions ({closed:,} closed), {pictures:,} pictures"


def _overlap(config: MedVqaConfig) -> str:
    from apps.medvqa.data import load_examples
    from apps.medvqa.train import refuse_overlap

    refuse_overlap(load_examples(config.train), load_examples(config.heldout))
    return "no study is both trained on and held out"


def _prompt(config: MedVqaConfig) -> str:
    from apps.medvqa.data import load_examples
    from apps.medvqa.prompts import messages

    turns = messages(load_examples(config.train)[0], config.prompt.style)
    return f"style {config.prompt.style}, {len(turns)} turns, {sum(len(one['content']) for one in turns):,} characters"


def _reward(config: MedVqaConfig) -> str:
    from apps.medvqa.rewards import build_reward

    reward = build_reward(config.reward)
    return f"recipe {config.reward.recipe}, between {reward.bounds[0]:g} and {reward.bounds[1]:g}"
