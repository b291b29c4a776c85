"""A Qwen-VL of 0.2 M weights, pictures and rows for it."""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from PIL import Image

from common.models.small_vlm import SmallVlmSettings, make_small_vlm
from tests.common.training.tiny import LETTERS, LetterShare

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
TEXTS = ["Is there a nodule in the left lung? yes no", "Say a letter: abcdefghijklmnopqrstuvwxyz 0123456789"] * 20


@functools.cache
def _built(family: str) -> tuple[Any, Any]:
    model, processor = make_small_vlm(TEXTS, SmallVlmSettings(architecture=family, vocabulary=320))  # type: ignore[arg-type]
    # As a trained one, it is sure of something.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model, processor


def model(family: str = "qwen2_5_vl") -> Any:
    """A copy that may be trained."""
    return copy.deepcopy(_built(family)[0]).train()


def processor(family: str = "qwen2_5_vl") -> Any:
    """A copy that may be changed."""
    return copy.deepcopy(_built(family)[1])


def picture(number: int, width: int = 56, height: int = 56) -> Image.Image:
    """Grey, with a spot."""
    drawn = Image.new("L", (width, height), 10 + 20 * number % 200)
    drawn.paste(250, (4 * number % 40, 8, 4 * number % 40 + 16, 24))
    return drawn


def pictures(number: int) -> list[Image.Image]:
    """None, one or two, of unlike sizes, in turn."""
    return [picture(number + 7 * place, 56 + 28 * (number % 2)) for place in range(number % 3)]


def prompt(number: int) -> list[dict[str, str]]:
    asked = {"role": "user", "content": f"Say {LETTERS[number % 26]}{' please' * (number % 4)}"}
    return [{"role": "system", "content": "Be brief."}, asked] if number % 2 else [asked]


def grpo_rows(number: int = 12, first: int = 0) -> Any:
    from datasets import Dataset

    return Dataset.from_list(
        [
            {"prompt": prompt(row), "images": pictures(row), "letter": LETTERS[row % 26]}
            for row in range(first, first + number)
        ]
    )


def sft_rows(number: int = 12) -> Any:
    from datasets import Dataset

    rows = [
        {
            "prompt": prompt(row),
            "images": pictures(row),
            "completion": [{"role": "assistant", "content": LETTERS[row % 26] * (1 + row % 4)}],
        }
        for row in range(number)
    ]
    return Dataset.from_list(rows)


def encoded(processor: Any, prompts: list[Any], images: list[list[Any]]) -> Any:
    """What transformers' own processor makes of conversations, padded on the left."""
    conversations = []
    for messages, several in zip(prompts, images, strict=True):
        blocks = [[{"type": "text", "text": message["content"]}] for message in messages]
        blocks[-1] = [{"type": "image", "image": image.convert("RGB")} for image in several] + blocks[-1]
        conversations.append(
            [{"role": message["role"], "content": part} for message, part in zip(messages, blocks, strict=True)]
        )
    return processor.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        processor_kwargs={"padding": True, "padding_side": "left", "return_tensors": "pt"},
    )


class Looking(LetterShare):
    """As its parent; notes what rewards are given."""

    name = "looking"
    needs = ("completion", "letter", "images", "group")  # type: ignore[assignment]

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def score(self, **columns: Any) -> Any:
        self.given.append(columns)
        return super().score(**columns)

    def __getstate__(self) -> dict[str, Any]:
        return {"given": []}
