"""Sampling from a Qwen-VL so that a seed decides what is said, whatever stands beside it in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from common.models.decoding import cache_argument, growing_cache
from common.models.vlm_batch import Batch


@torch.no_grad()
def sample(
    model: Any,
    batch: Batch,
    *,
    seeds: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float,
    eos_ids: Sequence[int],
    never: Sequence[int],
) -> list[list[list[int]]]:
    """Continue each prompt of a batch once for each of its seeds.

    A seed gives the points, uniform in [0, 1), at which a sample's tokens are taken from their distributions: the same
    seed says the same, but where rounding moves a point across the border of two tokens.

    Args:
        model: a Qwen-VL; its training mode is left as it is.
        batch: B prompts.
        seeds: for each of them as many seeds as it has samples, the same number for all.
        max_new_tokens: longest continuation, in tokens.
        temperature: divides the logits; 0 takes the likeliest token.
        eos_ids: tokens that end a continuation; the one drawn is kept as its last token.
        never: tokens that are not said: an image token without a picture would break the next reading of the text.

    Returns:
        For each prompt its continuations: lists of token ids.
    """
    number, device = len(seeds[0]), batch.ids.device
    cache = growing_cache(model)
    mask = batch.mask.repeat_interleave(number, 0)
    position = (batch.positions[0, :, -1] + 1).repeat_interleave(number)
    logits = _step(model, {**batch.arguments(), cache_argument(model): cache}).repeat_interleave(number, 0)
    if number > 1:
        cache.batch_repeat_interleave(number)
    points = torch.stack([_points(seed, max_new_tokens) for group in seeds for seed in group]).to(device)
    ends = torch.tensor(list(eos_ids), device=device)
    said: list[list[int]] = [[] for _ in range(len(points))]
    rows = torch.arange(len(points), device=device)
    for at in range(max_new_tokens):
        logits[:, list(never)] = -torch.inf
        chosen = _choose(logits, temperature, points[rows, at])
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            said[row].append(token)
        going = ~torch.isin(chosen, ends)
        if at + 1 == max_new_tokens or not going.any():
            break
        if not going.all():
            cache.batch_select_indices(going.nonzero().squeeze(1))
            rows, mask, position, chosen = rows[going], mask[going], position[going], chosen[going]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        step = {
            "input_ids": chosen.unsqueeze(1),
            "attention_mask": mask,
            "position_ids": position.view(1, -1, 1).expand(3, -1, -1),
        }
        logits = _step(model, {**step, cache_argument(model): cache})
        position = position + 1
    return [said[start : start + number] for start in range(0, len(said), number)]


def _step(model: Any, arguments: dict[str, Any]) -> Tensor:
    """`(B, V)` logits of the token after the last one."""
    logits: Tensor = model(**arguments, use_cache=True, logits_to_keep=1).logits[:, -1].float()
    return logits


def _points(seed: int, length: int) -> Tensor:
    """`(length,)` numbers in [0, 1), drawn on the CPU, so that they are the same on every device."""
    return torch.rand(length, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def _choose(logits: Tensor, temperature: float, points: Tensor) -> Tensor:
    """`(B,)` tokens: the likeliest of each row of `(B, V)` logits, or the one at each row's point."""
    if temperature <= 0:
        return logits.argmax(-1)
    reached = torch.softmax(logits.double() / temperature, dim=-1).cumsum(-1)
    found = torch.searchsorted(reached, (points * reached[:, -1]).unsqueeze(1), right=True).squeeze(1)
    # Rounding may put a point next to 1 beyond all tokens.
    return found.clamp(max=logits.shape[-1] - 1)
