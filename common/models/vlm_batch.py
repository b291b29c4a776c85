"""Prompts of a Qwen-VL put together for one forward pass, a few at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.models.decoding import pad_left
from common.models.language import evaluating
from common.models.vlm_prompt import Encoded, Patches, PromptReader, VisualPrompt


@dataclass(frozen=True, eq=False)
class Batch:
    """Encoded prompts together, padded on the left.

    Attributes:
        ids: `(B, L)`.
        mask: `(B, L)`, 0 where there is padding.
        positions: `(3, B, L)`, of each token in time, height and width.
        pixels: `(N, D)` patches of all pictures, row by row; None where there are none.
        grid: `(P, 3)` of each picture; None where there are none.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    pixels: Tensor | None
    grid: Tensor | None

    @classmethod
    def of(cls, rows: Sequence[Encoded], model: Any, image_id: int, pad_id: int) -> Batch:
        """Put encoded prompts together for a model, on its device."""
        device = model.device
        ids, mask = pad_left([row.ids for row in rows], pad_id, device)
        patches = [entry for row in rows for entry in row.patches]
        pixels = torch.cat([entry.pixels.to(device) for entry in patches]) if patches else None
        grid = torch.tensor([entry.grid for entry in patches], device=device) if patches else None
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        positions, _ = inner.model.get_rope_index(
            input_ids=ids,
            mm_token_type_ids=((ids == image_id) & (mask == 1)).int(),
            image_grid_thw=grid,
            attention_mask=mask,
        )
        return cls(ids, mask, positions, pixels, grid)

    def logits(self, model: Any, keep: int) -> Tensor:
        """`(B, keep, V)` logits after each of the last `keep` tokens, float32 (float64 for a float64 model)."""
        logits: Tensor = model(**self.arguments(), logits_to_keep=keep, use_cache=False).logits
        return logits if logits.dtype == torch.float64 else logits.float()

    def arguments(self) -> dict[str, Any]:
        """What the model's `forward` takes. Positions are given, so that none are left over from another batch."""
        made: dict[str, Any] = {"input_ids": self.ids, "attention_mask": self.mask, "position_ids": self.positions}
        if self.pixels is not None:
            made |= {"pixel_values": self.pixels, "image_grid_thw": self.grid}
        return made


def batches(
    reader: PromptReader,
    prompts: Sequence[VisualPrompt],
    size: int,
    endings: Sequence[Sequence[int]] | None = None,
) -> Iterator[tuple[list[int], list[Encoded]]]:
    """Indices of at most `size` prompts, and the prompts with their endings; those of like length together.

    Pictures are read a few batches ahead, so that any number of prompts fits into memory.
    """
    for start in range(0, len(prompts), 8 * size):
        encoded = reader.encode(prompts[start : start + 8 * size])
        if endings is not None:
            encoded = [row.then(endings[start + at]) for at, row in enumerate(encoded)]
        order = sorted(range(len(encoded)), key=lambda at: len(encoded[at]))
        for first in range(0, len(order), size):
            places = order[first : first + size]
            yield [start + at for at in places], [encoded[at] for at in places]


@contextlib.contextmanager
def scoring(model: Any, prompts: Sequence[VisualPrompt]) -> Iterator[None]:
    """Evaluation mode, with gradient only where a picture wants it."""
    pictures = (picture for prompt in prompts for picture in prompt.pictures)
    tensors = (picture.pixels if isinstance(picture, Patches) else picture for picture in pictures)
    wanted = any(isinstance(tensor, Tensor) and tensor.requires_grad for tensor in tensors)
    with evaluating(model), torch.set_grad_enabled(wanted and torch.is_grad_enabled()):
        yield
