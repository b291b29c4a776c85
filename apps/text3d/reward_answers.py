"""Questions about a row's pictures with a model's answers, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the model was asked about a row's pictures, and what it said.

    Attributes:
        kind: of `KINDS`.
        fact: what the question is about, of `prompts.questions.FACTS`.
        text: the question.
        expected: whether yes is right, for pictures that show the prompt.
        views: the pictures that were shown.
        weight: among the questions of its kind.
        log_odds: log p(right) − log p(wrong), in nats; NaN where the model failed.
    """

    kind: str
    fact: str
    text: str
    expected: bool
    views: tuple[int, ...]
    weight: float
    log_odds: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file; a failure is None."""
        odds = self.log_odds
        return {
            "kind": self.kind,
            "fact": self.fact,
            "views": list(self.views),
            "text": self.text,
            "expected": "Yes" if self.expected else "No",
            "log_odds": round(odds, 5) if math.isfinite(odds) else None,
        }


@dataclass(frozen=True)
class Judged:
    """A row's reward and why.

    Attributes:
        value: the weighted sum; NaN where no part could be scored.
        parts: by name, NaN where the grader failed; a part that had nothing to ask is not there.
        answers: question by question.
        reason: what went wrong, or which answers are wrong; empty where all is right.
        failed: why a grader failed; empty where none did.
    """

    value: float
    parts: Mapping[str, float]
    answers: Sequence[Answer] = ()
    reason: str = ""
    failed: str = ""


def squashed(log_odds: float, form: str, saturation: float = 8.0) -> float:
    """Log-odds of the right answer in [0, 1]; NaN stays. See `RewardVlmConfig.form`."""
    if math.isnan(log_odds):
        return math.nan
    if form == "share":
        return 1.0 if log_odds > 0 else 0.5 if log_odds == 0 else 0.0
    # σ(r) = (1 + tanh(r / 2)) / 2, which knows no overflow.
    return 0.5 + 0.5 * math.tanh(log_odds / (2.0 if form == "probability" else saturation))


def told(answer: Answer) -> str:
    """A question, what is right and how sure the model was, in one line."""
    shown = "+".join(str(view + 1) for view in answer.views)
    right = "Yes" if answer.expected else "No"
    return f"picture {shown}: {answer.text} [{right}, log-odds {answer.log_odds:.2f}]"


def mean(answers: Sequence[Answer], value: Callable[[float], float]) -> float:
    """Weighted mean over answers of a function of their log-odds; NaN where one is."""
    total = sum(one.weight for one in answers)
    return sum(one.weight * value(one.log_odds) for one in answers) / total
