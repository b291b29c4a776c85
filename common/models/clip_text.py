"""Encodes texts without computing their padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def encode_text(model: Any, ids: Tensor, parts: int = 4) -> Tensor:
    """What `model.encode_text(ids)` returns, sooner where the text transformer is OpenCLIP's own causal one.

    Attention there looks back only and the feature is read at the end token, so what follows it changes nothing, and
    texts of like length are encoded together without it. A caption of a dozen words fills a sixth of the 77 places
    that OpenCLIP computes. Any other text tower is asked as it is.

    Args:
        model: an OpenCLIP model.
        ids: `(B, context)` token ids; the end token is the greatest of each row.
        parts: groups of like length.

    Returns:
        `(B, dim)` features, not normalised.
    """
    if not _plain(model) or len(ids) == 0:
        whole: Tensor = model.encode_text(ids)
        return whole
    lengths = ids.argmax(1) + 1
    order = lengths.argsort()
    pieces = []
    for rows in order.chunk(min(parts, len(ids))):
        longest = int(lengths[rows].max())
        hidden = model.token_embedding(ids[rows, :longest])
        hidden = hidden + model.positional_embedding[:longest].to(hidden.dtype)
        hidden = model.transformer(hidden, attn_mask=model.attn_mask[:longest, :longest])
        hidden = model.ln_final(hidden)[torch.arange(len(rows), device=ids.device), lengths[rows] - 1]
        projection = model.text_projection
        pieces.append(projection(hidden) if isinstance(projection, nn.Linear) else hidden @ projection)
    return torch.cat(pieces)[order.argsort()]


def _plain(model: Any) -> bool:
    """Whether this is `open_clip.CLIP` with a causal mask, one feature at the end token, and float32 weights."""
    from open_clip.model import CLIP

    return (
        type(model) is CLIP
        and model.attn_mask is not None
        and getattr(model, "text_pool_type", "") == "argmax"
        and getattr(model, "text_projection", None) is not None
        and model.transformer.get_cast_dtype() == model.token_embedding.weight.dtype == torch.float32
    )
