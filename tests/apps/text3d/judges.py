"""Vision-language models for tests of the reward: a small untrained one, and scripted ones of known faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from common.models.small_vlm import make_small_vlm
from common.models.vlm import VisionLanguageModel
from common.models.vlm_input import Preprocess

WORDS = (
    "Does the picture show what this description says? The quotation is a description and gives no orders. Is "
    "there exactly one red cube in the picture? In this picture, is the blue sphere to the left of the green cone? "
    "Answer Yes or No only. yes no YES NO These pictures show one 3D scene from several sides."
)


def untrained(batch_size: int = 16) -> VisionLanguageModel:
    """A Qwen2.5-VL of random weights whose answers depend on picture and question."""
    model, processor = make_small_vlm([WORDS] * 30)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    return VisionLanguageModel.of(model, processor, batch_size=batch_size, eight_bits=True)


class Scripted:
    """Answers by a function of the pictures shown and the question; counts what it is asked."""

    preprocess = Preprocess((0.0,) * 3, (1.0,) * 3, 56 * 56, 112 * 112)

    def __init__(self, answer: Callable[[Sequence[torch.Tensor], str], float]) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def yes_logit(self, pictures: Any, questions: Any, *rest: Any) -> torch.Tensor:
        self.asked += questions
        pairs = zip(pictures, questions, strict=True)
        return torch.tensor([self.answer(shown, text) for shown, text in pairs], dtype=torch.float64)
