"""A random CLIP of the pocket's class, small enough to be made by any test that needs one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from common.models.clip_folder import compact_tokenizer, save_clip

TEXTS = (
    "a red circle to the left of a blue square",
    "three blue stars in the top left corner",
    "a small striped triangle above a large green circle",
    "two yellow crosses on a grey background",
)


def tiny_config(vocab_size: int, image_size: int = 64, context_length: int = 32) -> dict[str, Any]:
    return {
        "embed_dim": 32,
        "vision_cfg": {"layers": [1, 1, 1, 1], "width": 16, "image_size": image_size},
        "text_cfg": {
            "context_length": context_length,
            "vocab_size": vocab_size,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    }


def tiny_clip_folder(
    path: Path,
    texts: Sequence[str] = TEXTS,
    seed: int = 0,
    image_size: int = 64,
    context_length: int = 32,
    preprocess: dict[str, Any] | None = None,
) -> Path:
    """Write a random model to `path`; open it with `Clip(f"local-dir:{path}")`. `texts` teach the tokenizer only."""
    import open_clip

    tokenizer = compact_tokenizer(texts, vocab_size=400, context_length=context_length)
    config = tiny_config(len(tokenizer), image_size, context_length)
    before = torch.get_rng_state()
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config).eval()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            # Statistics as after training: otherwise every picture has nearly the same feature.
            if name.endswith("running_var"):
                buffer.fill_(0.05)
        # Text features of a fresh model point one way, because positions outweigh words.
        model.token_embedding.weight.mul_(20)
    torch.set_rng_state(before)
    return save_clip(model, tokenizer, config, path, preprocess)
