"""How good an order is: rewards for retrieval and reranking."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput

#: An id in brackets, as rerankers write it: "[3] > [1]".
_BRACKETED = re.compile(r"\[\s*([^\[\],\s]{1,100})\s*\]")
_SEPARATOR = re.compile(r"[>,;\n]")

Grades = Mapping[str, float]


def dcg(gains: Sequence[float]) -> float:
    r""":math:`\sum_i (2^{rel_i} - 1) / \log_2(i + 1)`, i from 1."""
    return sum((2.0**gain - 1.0) / math.log2(at + 2) for at, gain in enumerate(gains))


def ndcg(ranking: Sequence[str], grades: Grades, k: int | None = None) -> float:
    r""":math:`DCG / IDCG` of the first k different items; an item without a grade has 0. NaN where IDCG is 0.

    Args:
        ranking: items, best first; a second mention does not count, nor take a place.
        grades: relevance of each item, 0 or more.
        k: places that count; all where not given.
    """
    ideal = dcg(sorted(grades.values(), reverse=True)[:k])
    found = dcg([grades.get(item, 0.0) for item in list(dict.fromkeys(ranking))[:k]])
    return found / ideal if ideal > 0 else math.nan


def recall_at_k(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Share of the relevant items (grade above 0) among the first k different ones; NaN where none is relevant."""
    relevant = {item for item, grade in grades.items() if grade > 0}
    return len(relevant & set(list(dict.fromkeys(ranking))[:k])) / len(relevant) if relevant else math.nan


def read_ranking(entry: str | Sequence[Any]) -> list[str]:
    """The items of a list, or of a text: those in brackets, or else what stands between `>`, commas and lines."""
    if not isinstance(entry, str):
        return [str(item) for item in entry]
    return _BRACKETED.findall(entry) or [one.strip() for one in _SEPARATOR.split(entry) if one.strip()]


def read_grades(entry: Mapping[Any, Any] | Sequence[Any] | None) -> Grades | None:
    """Relevance by item; a list names the relevant items. None where there is none, or a grade is no number from 0."""
    if entry is None or isinstance(entry, str):
        return None
    grades = entry if isinstance(entry, Mapping) else dict.fromkeys(entry, 1.0)
    try:
        known = {str(item): float(grade) for item, grade in grades.items()}
    except (TypeError, ValueError):
        return None
    return known if all(0 <= grade <= 100 for grade in known.values()) else None


class RankingReward(Reward):
    """A ranking against known relevance.

    A ranking is a list of items, or a text; see `read_ranking`. Naming an item twice earns nothing, so that lists
    cannot be stuffed. A ranking in which no item is found scores 0 with a reason (the policy's fault); a row of which
    no item is relevant, or whose relevance is broken, is NaN (the data's; VRAG-RL's code pays 0).
    """

    def __init__(self, ranking: str, relevance: str, k: int | None, name: str) -> None:
        if k is not None and k < 1:
            raise RewardError(f"reward {name!r}: k is 1 or more, not {k}")
        self.ranking = ranking
        self.relevance = relevance
        self.k = k
        self.name = name
        self.needs = (ranking, relevance)

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each row; see `Reward.score`."""
        rows = zip(columns[self.ranking], columns[self.relevance], strict=True)
        found = [self._row(said, entry) for said, entry in rows]
        values = torch.tensor([value for value, _ in found], dtype=torch.float32)
        return RewardOutput(values, info={"reason": [reason for _, reason in found]})

    def _row(self, said: Any, entry: Any) -> tuple[float, str]:
        grades = read_grades(entry)
        if grades is None or not any(grades.values()):
            return math.nan, "no item is known to be relevant"
        ranking = [] if said is None else read_ranking(said)
        if not ranking:
            return 0.0, "no item is ranked"
        # Rounding may leave the bounds by one unit in the last place.
        return min(1.0, self.compare(ranking, grades)), ""

    @abstractmethod
    def compare(self, ranking: Sequence[str], grades: Grades) -> float:
        """The value of a ranking of which an item is relevant."""


class Ndcg(RankingReward):
    r"""Normalised discounted cumulative gain, :math:`DCG / IDCG`; see `ndcg`.

    Range [0, 1], higher is better. VRAG-RL (arXiv 2505.22019); MM-R5 (arXiv 2506.12364) for reranking; CodeSearchNet's
    metric. Failure: see `RankingReward`.

    Args:
        ranking: column of rankings.
        relevance: column of relevance: `{item: grade}`, or a list of the relevant items.
        k: places that count; all where not given.
        name: the part's name.

    Raises:
        RewardError: k is below 1.
    """

    def __init__(
        self, ranking: str = "completion", relevance: str = "relevance", k: int | None = None, name: str = "ndcg"
    ) -> None:
        super().__init__(ranking, relevance, k, name)

    def compare(self, ranking: Sequence[str], grades: Grades) -> float:
        """See `ndcg`."""
        return ndcg(ranking, grades, self.k)


class RecallAtK(RankingReward):
    r"""Share of the relevant items among the first k, :math:`|R_k \cap R| / |R|`; see `recall_at_k`.

    Range [0, 1], higher is better; below 1 wherever more than k items are relevant. After MM-R5 (arXiv 2506.12364),
    whose own formula was not at hand. Failure: see `RankingReward`.

    Args:
        k: places that count.
        ranking: column of rankings.
        relevance: column of relevance: `{item: grade}`, or a list of the relevant items.
        name: the part's name.

    Raises:
        RewardError: k is below 1.
    """

    def __init__(
        self, k: int, ranking: str = "completion", relevance: str = "relevance", name: str = "recall"
    ) -> None:
        super().__init__(ranking, relevance, k, name)
        self.places = k

    def compare(self, ranking: Sequence[str], grades: Grades) -> float:
        """See `recall_at_k`."""
        return recall_at_k(ranking, grades, self.places)
