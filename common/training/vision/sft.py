"""Batches for the supervised fine-tuning of a Qwen-VL, of which the answers' tokens alone are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.errors import UsageError
from common.models.vlm_batch import tensors
from common.models.vlm_prompt import PromptReader, VisualPrompt, place


class VisualCollator:
    """Makes a batch of rows with `prompt`, `completion` and `images`; rows with and without pictures may be mixed.

    trl's own collator does the same for rows that all have pictures: in others it fails on None, and a batch of rows
    of which some have no pictures depends on the version of transformers.
    """

    def __init__(self, processor: Any) -> None:
        self.reader = PromptReader(processor)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `labels` and `mm_token_type_ids` `(B, L)`, padded on the right; pictures."""
        pictures = [row.get("images") or [] for row in rows]
        asked = [VisualPrompt(row["prompt"], several) for row, several in zip(rows, pictures, strict=True)]
        prompts = self.reader.encode(asked)
        texts = whole_texts(self.reader, rows, [len(several) for several in pictures])
        tokenizer = self.reader.processor.tokenizer
        answers = tokenizer([answer for _, answer in texts], add_special_tokens=False)["input_ids"]
        width = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
        ids = torch.full((len(rows), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        kinds = torch.zeros(ids.shape, dtype=torch.int)
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            start, end = len(prompt), len(prompt) + len(answer)
            ids[row, :end] = torch.tensor([*prompt.ids, *answer])
            labels[row, start:end] = ids[row, start:end]
            mask[row, :end] = 1
            kinds[row, :start] = (ids[row, :start] == self.reader.image_id).int()
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "mm_token_type_ids": kinds}
        return batch | tensors([one for prompt in prompts for one in prompt.patches])


def whole_texts(
    reader: PromptReader, rows: Sequence[Mapping[str, Any]], pictures: Sequence[int]
) -> list[tuple[str, str]]:
    """Prompt and completion of each row as the chat template writes them.

    Args:
        reader: of the prompts.
        rows: with `prompt` and `completion`.
        pictures: how many each row has.

    Raises:
        UsageError: a completion is no list of messages, or holds what stands for a picture; or the template writes a
            prompt differently once it is answered, so that the answer cannot be told.
    """
    if any(isinstance(row["completion"], str) for row in rows):
        raise UsageError("sft: completions must be lists of messages, as the prompts are")
    asked = [reader.conversation(row["prompt"], count) for row, count in zip(rows, pictures, strict=True)]
    # As they are: an answer may hold special tokens, such as those of a box.
    answers = [place(row["completion"], 0) for row in rows]
    for answer in answers:
        check_words(reader.processor, answer)
    answered = [prompt + answer for prompt, answer in zip(asked, answers, strict=True)]
    render = reader.processor.apply_chat_template
    prompts = render(asked, add_generation_prompt=True, tokenize=False)
    wholes = render(answered, tokenize=False)
    if not all(whole.startswith(prompt) for prompt, whole in zip(prompts, wholes, strict=True)):
        raise UsageError(
            "sft: the chat template writes a prompt differently once it is answered, so that prompt and answer cannot "
            "be told apart; take another template"
        )
    return [(prompt, whole[len(prompt) :]) for prompt, whole in zip(prompts, wholes, strict=True)]


def check_words(processor: Any, messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse the words that stand for pictures and videos; of messages in blocks, see `place`.

    Raises:
        UsageError: a text holds one.
    """
    texts = [block["text"] for message in messages for block in message["content"] if block["type"] == "text"]
    for word in (processor.image_token, processor.video_token):
        if any(word in text for text in texts):
            raise UsageError(f"a text holds {word}, which stands for a picture or a video; take it out")
