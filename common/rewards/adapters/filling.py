"""What the adapters for verl, ms-swift and OpenRLHF share: these trainers know no missing value, so one is filled in.

trl leaves out a row whose value is missing; these three do not (read at verl 0.9.1, ms-swift 4.6.0, OpenRLHF 0.11.2):
a NaN makes the advantages of its whole group NaN, or is summed as 0, often the worst score. Filled with the mean of
the scored rows of its group, a row moves neither the group's mean nor itself: its advantage is 0 in GRPO and RLOO.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from torch import nn

from common.errors import GraderFailure, RewardError
from common.rewards.adapters.trl import reason_of
from common.rewards.base import Reward, RewardOutput

#: The run stops where more than this share of the last rows could not be scored.
FAILED_SHARE = 0.2
FAILED_ROWS = 100

#: What stands for a value that the grader failed to give.
Missing = Literal["group", "raise"] | float


@dataclass(frozen=True)
class Filled:
    """Of the rows of one call.

    Attributes:
        values: always finite.
        failed: rows whose value was filled in.
        parts: the reward's parts; NaN where unknown.
    """

    values: list[float]
    failed: list[bool]
    parts: Mapping[str, list[float]]


class FillingScorer:
    """Calls a reward, fills in what its grader could not score, and stops the run where that becomes the rule.

    Args:
        reward: any reward that is no `nn.Module`.
        columns: the trainer's name of a column where it differs from the reward's: `{"reference": "solution"}`.
        missing: "group": the mean of the group's scored rows; of all rows of the call where the group has none; where
            the call has none either, GraderFailure. "raise": GraderFailure at once. A number: itself, an explicit
            choice. Filled rows are counted: more than a fifth of the last 100 stops the run, whatever `missing` is.
        concurrent: the trainer's threads may call the reward at the same time; only for rewards that stand it, such as
            a judge behind HTTP. Otherwise one call waits for the other.

    Raises:
        RewardError: not a plain reward, or an unknown `missing`.
    """

    def __init__(
        self,
        reward: Reward,
        columns: Mapping[str, str] | None = None,
        missing: Missing = "group",
        concurrent: bool = False,
    ) -> None:
        if isinstance(reward, nn.Module) or not isinstance(reward, Reward):
            raise RewardError(f"this takes a plain Reward, not a {type(reward).__name__}")
        known = missing in ("group", "raise") if isinstance(missing, str) else math.isfinite(missing)
        if not known:
            raise RewardError(f"unknown missing {missing!r}: group, raise or a finite number")
        self.reward = reward
        self.columns = dict(columns or {})
        self.missing = missing
        self.concurrent = concurrent
        self.failures: deque[bool] = deque(maxlen=FAILED_ROWS)
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__ |= {**state, "_lock": Lock()}

    def __call__(self, given: Mapping[str, Any], groups: Sequence[Hashable]) -> Filled:
        """Score rows whose columns stand under the trainer's names; `groups` names the group of each.

        Raises:
            RewardError: the caller's fault; see `Reward.__call__`.
            GraderFailure: a row could not be filled in, or too many had to be.
        """
        renamed = {ours: given[theirs] for ours, theirs in self.columns.items() if theirs in given}
        if self.concurrent:
            output = self.reward(**{**given, **renamed})
        else:
            with self._lock:
                output = self.reward(**{**given, **renamed})
        values = output.values.detach().float().cpu().tolist()
        if len(values) != len(groups):
            raise RewardError(f"reward {self.reward.name!r}: {len(values)} rows for {len(groups)} completions")
        failed = [not math.isfinite(value) for value in values]
        parts = {name: part.detach().float().cpu().tolist() for name, part in output.parts.items()}
        if any(failed):
            values = self._filled(values, failed, groups, output)
        self._count(failed, output)
        return Filled(values, failed, parts)

    def _filled(
        self, values: list[float], failed: list[bool], groups: Sequence[Hashable], output: RewardOutput
    ) -> list[float]:
        if not isinstance(self.missing, str):
            return [self.missing if lost else value for value, lost in zip(values, failed, strict=True)]
        everywhere = [value for value, lost in zip(values, failed, strict=True) if not lost]
        if self.missing == "raise" or not everywhere:
            row = failed.index(True)
            raise GraderFailure(
                f"reward {self.reward.name!r} could not score row {row} of {len(values)}{_why(output, row)}. This "
                "trainer cannot leave a row out: repair the grader, or drop the row from the data, or choose what "
                "stands for it with missing=NUMBER"
            )
        scored: dict[Hashable, list[float]] = {}
        for value, lost, group in zip(values, failed, groups, strict=True):
            if not lost:
                scored.setdefault(group, []).append(value)
        return [
            _mean(scored.get(group, everywhere)) if lost else value
            for value, lost, group in zip(values, failed, groups, strict=True)
        ]

    def _count(self, failed: Sequence[bool], output: RewardOutput) -> None:
        self.failures.extend(failed)
        lost = sum(self.failures)
        if len(self.failures) < FAILED_ROWS or lost <= FAILED_SHARE * FAILED_ROWS:
            return
        # A run that is resumed once the grader works again starts a new count.
        self.failures.clear()
        why = _why(output, failed.index(True)) if any(failed) else ""
        raise GraderFailure(
            f"reward {self.reward.name!r} could not score {lost} of the last {FAILED_ROWS} rows{why}. The grader or "
            "its data is at fault, not the model: repair it and resume the run"
        )


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The columns that every one of these rows has."""
    names = [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]
    return {name: [row[name] for row in rows] for name in names}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _why(output: RewardOutput, row: int) -> str:
    said = reason_of(output, [row])
    return f" ({said})" if said else ""
