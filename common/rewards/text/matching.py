"""Rewards that compare a completion with a reference text, or look at its form.

Failure policy of all of them: an empty completion scores 0 with a reason (the policy's fault); an empty or absent
reference is NaN (the data's fault).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput, nan_like

if TYPE_CHECKING:
    from common.models.text import Encoder

EMPTY = "the completion is empty"
NO_REFERENCE = "the reference is empty"


class TextMatch(Reward):
    """A completion against a reference column, or the best of several where its entries are lists."""

    needs = ("completion", "reference")

    def __init__(self, compare: Callable[[str, str], float], name: str, reference: str) -> None:
        self.compare = compare
        self.name = name
        self.reference = reference
        self.needs = ("completion", reference)

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each row; see `Reward.score`."""
        values, reasons = [], []
        for completion, entry in zip(columns["completion"], columns[self.reference], strict=True):
            value, reason = self._row(completion, references_of(entry))
            values.append(value)
            reasons.append(reason)
        return RewardOutput(torch.tensor(values, dtype=torch.float32), info={"reason": reasons})

    def _row(self, completion: str, references: list[str]) -> tuple[float, str]:
        if not references:
            return math.nan, NO_REFERENCE
        if not completion.strip():
            return 0.0, EMPTY
        return max(self.compare(completion, reference) for reference in references), ""


class ExactMatch(TextMatch):
    r""":math:`1[\mathrm{norm}(\hat y) = \mathrm{norm}(y)]`; see `functional.normalise`.

    Range {0, 1}, higher is better. The matching reward of Mixed-R1 (arXiv 2505.24164).

    Args:
        reference: column of right answers; an entry may be a list, of which the best counts.
        name: the part's name.
    """

    def __init__(self, reference: str = "reference", name: str = "exact_match") -> None:
        super().__init__(functional.exact_match, name, reference)


class TokenF1(TextMatch):
    r""":math:`2PR / (P + R)` on bags of tokens; see `functional.token_f1`.

    Range [0, 1], higher is better. ChatR1 (arXiv 2510.13312) takes the best of several references, as here.

    Args:
        reference: column of right answers; an entry may be a list, of which the best counts.
        name: the part's name.
    """

    def __init__(self, reference: str = "reference", name: str = "token_f1") -> None:
        super().__init__(functional.token_f1, name, reference)


class EncoderSimilarity(Reward):
    r""":math:`(\cos(E(\hat y), E(y)) - low) / (high - low)`, clipped to [0, 1]; higher is better.

    After Shaping Explanations (arXiv 2509.13081). Cosines lie in a narrow band, which a group z-score blows up to
    noise of full size; so `low` and `high` should be the 5th percentile of mismatched and the 95th of matched pairs
    (`audit`).

    Args:
        encoder: folder, hub id or "hash" (opened on first use), or an encoder.
        reference: column of right answers; an entry may be a list, of which the nearest counts.
        low: cosine that scores 0.
        high: cosine that scores 1.
        device: torch device of a transformers encoder.
        name: the part's name.

    Raises:
        RewardError: `low` is not below `high`.
    """

    def __init__(
        self,
        encoder: str | Encoder,
        reference: str = "reference",
        low: float = 0.0,
        high: float = 1.0,
        device: str = "cpu",
        name: str = "similarity",
    ) -> None:
        if not low < high:
            raise RewardError(f"reward {name!r}: cannot rescale from [{low}, {high}]")
        self.encoder = encoder
        self.reference = reference
        self.low = low
        self.high = high
        self.device = device
        self.name = name
        self.needs = ("completion", reference)
        self._opened: Encoder | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def score(self, **columns: Any) -> RewardOutput:
        """Encode both sides in one batch; see `Reward.score`."""
        said, wanted = columns["completion"], [references_of(entry) for entry in columns[self.reference]]
        values = nan_like(len(said))
        reasons = [NO_REFERENCE] * len(said)
        rows = []
        for row, (text, references) in enumerate(zip(said, wanted, strict=True)):
            if references and not text.strip():
                values[row], reasons[row] = 0.0, EMPTY
            elif references:
                reasons[row] = ""
                rows.append(row)
        if rows:
            texts = dict.fromkeys(said[row] for row in rows) | dict.fromkeys(
                one for row in rows for one in wanted[row]
            )
            place = {text: at for at, text in enumerate(texts)}
            vectors = self.opened().encode(list(texts))
            pairs = [(place[said[row]], place[reference]) for row in rows for reference in wanted[row]]
            left, right = zip(*pairs, strict=True)
            cosines = (vectors[list(left)] * vectors[list(right)]).sum(-1).float().cpu()
            cosine = torch.stack([several.max() for several in cosines.split([len(wanted[row]) for row in rows])])
            # An encoder that overflows returns NaN or inf: its fault, so NaN.
            cosine = torch.where(cosine.isfinite(), cosine, math.nan)
            values[rows] = functional.rescale(cosine, self.low, self.high)
            for row, value in zip(rows, cosine.tolist(), strict=True):
                reasons[row] = "the encoder returned no number" if math.isnan(value) else ""
        return RewardOutput(values, info={"reason": reasons})

    def opened(self) -> Encoder:
        """The encoder, opened now where it was not yet."""
        if self._opened is None:
            from common.models.text import load_encoder

            self._opened = load_encoder(self.encoder, self.device) if isinstance(self.encoder, str) else self.encoder
        return self._opened


class TemplateFormat(Reward):
    """Share of the tags, such as `<think>` and `<answer>`, that stand once, closed and in order; never NaN.

    Range [0, 1], higher is better. See `functional.template_score`: a repeated tag earns nothing, the guard of ReSeek
    and MM-R5 (arXiv 2506.12364).

    Args:
        tags: names in their order.
        name: the part's name.
    """

    def __init__(self, tags: Sequence[str], name: str = "format") -> None:
        if not tags or len(set(tags)) < len(tags):
            raise RewardError(f"reward {name!r}: the tags must be given and different, not {list(tags)}")
        self.tags = tuple(tags)
        self.name = name

    def score(self, **columns: Any) -> RewardOutput:
        """Look at each text's tags; see `Reward.score`."""
        values = [functional.template_score(text, self.tags) for text in columns["completion"]]
        reasons = ["" if value == 1.0 else f"expected {' then '.join(self.tags)}, each once" for value in values]
        return RewardOutput(torch.tensor(values, dtype=torch.float32), info={"reason": reasons})


def references_of(entry: str | Sequence[str] | None) -> list[str]:
    """The references of one row that hold text."""
    if entry is None:
        return []
    several = [entry] if isinstance(entry, str) else entry
    return [text for text in several if text is not None and text.strip()]
