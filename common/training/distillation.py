"""Teaches a small network a CLIP's picture vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from common.training.sampler import CyclicSampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from common.models.clip_student import StudentNet

#: Steps in which the learning rate rises.
WARMUP = 100


class StudentLearner:
    """Knowledge distillation of vectors, step by step; see `common.training.stage`.

    The loss is the mean squared distance of unit vectors, `|s - t|^2 = 2 (1 - cos(s, t))`, and `weight` times the mean
    squared error of the cosines with the texts that a reward will compare pictures with: what is rewarded is to be
    right, whatever else the student does not see.

    Args:
        net: what learns.
        pictures: `(N, size, size, 3)` uint8.
        vectors: `(N, dim)` of the teacher, of length 1.
        texts: `(T, dim)` of the teacher, of length 1; may be empty.
        steps: of the whole training, at the end of which the learning rate is 0.
        batch_size: pictures of a step.
        learning_rate: the highest; it falls along a cosine.
        weight: of the loss on cosines.
        seed: of the order of the pictures.
    """

    def __init__(
        self,
        net: StudentNet,
        pictures: NDArray[np.uint8],
        vectors: Tensor,
        texts: Tensor,
        steps: int,
        batch_size: int,
        learning_rate: float,
        weight: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.net, self.pictures, self.vectors, self.texts = net, pictures, vectors, texts
        self.whole, self.learning_rate, self.weight = steps, learning_rate, weight
        self.optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-4)
        self.sampler = CyclicSampler(len(pictures), batch_size, seed)
        self.steps = 0

    def step(self) -> dict[str, float]:
        """One optimiser step; returns both losses."""
        warmup = min(1.0, (self.steps + 1) / WARMUP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * self.steps / self.whole))
        self.net.train()
        rows = self.sampler.next()
        seen = functional.normalize(self.net(torch.from_numpy(self.pictures[rows]).permute(0, 3, 1, 2).float() / 255))
        wanted = self.vectors[rows]
        distance = (seen - wanted).square().sum(1).mean()
        cosines = ((seen - wanted) @ self.texts.T).square().mean() if len(self.texts) else distance * 0
        loss = distance + self.weight * cosines
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        return {"loss": float(loss.detach()), "distance": float(distance.detach()), "cosines": float(cosines.detach())}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "step": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        self.steps = state["step"]
