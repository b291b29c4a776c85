"""Teaches a small network a CLIP's picture vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from common.training.scheduled import ScheduledLearner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from common.models.clip_student import StudentNet


class StudentLearner(ScheduledLearner):
    """Knowledge distillation of vectors, step by step; see `ScheduledLearner`.

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
        optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-4)
        super().__init__(net, optimizer, len(pictures), steps, batch_size, learning_rate, seed)
        self.pictures, self.vectors, self.texts, self.weight = pictures, vectors, texts, weight
        self.parts: dict[str, float] = {}

    def figures(self) -> dict[str, float]:
        """Both losses of the last step."""
        return self.parts

    def loss(self, rows: list[int]) -> Tensor:
        """The two losses, weighted."""
        seen = functional.normalize(
            self.model(torch.from_numpy(self.pictures[rows]).permute(0, 3, 1, 2).float() / 255)
        )
        wanted = self.vectors[rows]
        distance = (seen - wanted).square().sum(1).mean()
        cosines = ((seen - wanted) @ self.texts.T).square().mean() if len(self.texts) else distance * 0
        self.parts = {"distance": float(distance.detach()), "cosines": float(cosines.detach())}
        return distance + self.weight * cosines
