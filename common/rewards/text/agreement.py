"""Answers that agree with other answers: a reward without references."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from common.rewards import functional
from common.rewards.base import Reward, RewardOutput


def majority(answers: Sequence[str]) -> tuple[str | None, float]:
    """The most frequent answer that is not empty, and its share of all; None where two tie or there is none."""
    ranked = Counter(answer for answer in answers if answer).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None, ranked[0][1] / len(answers) if ranked else 0.0
    return ranked[0][0], ranked[0][1] / len(answers)


class SelfAgreement(Reward):
    r""":math:`1[a_i = \mathrm{mode}_j\, a'_j]`: agreement with the majority of the answers to the paired question.

    Range {0, 1}, higher is better. Co-Reward (arXiv 2508.00410, its code): the label of a question is the majority
    answer to a rewrite of it, and the other way round, which makes the answer "0" to everything harder to agree on,
    though not impossible. Without `pair` the group's own majority is the label (TTRL). Part: `share`, the majority's
    share of the votes; if it goes to 1 while a held-out metric falls, the policy has collapsed.

    Needs the `group` column, and the pair column names the group of the other question: both must be in the batch
    whole, so a trainer must not split them over processes. Group-wise by design.

    No answer is 0 with a reason (the policy's fault). NaN where there is no label: the other group is not in the
    batch, has no answer, or two answers tie; or where a group of one would agree with itself.

    Args:
        tag: the answer is the text inside this tag; "" for the whole completion. Answers are compared normalised.
        pair: column with the number of the group that answers the paired question; "" for the own group.
        name: the part's name.
    """

    part_names = ("share",)

    def __init__(self, tag: str = "", pair: str = "", name: str = "agreement") -> None:
        self.tag = tag
        self.pair = pair
        self.name = name
        self.needs = ("completion", "group", *((pair,) if pair else ()))

    def score(self, **columns: Any) -> RewardOutput:
        """Vote in each group; see `Reward.score`."""
        answers = [self._answer(text) for text in columns["completion"]]
        groups = torch.as_tensor(columns["group"], dtype=torch.long).tolist()
        others = torch.as_tensor(columns[self.pair], dtype=torch.long).tolist() if self.pair else groups
        votes: dict[int, list[str]] = {}
        for group, answer in zip(groups, answers, strict=True):
            votes.setdefault(group, []).append(answer)
        labels = {group: majority(given) for group, given in votes.items()}
        values, shares, reasons = [], [], []
        for answer, other in zip(answers, others, strict=True):
            label, share = labels.get(other, (None, math.nan))
            alone = not self.pair and len(votes[other]) < 2
            shares.append(math.nan if alone else share)
            if alone or other not in labels:
                values.append(math.nan)
                reasons.append("there is no other answer" if alone else f"group {other} is not in the batch")
            elif not answer:
                values.append(0.0)
                reasons.append("no answer is given")
            else:
                values.append(math.nan if label is None else float(answer == label))
                reasons.append("no answer has a majority" if label is None else "")
        parts = {"share": torch.tensor(shares, dtype=torch.float32)}
        return RewardOutput(torch.tensor(values, dtype=torch.float32), parts, {"reason": reasons, "answer": answers})

    def _answer(self, text: str) -> str:
        return functional.normalise((functional.inside(text, self.tag) or "") if self.tag else text)
