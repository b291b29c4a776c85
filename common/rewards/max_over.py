"""The best of several candidates in a row."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput, take_rows


class MaxOver(Reward):
    r""":math:`\max_k r(q_k)` over the candidates of a row: the best one pays, so that the others may explore.

    Range: the inner reward's; higher is better where it is so there. ChatR1 (arXiv 2510.13312): the queries of a
    rollout against a human's rewrite, with weight 0.2 beside the answer. Only the first `most` candidates count: with
    no limit a policy would cast many and be paid for the luckiest.

    A row without a candidate scores the lower bound with a reason (the policy's fault). A candidate that could not be
    scored makes the row NaN, unless another one reached the upper bound: it might have been the best.

    Args:
        inner: the reward; it scores rows by themselves.
        column: column of candidates: lists, or texts where there is a tag.
        tag: candidates are what stands inside each `<tag>` pair of a text, such as "search"; "" for lists.
        into: the inner reward's column that takes a candidate.
        most: candidates of a row that count.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: the inner reward does not read `into`, or scores groups; `most` is below 1.
    """

    def __init__(
        self,
        inner: Reward,
        column: str = "completion",
        tag: str = "",
        into: str = "completion",
        most: int = 8,
        name: str | None = None,
    ) -> None:
        self.name = inner.name if name is None else name
        if into not in inner.needs or "group" in inner.needs:
            raise RewardError(
                f"reward {self.name!r}: the inner reward must read {into!r} and no group; it needs {inner.needs}"
            )
        if most < 1:
            raise RewardError(f"reward {self.name!r}: most {most} must be 1 or more")
        self.inner = inner
        self.column = column
        self.tag = tag
        self.into = into
        self.most = most
        self.needs = tuple(dict.fromkeys((column, *(one for one in inner.needs if one != into))))
        self.bounds = inner.bounds

    def score(self, **columns: Any) -> RewardOutput:
        """Score all candidates in one batch; see `Reward.score`."""
        size = self.batch_size(columns)
        several = [self.candidates(entry)[: self.most] for entry in columns[self.column]]
        rows = [row for row, found in enumerate(several) for _ in found]
        spread = take_rows({name: column for name, column in columns.items() if name != self.into}, rows, size)
        flat = [one for found in several for one in found]
        scores = self.inner(**{**spread, self.into: flat}).values.detach().tolist() if flat else []
        values, reasons, at = [], [], 0
        for found in several:
            value, reason = self._best(found, scores[at : at + len(found)])
            values.append(value)
            reasons.append(reason)
            at += len(found)
        return RewardOutput(torch.tensor(values, dtype=torch.float32), info={"reason": reasons})

    def candidates(self, entry: str | Sequence[str] | None) -> list[str]:
        """The candidates of a row."""
        if entry is None:
            return []
        if not self.tag:
            return [entry] if isinstance(entry, str) else list(entry)
        tag = re.escape(self.tag)
        texts = [entry] if isinstance(entry, str) else entry
        return [one.strip() for text in texts for one in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)]

    def _best(self, found: Sequence[str], scores: Sequence[float]) -> tuple[float, str]:
        if not found:
            return self.worst, "no candidate is given"
        best = max((score for score in scores if not math.isnan(score)), default=math.nan)
        if any(map(math.isnan, scores)) and not best >= self.bounds[1]:
            return math.nan, "a candidate could not be scored"
        return best, f"best of {len(found)}: {str(found[list(scores).index(best)])[:80]}"
