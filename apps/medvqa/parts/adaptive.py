"""The scorer's structure and an encoder's similarity, mixed so that neither drowns the other."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from apps.medvqa.answers import CORRECT
from apps.medvqa.answers.injection import without_address
from apps.medvqa.parts.answer import MedicalAnswer, spread
from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput, take_rows
from common.rewards.text import references_of

#: The most that a similarity can lift an answer to: short of right.
TOP = CORRECT - 0.05
_SENTENCE_END = re.compile(r"(?<=[.!?;。！？])\s+|\n+")


class AdaptiveSemantic(Reward):
    r"""The scorer's value, lifted by a re-scaled similarity as far as the scorer does not know the words.

    With s the scorer's value, x in [0, 1] the share of words that its tables do not know (`MedicalAnswer.undecided`),
    u in [0, 1] the re-scaled similarity, a the room and T = 0.75:

    .. math:: R = s + a\,x \max(T u - s, 0)

    where the scorer leaves a verdict open, and R = s where it does not: an answer that is right (from T on), vetoed
    (flipped polarity, other side, place, number, unit or finding, a contradiction), empty, or made of known words. So
    no similarity pays for what the structure forbids, none makes an answer right, and none takes from what the
    structure found. Monotone in s and in u. An encoder that knows nothing costs little where unrelated texts have u
    near 0, as `affine` makes them.

    The encoder is asked about open rows only. It does not see sentences that address the grader, and the least similar
    sentence of an answer counts, so that a further sentence never lifts it.

    Range [0, 1], higher is better. Parts: `structure`, `similarity` (NaN on closed rows), `open` (a·x). Inspired by
    ARMed (arXiv 2508.12957), whose formula is not public.

    Failure: NaN where the scorer has none (empty reference); where only the similarity is missing, R = s.

    Args:
        structure: the medical scorer.
        similarity: a reward in [0, 1] of `completion` against the references, re-scaled.
        room: a, from 0 (structure alone) to 1.
        name: the part's name.

    Raises:
        RewardError: bounds or room outside [0, 1].
    """

    part_names = ("structure", "similarity", "open")

    def __init__(
        self, structure: MedicalAnswer, similarity: Reward, room: float = 0.6, name: str = "adaptive"
    ) -> None:
        if similarity.bounds[0] < 0.0 or similarity.bounds[1] > 1.0:
            raise RewardError(f"reward {name!r}: the similarity has bounds {similarity.bounds}, outside [0, 1]")
        if not 0.0 <= room <= 1.0:
            raise RewardError(f"reward {name!r}: room must lie in [0, 1], not {room}")
        self.children: dict[str, Reward] = {"structure": structure, "similarity": similarity}
        self.structure = structure
        self.similarity = similarity
        self.room = room
        self.name = name
        self.needs = tuple(dict.fromkeys((*structure.needs, *similarity.needs)))

    def score(self, **columns: Any) -> RewardOutput:
        """Score the structure, ask about the rows that it leaves open; see `Reward.score`."""
        found = self.structure(**columns)
        texts = [_sentences(without_address(answer)) for answer in found.info["answer"]]
        share = self._share(found, texts, columns)
        near, reasons = self._near(share.nonzero().flatten().tolist(), texts, columns)
        lift = share * (TOP * near - found.values).clamp(min=0.0)
        values = found.values + torch.where(near.isnan(), 0.0, lift)
        parts = {"structure": found.values, "similarity": near, "open": share}
        return RewardOutput(values, parts, {**found.info, "similarity": reasons})

    def _share(self, found: RewardOutput, texts: list[list[str]], columns: dict[str, Any]) -> Tensor:
        """`(B,)` a·x of each row; 0 where the verdict stands."""
        shares = torch.zeros(len(texts))
        references, questions = columns[self.structure.reference], columns[self.structure.question]
        for row, (value, text, veto) in enumerate(zip(found.values.tolist(), texts, found.info["veto"], strict=True)):
            if value < TOP and text and not veto:
                right = references_of(references[row])
                shares[row] = self.room * self.structure.undecided(text, right, questions[row] or "")
        return shares

    def _near(self, rows: list[int], texts: list[list[str]], columns: dict[str, Any]) -> tuple[Tensor, list[str]]:
        """`(B,)` similarity of each open row's least similar sentence, and what the encoder says about it."""
        near, size = torch.full((len(texts),), torch.nan), len(texts)
        if not rows:
            return near, [""] * size
        places = [row for row in rows for _ in texts[row]]
        said = [sentence for row in rows for sentence in texts[row]]
        output = self.similarity(**{**take_rows(columns, places, size), "completion": said})
        for row, values in zip(rows, torch.split(output.values, [len(texts[row]) for row in rows]), strict=True):
            near[row] = values.min()
        return near, spread(output.info.get("reason", [""] * len(said)), places, size)


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]
