"""Whether a verifier that is being trained labels a rubric's nuggets rightly (Search-Gen-V)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput

#: Search-Gen-V's labels.
LABELS = ("support", "partial_support", "not_support")
#: Its weights: macro F1, all right, a reasoning, a readable answer.
WEIGHTS = (0.35, 0.35, 0.2, 0.1)
NO_LABELS = "the row has no labels, or others than the reward knows"


def macro_f1(predicted: Sequence[str], right: Sequence[str]) -> float:
    """Mean F1 of the labels that either side names; in [0, 1], 1 where both are the same."""
    hits = Counter(one for one, other in zip(predicted, right, strict=True) if one == other)
    named = Counter(predicted) + Counter(right)
    return sum(2 * hits[label] / times for label, times in named.items()) / len(named)


class VerdictMatch(Reward):
    r"""A verifier's labels of a rubric's nuggets against the right ones, with its form.

    .. math:: r = 0.35\, F_1^{macro} + 0.35\,[\text{all right}] + 0.2\,[\text{reasoning}] + 0.1\,[\text{form}]

    Range [0, 1], higher is better. Search-Gen-V (arXiv 2510.14660, its code): 0 where there are not as many labels as
    nuggets. The completion gives its reasoning inside one pair of tags and, after it, a list of labels inside another,
    read as JSON; the paper's code runs `eval` on it. The tags are ours. Macro F1 is the mean over the labels that the
    answer or the reference names. Parts: `labels` (F1 and all right, to 0.7) and `form` (to 0.3).

    The form alone is never paid: an answer without one right label scores 0. No answer, an unreadable one, an unknown
    label or another number of labels scores 0 (the policy's fault); a row without right labels is NaN (the data's).

    Args:
        labels: column of lists, the right label of each nugget.
        known: the labels that there are.
        reasoning_tag: tag of the reasoning, which must not be empty.
        answer_tag: tag of the list.
        name: the part's name.

    Raises:
        RewardError: fewer than two labels are known.
    """

    part_names = ("labels", "form")

    def __init__(
        self,
        labels: str = "labels",
        known: Sequence[str] = LABELS,
        reasoning_tag: str = "reasoning",
        answer_tag: str = "answer",
        name: str = "verdict_match",
    ) -> None:
        if len(set(known)) < 2:
            raise RewardError(f"reward {name!r}: a verifier tells two labels apart or more, not {tuple(known)}")
        self.labels = labels
        self.known = tuple(known)
        self.reasoning_tag, self.answer_tag = reasoning_tag, answer_tag
        self.name = name
        self.needs = ("completion", labels)

    def score(self, **columns: Any) -> RewardOutput:
        """Read and compare each row's labels; see `Reward.score`."""
        rows = zip(columns["completion"], columns[self.labels], strict=True)
        found = [self._row(text or "", right) for text, right in rows]
        table = torch.tensor([(labels, form) for labels, form, _ in found], dtype=torch.float64).reshape(-1, 2)
        parts = {"labels": table[:, 0].float(), "form": table[:, 1].float()}
        return RewardOutput(table.sum(1).float(), parts, {"reason": [reason for _, _, reason in found]})

    def _row(self, text: str, right: Any) -> tuple[float, float, str]:
        if not isinstance(right, (list, tuple)) or not right or not all(label in self.known for label in right):
            return math.nan, math.nan, NO_LABELS
        if functional.template_score(text, (self.answer_tag,)) < 1:
            return 0.0, 0.0, f"not one answer inside <{self.answer_tag}>"
        try:
            said = json.loads(functional.inside(text, self.answer_tag) or "")
        except (ValueError, RecursionError):
            return 0.0, 0.0, f"no JSON list inside <{self.answer_tag}>"
        if not isinstance(said, list) or not all(label in self.known for label in said):
            return 0.0, 0.0, f"the answer is no list of {', '.join(self.known)}"
        if len(said) != len(right):
            return 0.0, 0.0, f"{len(said)} labels for {len(right)} nuggets"
        hits = sum(one == other for one, other in zip(said, right, strict=True))
        if not hits:
            return 0.0, 0.0, "no label is right"
        reasoned = functional.template_score(text, (self.reasoning_tag, self.answer_tag)) == 1
        f1, whole, reasoning, form = WEIGHTS
        labels = f1 * macro_f1(said, right) + whole * (hits == len(right))
        return labels, reasoning * reasoned + form, f"{hits} of {len(right)} labels are right"
