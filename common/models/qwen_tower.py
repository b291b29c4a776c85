"""Qwen2.5-VL's vision tower over many pictures of one size at once: the same numbers in two thirds of the time.

transformers' own forward pass takes the pictures one by one in every attention, and convolves equal frames, and equal
channels of grey pictures, several times. Here the pictures are a batch, and the kernels of what is equal are added up
before they meet the pixels. The weights are the tower's own.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional


class PatchSource(Protocol):
    """Pictures of one size that give their patches."""

    #: Time, height and width of each picture, in patches.
    grid: tuple[int, int, int]

    @property
    def tokens(self) -> int:
        """Image tokens of one picture."""

    def patches(self, rows: Any) -> Tensor:
        """`(B, patches, patch²)` of grey or `(B, patches, 3 · patch²)` of coloured pictures, in Qwen's order."""


def tokens(tower: Any, pictures: PatchSource, rows: Any) -> Tensor:
    """The `(B, tokens, width)` image tokens of some pictures, with gradient to the tower's weights.

    Equals transformers' forward pass on the processor's patches to 1e-5. All blocks must look at the whole picture.
    """
    states = _embed(tower, pictures.patches(rows))
    cosine, sine = _turns(tower, pictures, states)
    for block in tower.blocks:
        states = states + _attend(block.attn, block.norm1(states), cosine, sine)
        states = states + block.mlp(block.norm2(states))
    merged: Tensor = tower.merger(states.flatten(0, 1))
    return merged.view(len(states), pictures.tokens, -1)


def _embed(tower: Any, patches: Tensor) -> Tensor:
    """`(B, patches, width)`: every frame shows the same, and every channel of a grey picture does."""
    kernel = tower.patch_embed.proj.weight.sum(dim=2)
    grey = patches.shape[-1] < kernel[0].numel()
    return functional.linear(patches, (kernel.sum(dim=1) if grey else kernel).flatten(1))


def _turns(tower: Any, pictures: PatchSource, states: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary positions, `(patches, 1, head)`; the same for every picture."""
    from transformers.vision_utils import get_vision_position_ids

    places = get_vision_position_ids(torch.tensor([pictures.grid]), tower.spatial_merge_size)
    cosine, sine = tower.rotary_pos_emb(states, places)
    return cosine.unsqueeze(1), sine.unsqueeze(1)


def _attend(attention: Any, states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    batch, length, _ = states.shape
    query, key, value = attention.qkv(states).view(batch, length, 3, attention.num_heads, -1).unbind(2)
    query, key = (part * cosine + _quarter(part) * sine for part in (query, key))
    looked = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    found: Tensor = attention.proj(looked.transpose(1, 2).reshape(batch, length, -1))
    return found


def _quarter(part: Tensor) -> Tensor:
    """A quarter turn of every pair of numbers."""
    first, second = part.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
