"""One optimiser step from a loss that comes in parts: over passes that fit into memory, and over processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from common.training.workers import Workers


def parts(rows: int, size: int) -> list[slice]:
    """The rows in passes of at most `size`; 0 takes all at once."""
    return [slice(start, start + size) for start in range(0, rows, size)] if size else [slice(0, rows)]


def by_length(lengths: Tensor, size: int, group: int = 1) -> list[tuple[Tensor, int]]:
    """Captions in passes of at most `size`, like lengths together, so that little of a pass is padding.

    Args:
        lengths: `(B,)` tokens.
        size: captions of a pass; 0 takes all at once, in their order.
        group: captions that stay together: rows one after the other.

    Returns:
        For each pass the rows and the longest of their lengths.
    """
    rows = torch.arange(len(lengths), device=lengths.device).view(-1, group)
    if size:
        rows = rows[lengths.view(-1, group).amax(1).argsort(stable=True)]
    passes = torch.split(rows, max(1, size // group if size else len(rows)))
    return [(part.flatten(), int(lengths[part].max())) for part in passes if part.numel()]


def descend(
    losses: Iterable[Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, at_once: bool, workers: Workers
) -> tuple[float, float, bool]:
    """One step down a loss, with its gradient's length held to 1; what is no number changes nothing.

    Args:
        losses: parts whose sum, over all processes, is the loss; each is made only when the one before has been dealt
            with, so that no two are in memory.
        model: whose weights learn.
        optimizer: theirs.
        at_once: all parts in one pass.
        workers: the processes.

    Returns:
        The loss of the whole step, the gradient's length, and whether the weights were changed.
    """
    optimizer.zero_grad()
    if at_once:
        first, *others = losses
        losses = [sum(others, start=first)]
    found = 0.0
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
        found += float(loss.detach())
    workers.add_gradients(model.parameters())
    found = workers.total(found)
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    usable = bool(norm.isfinite()) and math.isfinite(found)
    if usable:
        optimizer.step()
    return found, float(norm), usable


def random_state(generator: torch.Generator, workers: Workers) -> dict[str, Any]:
    """Every process' generators: its own, torch's, from which dropout draws, and the GPU's."""
    own = {"generator": generator.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        own["cuda"] = torch.cuda.get_rng_state()
    first, *others = workers.gather(own)
    return {**first, "others": others} if others else dict(first)


def restore_random(state: Mapping[str, Any], generator: torch.Generator, workers: Workers) -> None:
    """Put back what `random_state` returned; a process that was not there before keeps the seed it began with."""
    everyone = [state, *state.get("others", [])]
    if workers.rank >= len(everyone):
        return
    own = everyone[workers.rank]
    generator.set_state(own["generator"])
    torch.set_rng_state(own["torch"])
    if "cuda" in own and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["cuda"])
