"""What a picture should be told as: attention from a picture over the sentences of a corpus, in CLIP's space.

CgT-GAN's "aggregated" target (arXiv 2308.12045), which is also DeCap's projection. The softmax runs over the whole
corpus and is streamed in chunks with a running maximum, so millions of sentences need no more memory than thousands
and no temperature overflows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from common.errors import UsageError

# Entries of the picture-by-sentence table held at once: 4 million of 4 bytes. About four such tables stand at a time.
CHUNK = 4_000_000

Keys = Tensor | np.ndarray


def aggregate(
    queries: Tensor, keys: Keys, temperature: float = 100.0, top_k: int = 0, chunk: int | None = None
) -> Tensor:
    r""":math:`g(v) = \sum_j \mathrm{softmax}_j(\tau \cos(v, t_j))\, t_j`.

    Args:
        queries: `(P, D)` picture features of length 1.
        keys: `(N, D)` text features of length 1; an array mapped from disk is read chunk by chunk.
        temperature: τ; 0 gives the corpus' mean, a large one the nearest sentence.
        top_k: attend to the nearest sentences only (approximate, see `top_k_error`); 0 attends to all.
        chunk: sentences taken at once; as many as make a table of 16 MB where not given. Changes nothing but the
            memory.

    Returns:
        `(P, D)`, not of length 1: the shorter, the less the sentences agree.

    Raises:
        UsageError: the corpus is empty, or a size or the temperature is out of range.
    """
    _check(queries, keys, temperature)
    if top_k:
        weights, rows = nearest(queries, keys, top_k, temperature, chunk)
        chosen = _take(keys, rows.flatten(), queries).view(*rows.shape, -1)
        return (weights.unsqueeze(-1) * chosen).sum(1)
    peak = queries.new_full((len(queries), 1), -math.inf)
    mass = queries.new_zeros((len(queries), 1))
    total = torch.zeros_like(queries)
    for part, _ in _chunks(queries, keys, chunk):
        logits = temperature * (queries @ part.T)
        higher = torch.maximum(peak, logits.amax(1, keepdim=True))
        # What was summed so far is brought to the new maximum; exp never sees a positive number.
        shrink = (peak - higher).exp()
        weights = (logits - higher).exp_()
        mass = mass * shrink + weights.sum(1, keepdim=True)
        total = total * shrink + weights @ part
        peak = higher
    return total / mass


def project(queries: Tensor, keys: Keys, temperature: float) -> Tensor:
    """DeCap's projection (Li et al. 2023): the aggregated text feature, scaled to length 1; see `aggregate`."""
    return torch.nn.functional.normalize(aggregate(queries, keys, temperature), dim=-1)


def nearest(
    queries: Tensor, keys: Keys, k: int, temperature: float = 100.0, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """The sentences that a picture attends to most.

    Args:
        queries: `(P, D)` picture features of length 1.
        keys: `(N, D)` text features of length 1.
        k: sentences for each picture; all of a smaller corpus.
        temperature: of the softmax over these k.
        chunk: sentences taken at once.

    Returns:
        Weights `(P, k)` that add up to 1, largest first, and row numbers `(P, k)` in the corpus.

    Raises:
        UsageError: see `aggregate`.
    """
    _check(queries, keys, temperature)
    if k < 1:
        raise UsageError(f"the number of nearest sentences must be 1 or more, not {k}")
    best = queries.new_empty((len(queries), 0))
    rows = torch.empty((len(queries), 0), dtype=torch.long, device=queries.device)
    for part, start in _chunks(queries, keys, chunk):
        found, places = (queries @ part.T).topk(min(k, len(part)), dim=1)
        best, rows = torch.cat([best, found], 1), torch.cat([rows, places + start], 1)
        best, order = best.topk(min(k, best.shape[1]), dim=1)
        rows = rows.gather(1, order)
    return torch.softmax(temperature * best, 1), rows


def top_k_error(queries: Tensor, keys: Keys, temperature: float, top_k: int) -> dict[str, float]:
    """How far the approximation with `top_k` sentences lies from the exact target: 1 minus the cosine.

    Returns:
        `mean` and `max` over the queries.
    """
    exact = aggregate(queries, keys, temperature)
    approximate = aggregate(queries, keys, temperature, top_k)
    error = 1 - torch.cosine_similarity(exact.double(), approximate.double())
    return {"mean": float(error.mean()), "max": float(error.max())}


def _chunks(queries: Tensor, keys: Keys, chunk: int | None) -> Iterator[tuple[Tensor, int]]:
    """The keys part by part, on the queries' device, each with the number of its first row."""
    size = chunk or max(1, CHUNK // max(len(queries), keys.shape[1]))
    for start in range(0, len(keys), size):
        yield _tensor(keys[start : start + size], queries), start


def _take(keys: Keys, rows: Tensor, like: Tensor) -> Tensor:
    return _tensor(keys[rows.cpu().numpy()] if isinstance(keys, np.ndarray) else keys[rows.to(keys.device)], like)


def _tensor(values: Keys, like: Tensor) -> Tensor:
    tensor = torch.from_numpy(np.array(values)) if isinstance(values, np.ndarray) else values
    return tensor.to(like.device, like.dtype)


def _check(queries: Tensor, keys: Keys, temperature: float) -> None:
    if len(keys) == 0:
        raise UsageError("the corpus is empty: there is no sentence to attend to; check corpus.path and corpus.split")
    if queries.shape[1] != keys.shape[1]:
        raise UsageError(
            f"features of pictures and corpus come from two CLIPs: {queries.shape[1]} and {keys.shape[1]}"
        )
    if not (math.isfinite(temperature) and temperature >= 0):
        raise UsageError(f"the temperature of the attention must be 0 or more, not {temperature}")
