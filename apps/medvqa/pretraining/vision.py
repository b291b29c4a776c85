"""Teaches the vision tower to see, before there is any language: heads on its image tokens tell the exact truth.

Through the language loss alone a tower this small learns nothing visible for hundreds of steps, because the answer's
first thousand nats are to be had from the words of the question (shared/reference/medvqa.md, "Does it really learn?").
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from apps.medvqa.pocket.catalogue import ORGANS
from apps.medvqa.pretraining.tower import tokens
from apps.medvqa.pretraining.truth import FIGURES, IGNORED, PLACES
from common.training.sampler import CyclicSampler

if TYPE_CHECKING:
    from apps.medvqa.model_config import PretrainConfig
    from apps.medvqa.pretraining.pictures import Pictures

WARMUP = 50


class Heads(nn.Module):
    """Reads the truth from image tokens: a query for every row of every figure looks for it, as words will.

    Everything is linear in what the query found, so that what the heads can read a language model can read too. What
    is at a place is read in one way for all places of an organ: a kind is to look the same wherever it is.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.queries = nn.ParameterDict()
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        self.readers = {name: list(range(rows)) for name, (rows, _) in FIGURES.items()}
        self.readers["place"] = [list(ORGANS).index(organ) for organ, _, _ in PLACES]
        for name, (rows, classes) in FIGURES.items():
            readers = max(self.readers[name]) + 1
            self.queries[name] = nn.Parameter(torch.randn(rows, width) / math.sqrt(width))
            self.weights[name] = nn.Parameter(torch.randn(readers, width, classes) / math.sqrt(width))
            self.biases[name] = nn.Parameter(torch.zeros(readers, classes))

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """`(B, rows, classes)` logits of each figure, from `(B, tokens, width)`."""
        tokens = self.norm(tokens)
        logits = {}
        for name, readers in self.readers.items():
            looks = torch.softmax(tokens @ self.queries[name].T, dim=1)
            found = torch.einsum("btr,btw->brw", looks, tokens)
            weight, bias = self.weights[name][readers], self.biases[name][readers]
            logits[name] = torch.einsum("brw,rwc->brc", found, weight) + bias
        return logits


class TowerLearner:
    """The training of the tower and its heads, step by step; see `common.training.stage`.

    Args:
        settings: batch size, rate and steps.
        tower: the model's `visual`; trained in place.
        width: of its image tokens.
        pictures: the pictures.
        truth: see `truth_table`.
        seed: of the heads and the order of the pictures.
    """

    def __init__(
        self,
        settings: PretrainConfig,
        tower: nn.Module,
        width: int,
        pictures: Pictures,
        truth: dict[str, Tensor],
        seed: int,
    ) -> None:
        self.settings, self.tower, self.pictures, self.truth = settings, tower, pictures, truth
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = Heads(width)
        self.optimizer = optimizer(nn.ModuleList([tower, self.heads]))
        self.sampler = CyclicSampler(len(pictures), settings.vision_batch_size, seed)
        self.steps = 0

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the loss of each figure and how often it was right."""
        settings = self.settings
        rate = cosine(self.steps, settings.vision_steps, settings.vision_learning_rate)
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


def figure_losses(logits: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cross entropy of each figure, summed over its rows, a picture's mean."""
    return {
        name: functional.cross_entropy(
            logits[name].flatten(0, 1), target.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        / len(target)
        for name, target in truth.items()
    }


def figure_accuracies(logits: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, float]:
    """Share of right classes of each figure; NaN where there is none of it."""
    shares = {}
    for name, target in truth.items():
        told = target != IGNORED
        shares[name] = float((logits[name].argmax(-1) == target)[told].float().mean())
    return shares


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
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([value for group in groups for value in group["params"]], 1.0)
    for optimizer in optimizers:
        optimizer.step()


def cosine(step: int, steps: int, highest: float) -> float:
    """The learning rate of a step: up along a line, then down to 0 along a cosine."""
    return highest * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
