"""Heads that read exact truth from a model's tokens: direct supervision for what is to see or to read.

Through a language or diffusion loss alone a small encoder learns nothing for hundreds of steps, because the first part
of the loss is to be had without it (shared/reference/medvqa.md, "Does it really learn?").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

#: The class number of what is not asked; torch's cross entropy passes over it.
IGNORED = -100

#: Name of each figure: how many rows of it an example has, and its classes.
Figures = Mapping[str, tuple[int, int]]


class Heads(nn.Module):
    """Reads the truth from tokens: a query for every row of every figure looks for it, as words will.

    Everything is linear in what the query found, so that what the heads can read a language model can read too.

    Args:
        width: of the tokens.
        figures: what is read.
        readers: of a figure, the number of the reader of each row, where several rows are read in one way; each row
            has its own where not given.
    """

    def __init__(self, width: int, figures: Figures, readers: Mapping[str, Sequence[int]] | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.queries = nn.ParameterDict()
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        self.readers = {name: list(range(rows)) for name, (rows, _) in figures.items()}
        self.readers.update({name: list(shared) for name, shared in (readers or {}).items()})
        for name, (rows, classes) in figures.items():
            count = max(self.readers[name]) + 1
            self.queries[name] = nn.Parameter(torch.randn(rows, width) / math.sqrt(width))
            self.weights[name] = nn.Parameter(torch.randn(count, width, classes) / math.sqrt(width))
            self.biases[name] = nn.Parameter(torch.zeros(count, classes))

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


def figure_losses(logits: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cross entropy of each figure, summed over its rows, an example's mean."""
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
