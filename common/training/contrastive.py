"""What the contrastive trainings of small CLIP models share: inputs, optimiser, schedule and checkpoints."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from common.training.sampler import CyclicSampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from open_clip import CLIP
    from transformers import PreTrainedTokenizerFast

Three = tuple[float, float, float]

#: Steps in which the learning rate rises.
WARMUP = 100
#: No picture's logits are multiplied by more: CLIP's own limit (Radford et al. 2021, arXiv 2103.00020).
MOST_SCALE = 100.0


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


class ContrastiveLearner(ABC):
    """The training of a small CLIP, step by step; see `common.training.stage`.

    Args:
        model: what learns.
        rows: pictures to learn from.
        steps: of the whole training, at the end of which the learning rate is 0.
        batch_size: pictures of a step.
        learning_rate: the highest, after `WARMUP` steps; it falls along a cosine.
        seed: of the order of the pictures.
    """

    def __init__(self, model: CLIP, rows: int, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
        self.model = model
        # So few channels are convolved a third faster when they lie last.
        self.model.visual.to(memory_format=torch.channels_last)
        self.whole, self.learning_rate = steps, learning_rate
        decay = [value for value in self.model.parameters() if value.ndim > 1]
        plain = [value for value in self.model.parameters() if value.ndim <= 1]
        groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6)
        self.sampler = CyclicSampler(rows, batch_size, seed)
        self.steps = 0

    @abstractmethod
    def loss(self, rows: list[int]) -> Tensor:
        """What the step makes smaller, on these pictures."""

    def figures(self) -> dict[str, float]:
        """What the last step told beside its loss."""
        return {}

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the loss, the scale of the logits and `figures`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.model.train()
        loss = self.loss(self.sampler.next())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(MOST_SCALE))
        self.steps += 1
        return {
            "loss": float(loss.detach()),
            "scale": float(self.model.logit_scale.detach().exp()),
            **self.figures(),
        }

    def rate(self) -> float:
        """The learning rate of the next step."""
        warmup = min(1.0, (self.steps + 1) / WARMUP)
        return self.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * self.steps / self.whole))

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "step": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        self.steps = state["step"]
