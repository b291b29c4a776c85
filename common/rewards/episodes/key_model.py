"""A small model of short texts, into which an annotator's labels are distilled."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import RewardError


class KeyModel:
    """One number for a text, from its hashed words and pairs of words; learns on the CPU in milliseconds.

    Equal seeds and equal data in equal order give equal weights.

    Args:
        width: of the hashed vector.
        hidden: units.
        learning_rate: Adam's.
        batch_size: rows of one gradient step.
        seed: of weights and batches.

    Attributes:
        fitted: gradient steps so far.

    Raises:
        RewardError: a size that cannot be.
    """

    def __init__(
        self,
        width: int = 1024,
        hidden: int = 32,
        learning_rate: float = 1e-2,
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        if min(width, hidden, batch_size) < 1 or not learning_rate > 0:
            raise RewardError(f"key model: width {width}, hidden {hidden}, batch {batch_size}, rate {learning_rate}")
        self.width = width
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.fitted = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        initialise(self.net, self.generator)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "generator": self.generator.get_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.generator = torch.Generator()
        self.generator.set_state(state["generator"])

    @torch.no_grad()
    def scores(self, texts: Sequence[str]) -> Tensor:
        """`(B,)` float32: log-odds after `fit`, strength after `fit_pairs`."""
        return self._forward(texts) if texts else torch.zeros(0)

    def fit(self, texts: Sequence[str], labels: Sequence[float], steps: int = 32) -> float:
        """Some steps of logistic regression on labels in [0, 1]; the last loss."""
        targets = torch.tensor(labels, dtype=torch.float32)

        def loss(rows: list[int]) -> Tensor:
            logits = self._forward([texts[row] for row in rows])
            return nn.functional.binary_cross_entropy_with_logits(logits, targets[rows])

        return self._descend(loss, len(texts), steps)

    def fit_pairs(self, pairs: Sequence[tuple[str, str]], labels: Sequence[float], steps: int = 32) -> float:
        r"""Some steps of Bradley-Terry on pairs; a label is the chance that the first is better, 1/2 a tie.

        The loss is :math:`-[y \log p + (1 - y) \log (1 - p)]` with :math:`p = \sigma(s_1 - s_2)`. The last loss.
        """
        targets = torch.tensor(labels, dtype=torch.float32)

        def loss(rows: list[int]) -> Tensor:
            first, second = (self._forward([pairs[row][side] for row in rows]) for side in (0, 1))
            return nn.functional.binary_cross_entropy_with_logits(first - second, targets[rows])

        return self._descend(loss, len(pairs), steps)

    def state_dict(self) -> dict[str, Any]:
        """Weights and the state of the random numbers, for a checkpoint."""
        weights = {name: value.clone() for name, value in self.net.state_dict().items()}
        return {"net": weights, "generator": self.generator.get_state(), "fitted": self.fitted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.net.load_state_dict(state["net"])
        self.generator.set_state(state["generator"])
        self.fitted = int(state["fitted"])

    def _forward(self, texts: Sequence[str]) -> Tensor:
        rows = torch.zeros(len(texts), self.width)
        for row, text in enumerate(texts):
            places = hashed(text, self.width)
            rows[row, list(places)] = 1 / max(len(places), 1) ** 0.5
        scores: Tensor = self.net(rows).squeeze(-1)
        return scores

    def _descend(self, loss: Any, size: int, steps: int) -> float:
        if not size:
            return float("nan")
        optimiser = torch.optim.Adam(self.net.parameters(), self.learning_rate)
        value = torch.zeros(())
        for _ in range(steps):
            rows = torch.randperm(size, generator=self.generator)[: self.batch_size].tolist()
            with torch.enable_grad():
                value = loss(rows)
                optimiser.zero_grad()
                value.backward()
            optimiser.step()
        self.fitted += steps
        return float(value.detach())


@lru_cache(maxsize=65536)
def hashed(text: str, width: int) -> tuple[int, ...]:
    """Places of a text's words and pairs of neighbouring words; the same on every machine."""
    words = text.casefold().split()
    pairs = [f"{one} {two}" for one, two in pairwise(words)]
    return tuple(sorted({zlib.crc32(unit.encode("utf-8", "replace")) % width for unit in (*words, *pairs)}))


def initialise(net: nn.Module, generator: torch.Generator) -> None:
    """Weights of linear layers as torch draws them by default, but from a generator of one's own; biases 0."""
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()
