"""Scores several requests in one call of the reward, and gives each its own rows back."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.errors import TouchstoneError
from common.rewards.base import Reward, RewardOutput

log = logging.getLogger(__name__)

#: What a request ends with.
Result = RewardOutput | Exception


@dataclass(frozen=True)
class Batch:
    """One request: its columns, and how many rows they have."""

    columns: Mapping[str, Any]
    size: int


def score_together(reward: Reward, batches: Sequence[Batch]) -> list[Result]:
    """The output of each batch, or the error that it alone caused.

    Batches whose columns are alike are scored as one. A reward that `needs` a `group` scores each by itself, for two
    callers may have numbered their groups alike. Where a joint call raises, each batch is scored by itself, so that
    nobody gets an error for somebody else's rows.
    """
    results: list[Result | None] = [None] * len(batches)
    alike: dict[Hashable, list[int]] = {}
    needed = [
        Batch({one: batch.columns[one] for one in reward.needs if one in batch.columns}, batch.size)
        for batch in batches
    ]
    for at, batch in enumerate(needed):
        alone = "group" in reward.needs or batch.size == 0
        alike.setdefault(at if alone else _shape(batch.columns), []).append(at)
    for members in alike.values():
        for at, result in zip(members, _score(reward, [needed[at] for at in members]), strict=True):
            results[at] = result
    return [result for result in results if result is not None]


def _score(reward: Reward, batches: Sequence[Batch]) -> list[Result]:
    joined = join([batch.columns for batch in batches])
    try:
        output = reward(**joined)
    except TouchstoneError as error:
        return [error] if len(batches) == 1 else [_score(reward, [batch])[0] for batch in batches]
    except Exception as error:
        # The grader's fault. A server must outlive it: the client is told, and its rows are NaN.
        if len(batches) > 1:
            return [_score(reward, [batch])[0] for batch in batches]
        log.exception("reward %r failed", reward.name)
        return [error]
    return list[Result](split(output, [batch.size for batch in batches]))


def join(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns below each other; all must have the same `_shape`."""
    return {name: _join([columns[name] for columns in several]) for name in several[0]}


def split(output: RewardOutput, sizes: Sequence[int]) -> list[RewardOutput]:
    """The rows of a joint output, batch by batch."""
    found, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        found.append(
            RewardOutput(
                output.values[rows],
                {name: part[rows] for name, part in output.parts.items()},
                {name: list(texts[rows]) for name, texts in output.info.items()},
            )
        )
        start += size
    return found


def _join(columns: Sequence[Any]) -> Any:
    first = columns[0]
    if len(columns) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(columns))
    if isinstance(first, Mapping):
        return join(columns)
    return [row for column in columns for row in column] if isinstance(first, list) else first


def _shape(column: Any) -> Hashable:
    """What two columns must have in common to stand below each other."""
    if isinstance(column, Mapping):
        return tuple((name, _shape(column[name])) for name in sorted(column))
    if isinstance(column, Tensor):
        return str(column.dtype), tuple(column.shape[1:])
    return "list" if isinstance(column, list) else (type(column).__name__, column)
