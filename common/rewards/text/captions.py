"""Rewards that compare a completion with references by their n-grams: BLEU, ROUGE-L and CIDEr-D.

Failure policy of all of them: a completion without a word scores 0 with a reason (the policy's fault); a row without a
reference, or whose references hold no word, is NaN (the data's fault).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.text import ngrams
from common.rewards.text.cider import UNDEFINED, DocumentFrequency, PreparedReferences, cider_d
from common.rewards.text.ngrams import Tokens

EMPTY = "the completion holds no word"
NO_REFERENCE = "the row has no reference with a word"


class NgramReward(Reward):
    """What BLEU, ROUGE-L and CIDEr-D share: tokens, references and the failure policy.

    Args:
        name: the part's name.
        reference: column of references; an entry is a text or a list of them.
        tokenizer: see `ngrams.find_tokenizer`.
    """

    def __init__(self, name: str, reference: str, tokenizer: str) -> None:
        ngrams.find_tokenizer(tokenizer)
        self.name = name
        self.reference = reference
        self.tokenizer = tokenizer
        self.needs = ("completion", reference)

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each row; see `Reward.score`."""
        cut = ngrams.find_tokenizer(self.tokenizer)
        values, reasons = [], []
        for completion, entry in zip(columns["completion"], columns[self.reference], strict=True):
            value, reason = self._row(cut(completion), _texts(entry), cut)
            values.append(value)
            reasons.append(reason)
        return RewardOutput(torch.tensor(values, dtype=torch.float32), info={"reason": reasons})

    @abstractmethod
    def _row(self, tokens: Tokens, references: tuple[str, ...], cut: ngrams.Tokenizer) -> tuple[float, str]:
        """The value of one completion, and why it is so where it is the worst or none."""


class OverlapReward(NgramReward):
    """An n-gram reward that compares tokens with tokens and needs nothing else."""

    def _row(self, tokens: Tokens, references: tuple[str, ...], cut: ngrams.Tokenizer) -> tuple[float, str]:
        cut_references = [cut(text) for text in references]
        if not any(cut_references):
            return math.nan, NO_REFERENCE
        if not tokens:
            return 0.0, EMPTY
        return self.compare(tokens, cut_references), ""

    @abstractmethod
    def compare(self, tokens: Tokens, references: Sequence[Tokens]) -> float:
        """The value of one completion that has tokens against references of which one has."""


class Bleu(OverlapReward):
    r"""Sentence BLEU-n against the best matching parts of several references; see `ngrams.bleu`.

    Range [0, 1], higher is better. Papineni et al. 2002, with COCO's closest reference length. A sentence seldom has a
    right 4-gram: without smoothing most rewards are near 0 and a group of samples hardly differs. `smooth=True` adds 1
    to the counts above unigrams (Lin & Och 2004). The corpus' BLEU is not the mean of these values
    (`ngrams.corpus_bleu`).

    Args:
        n: greatest order, 1 or more.
        smooth: add-one smoothing; False is COCO's sentence value.
        reference: column of references; an entry is a text or a list of them.
        tokenizer: see `ngrams.find_tokenizer`.
        name: the part's name; `bleu4` for n = 4.

    Raises:
        RewardError: `n` is less than 1.
    """

    def __init__(
        self,
        n: int = 4,
        smooth: bool = False,
        reference: str = "reference",
        tokenizer: str = "ptb",
        name: str | None = None,
    ) -> None:
        super().__init__(f"bleu{n}" if name is None else name, reference, tokenizer)
        if n < 1:
            raise RewardError(f"reward {self.name!r}: BLEU needs an order of 1 or more, not {n}")
        self.n = n
        self.smooth = smooth

    def compare(self, tokens: Tokens, references: Sequence[Tokens]) -> float:
        """See `ngrams.sentence_bleu`."""
        return ngrams.sentence_bleu(tokens, references, self.n, self.smooth)


class RougeL(OverlapReward):
    r"""F-measure of the longest common subsequence, :math:`(1 + \beta^2) P R / (R + \beta^2 P)`; see `ngrams.rouge_l`.

    Range [0, 1], higher is better. Lin 2004, with COCO's best precision and best recall over references.

    Args:
        beta: weight of recall; COCO's 1.2.
        reference: column of references; an entry is a text or a list of them.
        tokenizer: see `ngrams.find_tokenizer`.
        name: the part's name.
    """

    def __init__(
        self, beta: float = 1.2, reference: str = "reference", tokenizer: str = "ptb", name: str = "rouge_l"
    ) -> None:
        super().__init__(name, reference, tokenizer)
        self.beta = beta

    def compare(self, tokens: Tokens, references: Sequence[Tokens]) -> float:
        """See `ngrams.rouge_l`."""
        return ngrams.rouge_l(tokens, references, self.beta)


class CiderD(NgramReward):
    """CIDEr-D of a caption, the reward of self-critical training (arXiv 1612.00563); see `cider.cider_d`.

    Range [0, 10], higher is better. The document frequency is that of a corpus prepared beforehand, so that a value
    does not depend on the batch. The references of a picture are prepared when they are first met and kept, some 40 kB
    a picture.

    Args:
        frequency: table of a corpus, usually `DocumentFrequency.from_references` of the training captions, or a file
            of one (opened on first use).
        sigma: width of the length penalty.
        reference: column of references; an entry is a text or a list of them.
        prepared: pictures whose references are kept; those not used for longest are dropped.
        name: the part's name.

    Raises:
        RewardError: the table knows fewer than two pictures, so that every value would be 0.
    """

    bounds = (0.0, 10.0)

    def __init__(
        self,
        frequency: DocumentFrequency | Path | str,
        sigma: float = 6.0,
        reference: str = "reference",
        prepared: int = 5000,
        name: str = "cider_d",
    ) -> None:
        super().__init__(name, reference, frequency.tokenizer if isinstance(frequency, DocumentFrequency) else "ptb")
        self.frequency = frequency
        self.sigma = sigma
        self.prepared = prepared
        self._table: DocumentFrequency | None = None
        self._kept: OrderedDict[tuple[str, ...], PreparedReferences | None] = OrderedDict()
        if isinstance(frequency, DocumentFrequency):
            self._open()

    def __getstate__(self) -> dict[str, Any]:
        table = self._table if isinstance(self.frequency, DocumentFrequency) else None
        return {**self.__dict__, "_table": table, "_kept": OrderedDict()}

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each row; see `Reward.score`."""
        self._open()
        return super().score(**columns)

    def _row(self, tokens: Tokens, references: tuple[str, ...], cut: ngrams.Tokenizer) -> tuple[float, str]:
        ready = self._prepare(references, cut)
        if ready is None:
            return math.nan, NO_REFERENCE
        if not tokens:
            return 0.0, EMPTY
        # Rounding may leave the bounds by one unit in the last place.
        return min(10.0, cider_d(tokens, ready, self._open(), self.sigma)), ""

    def _prepare(self, references: tuple[str, ...], cut: ngrams.Tokenizer) -> PreparedReferences | None:
        kept = self._kept
        if references in kept:
            kept.move_to_end(references)
            return kept[references]
        tokens = [cut(text) for text in references]
        ready = PreparedReferences(tokens, self._open()) if any(tokens) else None
        kept[references] = ready
        if len(kept) > self.prepared:
            kept.popitem(last=False)
        return ready

    def _open(self) -> DocumentFrequency:
        if self._table is None:
            table = self.frequency
            table = table if isinstance(table, DocumentFrequency) else DocumentFrequency.load(table)
            if table.documents < 2:
                raise RewardError(f"reward {self.name!r}: {UNDEFINED}")
            self._table, self.tokenizer = table, table.tokenizer
        return self._table


def _texts(entry: str | Sequence[str] | None) -> tuple[str, ...]:
    """The references of one row that hold text."""
    if entry is None:
        return ()
    several = (entry,) if isinstance(entry, str) else entry
    return tuple(text for text in several if text is not None and text.strip())
