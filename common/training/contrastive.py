"""What the contrastive trainings of small CLIP models share: inputs, optimiser, schedule and checkpoints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from common.training.scheduled import ScheduledLearner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from open_clip import CLIP
    from transformers import PreTrainedTokenizerFast

Three = tuple[float, float, float]

#: No picture's logits are multiplied by more: CLIP's own limit (Radford et al. 2021, arXiv 2103.00020).
MOST_SCALE = 100.0


class ClipSizes(Protocol):
    """What of an application's settings counts here."""

    width: int
    embedding: int
    text_width: int
    text_layers: int
    context_length: int


def model_config(sizes: ClipSizes, side: int, vocabulary: int) -> dict[str, Any]:
    """OpenCLIP's `model_cfg` of a small CLIP: a ModifiedResNet with one block a stage, and a text transformer.

    Args:
        sizes: widths, layers and the longest text.
        side: pixels a side of a picture.
        vocabulary: tokens.
    """
    return {
        "embed_dim": sizes.embedding,
        "vision_cfg": {"image_size": side, "layers": [1, 1, 1, 1], "width": sizes.width},
        "text_cfg": {
            "context_length": sizes.context_length,
            "vocab_size": vocabulary,
            "width": sizes.text_width,
            "heads": 4,
            "layers": sizes.text_layers,
        },
    }


def to_input(pictures: NDArray[np.uint8], mean: Three, deviation: Three) -> Tensor:
    """`(B, 3, H, W)` normalised float32, channels last, from `(B, H, W, 3)` uint8 pictures.

    Args:
        pictures: RGB.
        mean: of each channel, in [0, 1].
        deviation: of each channel.
    """
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)


def to_tokens(tokenizer: PreTrainedTokenizerFast, texts: list[str], length: int) -> Tensor:
    """`(B, length)` token ids, 0 after the end token, which stays where a text is cut."""
    rows = torch.zeros(len(texts), length, dtype=torch.long)
    for row, encoding in zip(rows, tokenizer.backend_tokenizer.encode_batch(texts), strict=True):
        ids = encoding.ids if len(encoding.ids) <= length else [*encoding.ids[: length - 1], encoding.ids[-1]]
        row[: len(ids)] = torch.tensor(ids)
    return rows


class ContrastiveLearner(ScheduledLearner):
    """The training of a small CLIP, step by step; see `ScheduledLearner` for what its arguments mean.

    Args:
        model: what learns.
        rows: pictures to learn from.
        steps: of the whole training.
        batch_size: pictures of a step.
        learning_rate: the highest.
        seed: of the order of the pictures.
    """

    def __init__(self, model: CLIP, rows: int, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
        # So few channels are convolved a third faster when they lie last.
        model.visual.to(memory_format=torch.channels_last)
        decay = [value for value in model.parameters() if value.ndim > 1]
        plain = [value for value in model.parameters() if value.ndim <= 1]
        groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6)
        super().__init__(model, optimizer, rows, steps, batch_size, learning_rate, seed)

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the loss, the scale of the logits and `figures`."""
        told = super().step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(MOST_SCALE))
        return {"scale": float(self.model.logit_scale.detach().exp()), **told}
