"""Teaches a vision tower to see, before there is any language: heads on its image tokens tell the exact truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from common.models.qwen_tower import tokens
from common.training.heads import Heads, figure_accuracies, figure_losses
from common.training.rate import cosine
from common.training.sampler import CyclicSampler

if TYPE_CHECKING:
    from common.models.qwen_tower import PatchSource

WARMUP = 50


class TowerSettings(Protocol):
    """What of an application's settings counts here."""

    vision_steps: int
    vision_batch_size: int
    vision_learning_rate: float


class TowerLearner:
    """The training of the tower and its heads, step by step; see `common.training.stage`.

    Args:
        settings: batch size, rate and steps.
        tower: the model's `visual`; trained in place.
        heads: what reads its image tokens; trained in place.
        pictures: the pictures.
        truth: of each figure `(N, rows)` class numbers, `IGNORED` where it is not asked.
        seed: of the order of the pictures.
    """

    def __init__(
        self,
        settings: TowerSettings,
        tower: nn.Module,
        heads: Heads,
        pictures: PatchSource,
        truth: dict[str, Tensor],
        seed: int,
    ) -> None:
        self.settings, self.tower, self.heads, self.pictures, self.truth = settings, tower, heads, pictures, truth
        self.optimizer = optimizer(nn.ModuleList([tower, heads]))
        self.sampler = CyclicSampler(len(next(iter(truth.values()))), settings.vision_batch_size, seed)
        self.steps = 0

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the loss of each figure and how often it was right."""
        settings = self.settings
        rate = cosine(self.steps, settings.vision_steps, settings.vision_learning_rate, WARMUP)
        rows = self.sampler.next()
        self.tower.train()
        logits = self.heads(tokens(self.tower, self.pictures, rows))
        truth = {name: table[rows] for name, table in self.truth.items()}
        losses = figure_losses(logits, truth)
        apply(torch.stack(list(losses.values())).sum(), {self.optimizer: rate})
        self.steps += 1
        right = figure_accuracies(logits, truth)
        return {
            "learning_rate": rate,
            "loss": sum(float(loss.detach()) for loss in losses.values()),
            **{f"loss/{name}": float(loss.detach()) for name, loss in losses.items()},
            **{f"right/{name}": share for name, share in right.items()},
        }

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "tower": self.tower.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "step": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.tower.load_state_dict(state["tower"])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        self.steps = state["step"]


def optimizer(module: nn.Module, decay: float = 0.05) -> torch.optim.AdamW:
    """AdamW over a module's matrices, with weight decay, and its vectors, without."""
    weights = [value for value in module.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in weights if value.ndim > 1], "weight_decay": decay},
        {"params": [value for value in weights if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), lr=0.0)


def apply(loss: Tensor, optimizers: dict[torch.optim.Optimizer, float]) -> None:
    """One step of each optimiser down the gradient of `loss`, at its rate; the norm of them all is clipped at 1."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for optimizer, rate in optimizers.items():
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = rate
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_([value for group in groups for value in group["params"]], 1.0)
    for optimizer in optimizers:
        optimizer.step()
