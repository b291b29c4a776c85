"""Whether a search agent judges its own findings rightly (ReSeek)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput
from common.rewards.text.matching import NO_REFERENCE, references_of


def step_utility(said_yes: bool, right: bool, similar: bool, gain: float = 0.1, loss: float = 0.05) -> float:
    r"""What one judgement "is this document of use?" earns, p = `gain` and n = `loss`.

    ======= ============ ======== =======
    said    final answer document earns
    ======= ============ ======== =======
    yes     right        any      p
    yes     wrong        similar  −n / 2
    yes     wrong        other    −n
    no      any          other    p / 5
    no      any          similar  −n
    ======= ============ ======== =======
    """
    if said_yes:
        return gain if right else -loss / 2 if similar else -loss
    return -loss if similar else gain / 5


class StepUtility(Reward):
    r"""Exact match of the answer, and a small utility for each of its search steps that was judged rightly.

    .. math:: r = EM \cdot \tfrac14^{[\text{too many answers}]} + \sum_{t \le T} u_t

    with u of `step_utility`. Range [−nT, 1 + pT] with T = `steps`, higher is better. ReSeek (its code): a step is
    judged by whether the document found is similar to the gold answer (≥ 0.5 of a reranker). That similarity comes as
    a column: a service that fails gives None there, and the row is NaN; the paper's code scores it as 0.0, which
    punishes the policy for the service's fault. Which of the two penalties of a wrong "yes" belongs to a similar
    document was not told where this was read; here the milder one does. Parts: `answer` and `utility`.

    Guards: an answer given more than `answers` times is worth a quarter, as there; only the first `steps` judgements
    count; one that is neither yes nor no, or has no document, counts as wrong (−n). A completion without an answer has
    EM 0. A row without a reference is NaN.

    Args:
        similarity: column of lists, the similarity of each step's document to the gold answer; None where not known.
        reference: column of right answers; an entry may be a list.
        answer_tag: tag of the answer; the last one counts.
        judge_tag: tag of the judgements, one for each step.
        threshold: similarity from which a document is of use.
        gain: p.
        loss: n.
        answers: answer tags from which on there are too many.
        steps: T.
        name: the part's name.

    Raises:
        RewardError: a number that cannot be.
    """

    part_names = ("answer", "utility")

    def __init__(
        self,
        similarity: str = "similarity",
        reference: str = "reference",
        answer_tag: str = "answer",
        judge_tag: str = "judge",
        threshold: float = 0.5,
        gain: float = 0.1,
        loss: float = 0.05,
        answers: int = 10,
        steps: int = 10,
        name: str = "step_utility",
    ) -> None:
        if not (0 <= gain < math.inf and 0 <= loss < math.inf) or min(answers, steps) < 1:
            raise RewardError(
                f"reward {name!r}: gain {gain} and loss {loss} must be 0 or more, answers {answers} and steps {steps} "
                "1 or more"
            )
        self.similarity, self.reference = similarity, reference
        self.answer_tag, self.judge_tag = answer_tag, judge_tag
        self.threshold, self.gain, self.loss = threshold, gain, loss
        self.answers, self.steps = answers, steps
        self.name = name
        self.needs = ("completion", similarity, reference)
        self.bounds = (-loss * steps, 1.0 + gain * steps)

    def score(self, **columns: Any) -> RewardOutput:
        """Judge each row's judgements; see `Reward.score`."""
        rows = zip(columns["completion"], columns[self.similarity], columns[self.reference], strict=True)
        found = [self._row(*row) for row in rows]
        table = torch.tensor([(answer, utility) for answer, utility, _ in found], dtype=torch.float64).reshape(-1, 2)
        parts = {"answer": table[:, 0].float(), "utility": table[:, 1].float()}
        return RewardOutput(table.sum(1).float(), parts, {"reason": [reason for _, _, reason in found]})

    def _row(self, text: str, similarity: Sequence[float | None] | None, entry: Any) -> tuple[float, float, str]:
        references = references_of(entry)
        if not references:
            return math.nan, math.nan, NO_REFERENCE
        answers = _inside_all(text, self.answer_tag)
        said = answers[-1] if answers else ""
        right = any(functional.exact_match(said, reference) for reference in references) if said.strip() else False
        crowded = text.count(f"<{self.answer_tag}>") > self.answers
        answer = float(right) / (4 if crowded else 1)
        reason = "too many answers" if crowded else "" if answers else f"no <{self.answer_tag}>"
        known = list(similarity or [])
        utility = 0.0
        for at, judgement in enumerate(_inside_all(text, self.judge_tag)[: self.steps]):
            word = functional.normalise(judgement)
            if at >= len(known) or word not in ("yes", "no"):
                utility -= self.loss
                continue
            document = known[at]
            if document is None or not math.isfinite(document):
                return answer, math.nan, f"the similarity of step {at + 1} is not known"
            utility += step_utility(word == "yes", right, document >= self.threshold, self.gain, self.loss)
        return answer, utility, reason


def _inside_all(text: str, tag: str) -> list[str]:
    return re.findall(rf"<{re.escape(tag)}>(.*?)</{re.escape(tag)}>", text, re.DOTALL)
