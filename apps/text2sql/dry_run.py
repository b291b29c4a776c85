"""`train --dry_run`: what a recipe would do, checked without weights, training or a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data_config import DataConfig
from common.errors import TouchstoneError, UsageError


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked at.
        passed: whether the run could go on from there.
        detail: what was found, or what is wrong and the next step.
    """

    name: str
    passed: bool
    detail: str


def check(config: Text2SqlConfig) -> list[Check]:
    """Look at the data, the model (on the meta device), the batch arithmetic and the reward."""
    looks: tuple[tuple[str, Callable[[Text2SqlConfig], str]], ...] = (
        ("training data", lambda config: _data(config.train)),
        ("held-out data", lambda config: _data(config.heldout)),
        ("no overlap", _overlap),
        ("prompt", _prompt),
        ("model", _model),
        ("batches", _batches),
        ("reward", _reward),
        ("run folder", _folder),
    )
    return [_look(name, look, config) for name, look in looks]


def show(checks: list[Check], json_output: bool) -> int:
    """Print the checks; the exit code is 2 where one failed."""
    from common import ui

    if json_output:
        ui.print_json([vars(found) for found in checks])
    else:
        rows = [(found.name, "ok" if found.passed else "FAILED", found.detail) for found in checks]
        ui.table("Dry run", ("check", "", "found"), rows)
    return 0 if all(found.passed for found in checks) else UsageError.exit_code


def _look(name: str, look: Callable[[Text2SqlConfig], str], config: Text2SqlConfig) -> Check:
    try:
        return Check(name, True, look(config))
    except TouchstoneError as error:
        return Check(name, False, str(error))


def _data(data: DataConfig) -> str:
    from apps.text2sql.data import load_examples

    examples = load_examples(data)
    languages = sorted({example.language for example in examples})
    databases = {example.path for example in examples}
    return f"{len(examples):,} questions, {len(databases)} databases, {', '.join(languages)}"


def _overlap(config: Text2SqlConfig) -> str:
    from apps.text2sql.data import load_examples
    from apps.text2sql.train import refuse_overlap

    refuse_overlap(load_examples(config.train), load_examples(config.heldout))
    return "no query of a database is both trained on and held out"


def _prompt(config: Text2SqlConfig) -> str:
    from apps.text2sql.data import load_examples
    from apps.text2sql.prompts import prompt_for

    message = prompt_for(load_examples(config.train)[0], config.prompt)[-1]["content"]
    return f"style {config.prompt.style}, the first one has {len(message):,} characters"


def _model(config: Text2SqlConfig) -> str:
    from common.models.language import describe_on_meta

    found = describe_on_meta(config.model)
    return f"{found.architecture}, {found.parameters / 1e6:,.1f} M weights, {found.trainable / 1e6:,.1f} M trained"


def _batches(config: Text2SqlConfig) -> str:
    grpo, sft = config.grpo, config.sft
    completions = grpo.prompts_per_step * grpo.generations
    if grpo.generations < 2:
        raise UsageError(f"grpo.generations {grpo.generations}: a group needs at least 2 completions")
    if completions % grpo.gradient_accumulation:
        raise UsageError(
            f"grpo: {grpo.prompts_per_step} prompts x {grpo.generations} generations = {completions} completions do "
            f"not divide by gradient_accumulation {grpo.gradient_accumulation}"
        )
    parts = [
        f"GRPO {grpo.steps} steps of {grpo.prompts_per_step} x {grpo.generations} completions, "
        f"{completions // grpo.gradient_accumulation} a forward pass, {completions * grpo.steps:,} in all"
    ]
    if sft.steps:
        parts.insert(0, f"SFT {sft.steps} steps of {sft.batch_size * sft.gradient_accumulation} rows")
    return "; ".join(parts)


def _reward(config: Text2SqlConfig) -> str:
    from apps.text2sql.rewards import build_reward

    reward = build_reward(config.reward)
    return f"recipe {config.reward.recipe}, between {reward.bounds[0]:g} and {reward.bounds[1]:g}"


def _folder(config: Text2SqlConfig) -> str:
    import os

    folder = Path(config.runs).absolute()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"{nearest}: cannot be written; set runs to another folder")
    return str(config.runs)
