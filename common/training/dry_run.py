"""Looks at a recipe before it runs: each look says what it found, or what is wrong and the next step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from common.config import GrpoConfig, LanguageModelConfig, SftConfig
from common.errors import TouchstoneError, UsageError


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked at.
        passed: whether the run could go on from there; None where that cannot be told here.
        detail: what was found, or what is wrong or missing and the next step.
    """

    name: str
    passed: bool | None
    detail: str


class NotChecked(Exception):
    """Something that lies elsewhere: data that is not here, a hub that cannot be reached."""


def checks(looks: Iterable[tuple[str, Callable[[], str]]]) -> list[Check]:
    """Take every look, whatever the others found."""
    return [_look(name, look) for name, look in looks]


def _look(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except NotChecked as reason:
        return Check(name, None, str(reason))
    except TouchstoneError as error:
        return Check(name, False, str(error))


def show(found: list[Check], json_output: bool) -> int:
    """Print the checks; the exit code is 2 where one failed, and 0 where some could only not be made here."""
    from common import ui

    if json_output:
        ui.print_json([vars(one) for one in found])
    else:
        words = {True: "ok", False: "FAILED", None: "not checked"}
        rows = [(one.name, words[one.passed], one.detail) for one in found]
        ui.table("Dry run", ("check", "", "found"), rows)
        skipped = sum(one.passed is None for one in found)
        if skipped:
            ui.warn(f"{skipped} of {len(found)} checks could not be made: what they need is not on this machine")
    return UsageError.exit_code if any(one.passed is False for one in found) else 0


def model(config: LanguageModelConfig, sees: bool = False) -> str:
    """The model on the meta device: its class, its weights, those that would be trained.

    Args:
        config: where it is.
        sees: it is a Qwen-VL and no language model.

    Raises:
        UsageError: the configuration cannot be read, or LoRA does not fit.
    """
    from common.models.language import describe_on_meta
    from common.models.vlm_folder import describe_vlm_on_meta

    found = (describe_vlm_on_meta if sees else describe_on_meta)(config)
    return f"{found.architecture}, {found.parameters / 1e6:,.1f} M weights, {found.trainable / 1e6:,.1f} M trained"


def batches(sft: SftConfig, grpo: GrpoConfig) -> str:
    """What a step and the whole run come to.

    Raises:
        UsageError: a number is too small, or the completions of a step cannot be shared out.
    """
    for name, value, least in (
        ("sft.steps", sft.steps, 0),
        ("sft.batch_size", sft.batch_size, 1),
        ("sft.gradient_accumulation", sft.gradient_accumulation, 1),
        ("grpo.steps", grpo.steps, 0),
        ("grpo.prompts_per_step", grpo.prompts_per_step, 1),
        ("grpo.gradient_accumulation", grpo.gradient_accumulation, 1),
    ):
        if value < least:
            raise UsageError(f"{name} must be at least {least}, not {value}")
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


def folder(runs: str) -> str:
    """That the run folders can be written.

    Raises:
        UsageError: they cannot.
    """
    path = Path(runs).absolute()
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"{nearest}: cannot be written; set runs to another folder")
    return runs
