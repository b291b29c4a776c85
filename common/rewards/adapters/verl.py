"""Hands a reward to verl as `custom_reward_function`; verl is not imported, only its calling convention followed.

Read at verl 0.9.1: the reward loop (`naive`, `dapo`, `gdpo`, `rate_limited`) asks row by row, from threads; the older
`batch` manager asks for whole batches. Both write `score` into the reward tensor as it is, where NaN spoils the
advantages of the group and None is a TypeError. Do not use the `prime` manager, and set no `compute_score_timeout`:
both turn a failure of the grader into 0.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from common.rewards.adapters.filling import FillingScorer, Missing, columns_of
from common.rewards.base import Reward


class ComputeScore:
    """verl's `compute_score`, of a row or of a batch; see `to_verl`."""

    def __init__(self, scorer: FillingScorer) -> None:
        self.scorer = scorer

    def __call__(
        self, data_source: Any = None, solution_str: str = "", ground_truth: Any = None, extra_info: Any = None,
        *, data_sources: Any = None, solution_strs: Any = None, ground_truths: Any = None, extra_infos: Any = None,
        **_: Any,
    ) -> dict[str, float] | list[dict[str, float]]:  # fmt: skip
        """`score`, `failed` and the reward's parts: of a row, or a list of them for a batch; see `FillingScorer`."""
        if solution_strs is None:
            return self._scored([data_source], [solution_str], [ground_truth], [extra_info])[0]
        given = [[None] * len(solution_strs) if one is None else list(one) for one in (data_sources, ground_truths)]
        extras = [None] * len(solution_strs) if extra_infos is None else extra_infos
        return self._scored(given[0], list(solution_strs), given[1], extras)

    def _scored(
        self, sources: list[Any], solutions: list[str], truths: list[Any], extras: Sequence[Any]
    ) -> list[dict[str, float]]:
        infos, spread = ([one if isinstance(one, Mapping) else {} for one in several] for several in (extras, truths))
        given = {"reference": truths, "ground_truth": truths, **columns_of(infos), **columns_of(spread)}
        keys = zip(sources, truths, [info.get("index") for info in infos], strict=True)
        groups = [json.dumps(key, default=str) for key in keys]
        filled = self.scorer({**given, "data_source": sources, "completion": solutions}, groups)
        parts = {"failed": [float(lost) for lost in filled.failed], **filled.parts}
        return [
            {**{name: part[row] for name, part in parts.items()}, "score": value}
            for row, value in enumerate(filled.values)
        ]


def to_verl(
    reward: Reward, columns: Mapping[str, str] | None = None, missing: Missing = "group", concurrent: bool = False
) -> ComputeScore:
    """A `compute_score` for `custom_reward_function.path` and `.name`; it pickles. Arguments: see `FillingScorer`.

    The reward finds the solution in `completion`, the ground truth in `reference` (one that is a dictionary is spread
    over columns of its own) and what `extra_info` holds under its own names. Rows of one data source, ground truth and
    `extra_info["index"]` are a group; a row alone has none, so there a failure of the grader raises unless `missing`
    is a number.
    """
    return ComputeScore(FillingScorer(reward, columns, missing, concurrent))
