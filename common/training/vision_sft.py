"""Batches for the supervised fine-tuning of a Qwen-VL, of which the answers' tokens alone are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.errors import UsageError
from common.training.vision import check_words, place, read_prompts, tokenizer_of


class VisualCollator:
    """Makes a batch of rows with `prompt`, `completion` and `images`; rows with and without pictures may be mixed.

    trl's own collator does the same for rows that all have pictures: in others it fails on None, and a batch of rows
    of which some have no pictures depends on the version of transformers.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `labels` and `mm_token_type_ids` `(B, L)`, padded on the right; pictures."""
        images = [row.get("images") or [] for row in rows]
        prompts = read_prompts(self.processor, [row["prompt"] for row in rows], images)
        texts = whole_texts(self.processor, rows, [len(several) for several in images])
        tokenizer = tokenizer_of(self.processor)
        answers = tokenizer([answer for _, answer in texts], add_special_tokens=False)["input_ids"]
        width = max(len(prompt) + len(answer) for prompt, answer in zip(prompts.ids, answers, strict=True))
        ids = torch.full((len(rows), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        kinds = torch.zeros(ids.shape, dtype=torch.int)
        for row, (prompt, answer) in enumerate(zip(prompts.ids, answers, strict=True)):
            start, end = len(prompt), len(prompt) + len(answer)
            ids[row, :end] = torch.tensor([*prompt, *answer])
            labels[row, start:end] = ids[row, start:end]
            mask[row, :end] = 1
            kinds[row, :start] = (ids[row, :start] == prompts.image_token).int()
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "mm_token_type_ids": kinds}
        return batch | prompts.tensors(prompts.of(range(len(rows))))


def whole_texts(processor: Any, rows: Sequence[Mapping[str, Any]], pictures: Sequence[int]) -> list[tuple[str, str]]:
    """Prompt and completion of each row as the chat template writes them.

    Raises:
        UsageError: a completion is no list of messages, or holds what stands for a picture; or the template writes a
            prompt differently once it is answered, so that the answer cannot be told.
    """
    if any(isinstance(row["completion"], str) for row in rows):
        raise UsageError("sft: completions must be lists of messages, as the prompts are")
    asked = [place(row["prompt"], count) for row, count in zip(rows, pictures, strict=True)]
    answers = [place(row["completion"], 0) for row in rows]
    for answer in answers:
        check_words(processor, answer)
    answered = [prompt + answer for prompt, answer in zip(asked, answers, strict=True)]
    prompts = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    wholes = processor.apply_chat_template(answered, tokenize=False)
    if not all(whole.startswith(prompt) for prompt, whole in zip(prompts, wholes, strict=True)):
        raise UsageError(
            "sft: the chat template writes a prompt differently once it is answered, so that prompt and answer cannot "
            "be told apart; take another template"
        )
    return [(prompt, whole[len(prompt) :]) for prompt, whole in zip(prompts, wholes, strict=True)]
