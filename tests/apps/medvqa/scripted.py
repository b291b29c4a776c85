"""Assistants that say what they are told to, and a tiny random model: for tests that need no trained weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from apps.medvqa.answers import AnswerScorer
from apps.medvqa.assistant import Answer
from apps.medvqa.config import MedVqaConfig
from common.config import LanguageModelConfig

#: With the shipped words.
score_answer = AnswerScorer().score
TEXTS = ["Is there a nodule? yes no", "<think>The lung is clear.</think><answer>no</answer>"] * 20


class Scripted:
    """Answers each question with the completion it was given for it, and keeps what it was shown."""

    def __init__(self, said: Mapping[str, str], otherwise: str = "<answer>no abnormality</answer>") -> None:
        self.said = dict(said)
        self.otherwise = otherwise
        self.asked: list[tuple[str, list[Image]]] = []

    def ask(self, question: str, pictures: Sequence[Image]) -> Answer:
        self.asked.append((question, list(pictures)))
        return Answer.of(question, self.said.get(question, self.otherwise))


class ScriptedModel:
    """Stands for a `VisionLanguageModel`: says one completion, and keeps its prompts."""

    def __init__(self, completion: str) -> None:
        self.completion = completion
        self.prompts: list[Any] = []

    def generate(self, prompts: Sequence[Any], max_new_tokens: int) -> list[list[str]]:
        self.prompts += prompts
        return [[self.completion] for _ in prompts]


def tiny_config(folder: Path) -> MedVqaConfig:
    """Settings of a random Qwen2.5-VL of 0.2 M weights, written into `folder`."""
    from common.models.small_vlm import make_small_vlm, save_small_vlm

    model, processor = make_small_vlm(TEXTS)
    save_small_vlm(model, processor, folder, half=False)
    config = MedVqaConfig(model=LanguageModelConfig(path=str(folder), device="cpu"))
    config.evaluate.max_new_tokens = 8
    return config
