"""Rewards for the reasoning that leads to an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.rewards import functional
from common.rewards.base import RewardOutput
from common.rewards.text.matching import EMPTY, EncoderSimilarity

if TYPE_CHECKING:
    from common.models.text import Encoder


class ExplanationSimilarity(EncoderSimilarity):
    r""":math:`(\cos(E(\hat e), E(e)) - low) / (high - low)`, clipped to [0, 1], of two explanations; higher is better.

    After Shaping Explanations (arXiv 2509.13081): ê is the text inside the completion's reasoning tags, e a reference
    explanation. The paper adds rewards for the answer and the form; alone this one pays wrong answers that are
    explained in the reference's words.

    Without reasoning the completion scores 0 with a reason (the policy's fault); without a reference explanation, or
    where the encoder returns no number, the row is NaN.

    Args:
        encoder: folder, hub id or "hash" (opened on first use), or an encoder.
        tag: name of the reasoning tag, such as "think"; "" compares the whole completion.
        reference: column of reference explanations, without tags; an entry may be a list, of which the nearest counts.
        low: cosine that scores 0.
        high: cosine that scores 1.
        device: torch device of a transformers encoder.
        name: the part's name.
    """

    def __init__(
        self,
        encoder: str | Encoder,
        tag: str = "think",
        reference: str = "reasoning",
        low: float = 0.0,
        high: float = 1.0,
        device: str = "cpu",
        name: str = "explanation",
    ) -> None:
        super().__init__(encoder, reference, low, high, device, name)
        self.tag = tag

    def score(self, **columns: Any) -> RewardOutput:
        """Take the reasoning out, then compare; see `Reward.score`."""
        if not self.tag:
            return super().score(**columns)
        texts = [functional.inside(text, self.tag) or "" for text in columns["completion"]]
        output = super().score(**{**columns, "completion": texts})
        missing = f"no text inside <{self.tag}>…</{self.tag}>"
        reasons = [missing if reason == EMPTY else reason for reason in output.info["reason"]]
        return RewardOutput(output.values, output.parts, {"reason": reasons})
