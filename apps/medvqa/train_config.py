"""Settings of prompts, pictures and measurement. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class PictureConfig:
    """How pictures reach the model.

    Args:
        min_pixels: a smaller picture is enlarged to this many pixels; 0 leaves the processor's own bound.
        max_pixels: a larger picture is shrunk to this many pixels; 0 leaves the processor's own bound.
        freeze: leave the vision tower as it is: only the language model is trained.
    """

    min_pixels: int = 0
    max_pixels: int = 0
    freeze: bool = False


@dataclass
class PromptConfig:
    """What the model is shown.

    Args:
        style: `pocket` (the bare question; think and answer tags are expected), `reasoning` (instructions that ask for
            think and answer tags) or `answer` (instructions that ask for answer tags only).
    """

    style: Literal["pocket", "reasoning", "answer"] = "pocket"


@dataclass
class EvaluateConfig:
    """How a model is measured.

    Args:
        batch_size: questions answered together.
        max_new_tokens: longest completion, in tokens.
        metrics: names, in the order shown; see `apps.medvqa.measures`.
        robustness: ask again with blank pictures, swapped pictures and other words.
        encoder: sentence encoder of the BERTScore-style similarity: folder, hub id or "hash"; empty leaves it out.
        judge: ask the judge of `reward.judge` too.
    """

    batch_size: int = 64
    max_new_tokens: int = 64
    metrics: list[str] = field(
        default_factory=lambda: ["closed", "recall", "f1", "exact_match", "bleu", "rouge", "similarity", "scorer"]
    )
    robustness: bool = False
    encoder: str = "hash"
    judge: bool = False
