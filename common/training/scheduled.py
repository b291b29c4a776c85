"""A learner of one model: AdamW's kind of optimiser, a learning rate that rises and falls, checkpoints that resume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from common.training.rate import cosine
from common.training.sampler import CyclicSampler

#: Steps in which the learning rate rises.
WARMUP = 100


class ScheduledLearner(ABC):
    """A training, step by step; see `common.training.stage`.

    Args:
        model: what learns.
        optimizer: of its parameters; a group's `ratio` is its learning rate over the others'.
        rows: examples to learn from.
        steps: of the whole training, at the end of which the learning rate is 0.
        batch_size: examples of a step.
        learning_rate: the highest, after `WARMUP` steps; it falls along a cosine.
        seed: of the order of the examples.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rows: int,
        steps: int,
        batch_size: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        self.model: Any = model
        self.optimizer = optimizer
        self.whole, self.learning_rate = steps, learning_rate
        self.sampler = CyclicSampler(rows, batch_size, seed)
        self.steps = 0

    @abstractmethod
    def loss(self, rows: list[int]) -> Tensor:
        """What the step makes smaller, on these examples."""

    def figures(self) -> dict[str, float]:
        """What the last step told beside its loss."""
        return {}

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the loss and `figures`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group.get("ratio", 1.0)
        self.model.train()
        loss = self.loss(self.sampler.next())
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        return {"loss": float(loss.detach()), **self.figures()}

    def rate(self) -> float:
        """The learning rate of the next step."""
        return cosine(self.steps, self.whole, self.learning_rate, WARMUP)

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
