"""ROUGE-n as a reward; BLEU and ROUGE-L stand in `captions.py`, token F1 and exact match in `matching.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from common.errors import RewardError
from common.rewards.text.captions import OverlapReward
from common.rewards.text.ngrams import Tokens, ngrams


def rouge_n(candidate: Tokens, references: Sequence[Tokens], n: int = 1) -> float:
    r"""F1 of n-gram bags, the best over references (Lin 2004, F-measure with β = 1).

    .. math:: \frac{2 P R}{P + R} = \frac{2 m}{|c|_n + |r|_n}

    with m the n-grams that both share, each no more often than in either, and :math:`|x|_n` the n-grams of x.

    Returns:
        In [0, 1], higher is better; 0 where candidate or reference has no n-gram.
    """
    said = Counter(ngrams(candidate, n))
    best = 0.0
    for reference in references:
        wanted = Counter(ngrams(reference, n))
        shared = (said & wanted).total()
        best = max(best, 2 * shared / (said.total() + wanted.total()) if shared else 0.0)
    return best


class RougeN(OverlapReward):
    r"""ROUGE-n F1, :math:`2PR / (P + R)` on bags of n-grams; see `rouge_n`.

    Range [0, 1], higher is better. Lin 2004. With n = 1 and the tokenizer "words" this is the token F1 of `TokenF1`.
    VQA-Med is scored with ROUGE-1 by ARMed (arXiv 2508.12957). A completion without a word scores 0 with a reason (the
    policy's fault); a row without a reference is NaN.

    Args:
        n: order, 1 or more.
        reference: column of references; an entry is a text or a list of them.
        tokenizer: see `ngrams.find_tokenizer`.
        name: the part's name; `rouge1` for n = 1.

    Raises:
        RewardError: `n` is less than 1.
    """

    def __init__(
        self, n: int = 1, reference: str = "reference", tokenizer: str = "words", name: str | None = None
    ) -> None:
        super().__init__(f"rouge{n}" if name is None else name, reference, tokenizer)
        if n < 1:
            raise RewardError(f"reward {self.name!r}: ROUGE needs an order of 1 or more, not {n}")
        self.n = n

    def compare(self, tokens: Tokens, references: Sequence[Tokens]) -> float:
        """See `rouge_n`."""
        return rouge_n(tokens, references, self.n)
