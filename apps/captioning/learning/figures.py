"""What a reinforcement step is described by in the log, and the captions that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apps.captioning.model import Captioner, Captions
from apps.captioning.rewards import repeated_share


@dataclass(frozen=True)
class Pay:
    """What the captions of a step are paid; of this process' pictures, or of the whole step's.

    Attributes:
        scores: `(P, K)` of the samples by each reward.
        greedy: `(P,)` of the greedy captions; empty where there are none.
        unscored: of every caption, whether no reward could score it.
    """

    scores: Mapping[str, Tensor]
    greedy: Mapping[str, Tensor]
    unscored: Tensor

    @classmethod
    def joined(cls, pays: Sequence[Pay]) -> Pay:
        """The processes' pictures, one process' after another's."""
        scores = {name: torch.cat([pay.scores[name] for pay in pays]) for name in pays[0].scores}
        greedy = {name: torch.cat([pay.greedy[name] for pay in pays]) for name in pays[0].greedy}
        return cls(scores, greedy, torch.cat([pay.unscored for pay in pays]))

    def total(self, weights: Mapping[str, float]) -> Tensor:
        """`(P, K)` weighted sum over what could be scored; NaN where nothing could."""
        stacked = torch.stack([weights[name] * values for name, values in self.scores.items()])
        known = stacked.isfinite()
        return torch.where(known.any(0), torch.where(known, stacked, 0.0).sum(0), torch.nan)


@dataclass(frozen=True)
class Heard:
    """The sampled captions of a step as they are described.

    Attributes:
        texts: of this process' captions, or of the whole step's.
        lengths: tokens of each, the end token included.
        ended: whether it came to its end token.
        drifted: whether its text is read back as other tokens than were sampled.
    """

    texts: list[str]
    lengths: Tensor
    ended: Tensor
    drifted: list[bool]

    @classmethod
    def of(cls, sampled: Captions, captioner: Captioner) -> Heard:
        """What was sampled."""
        ended = captioner.ended(sampled).float().cpu()
        return cls(list(sampled.texts), sampled.lengths.float().cpu(), ended, drifted(sampled, captioner))

    @classmethod
    def joined(cls, parts: Sequence[Heard]) -> Heard:
        """The processes' captions, one process' after another's."""
        texts = [text for part in parts for text in part.texts]
        drift = [changed for part in parts for changed in part.drifted]
        return cls(
            texts, torch.cat([part.lengths for part in parts]), torch.cat([part.ended for part in parts]), drift
        )


def describe(heard: Heard, pay: Pay, weights: Mapping[str, float]) -> dict[str, float]:
    """A step's figures, by name."""
    figures: dict[str, float] = {}
    for name, values in pay.scores.items():
        known = values[values.isfinite()]
        figures[f"reward/{name}"] = float(known.mean()) if known.numel() else float("nan")
        figures[f"weight/{name}"] = weights[name]
    count = max(1, len(heard.texts))
    figures["reward"] = float(pay.total(weights).nanmean())
    figures["length"] = float(heard.lengths.mean())
    figures["unterminated"] = 1 - float(heard.ended.mean())
    figures["distinct"] = len(set(heard.texts)) / count
    figures["repeated"] = sum(map(repeated_share, heard.texts)) / count
    # The rewards read text, the gradient goes to tokens: how often the two are not the same token for token.
    figures["drift"] = sum(heard.drifted) / count
    return figures


def best_and_worst(
    rows: Sequence[int], texts: Sequence[str], pay: Pay, weights: Mapping[str, float], groups: int = 4
) -> list[dict[str, Any]]:
    """The first pictures' best and worst captions, for the run's samples.

    Args:
        rows: `(P,)` numbers of the pictures.
        texts: `(P * K,)` captions, a picture's side by side.
        pay: what they were paid.
        weights: of the rewards.
        groups: pictures shown.
    """
    total = pay.total(weights)
    shown = []
    for place, row in enumerate(rows[:groups]):
        for column in dict.fromkeys((int(total[place].argmax()), int(total[place].argmin()))):
            parts = {name: float(values[place, column]) for name, values in pay.scores.items()}
            text = texts[place * total.shape[1] + column]
            shown.append({"picture": row, "caption": text, "reward": float(total[place, column]), "parts": parts})
    return shown


def drifted(sampled: Captions, captioner: Captioner) -> list[bool]:
    """Of every caption, whether its text is read back as other tokens than were sampled."""
    again = captioner.token_ids(sampled.texts)
    changed = []
    for row, mask, reread in zip(sampled.tokens.tolist(), sampled.mask.tolist(), again, strict=True):
        said = [token for token, kept in zip(row, mask, strict=True) if kept and token != captioner.end]
        changed.append(said != reread)
    return changed
