"""BLEU and ROUGE-L on words, as the COCO caption evaluation defines them; pure functions without state.

A text comes as its tokens; `find_tokenizer` gives the functions that make them. CIDEr-D stands in `cider.py`, the
reward classes in `captions.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import UsageError

Tokens = Sequence[str]
Tokenizer = Callable[[str], Tokens]
Gram = tuple[str, ...]

#: COCO's guards against 0/0: a precision of 0 counts as 1e-15 / guesses, so that BLEU-4 without a match is about 1e-5.
TINY, SMALL = 1e-15, 1e-9


def find_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a name.

    Args:
        name: `ptb`: COCO's caption tokens, lower case without punctuation (`common.ptb`). `words`: words of any script
            (`functional.tokens`). `blanks`: cut at white space, for texts that are tokenised already.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "ptb":
        from common.ptb import tokenize

        return tokenize
    if name == "words":
        from common.rewards.functional import tokens

        return tokens
    if name == "blanks":
        return str.split
    raise UsageError(f"unknown tokenizer {name!r}; use 'ptb', 'words' or 'blanks'")


def ngrams(tokens: Tokens, n: int) -> Iterable[Gram]:
    """The text's n-grams in order; none where it has fewer than `n` tokens."""
    return zip(*(tokens[start:] for start in range(n)))  # noqa: B905 - ends with the shortest, on purpose


def bleu_statistics(candidate: Tokens, references: Sequence[Tokens], n: int = 4) -> NDArray[Any]:
    """What BLEU needs to know of one text; a corpus has the sum of its texts' statistics.

    Args:
        candidate: tokens of the text to score.
        references: tokens of one or more right texts.
        n: greatest order.

    Returns:
        `(2 + 2n,)` whole numbers as floats: the candidate's length; the length of the reference that is closest to it
        (the shorter of two equally close); its n-grams of order 1 to n; those of them that are in a reference, each no
        more often than in the reference that has it most often.
    """
    length = len(candidate)
    closest = min((abs(len(one) - length), len(one)) for one in references)[1]
    row = [float(length), float(closest), *(float(max(0, length - order)) for order in range(n))]
    for order in range(1, n + 1):
        counts = Counter(ngrams(candidate, order))
        correct = 0
        if counts:
            inside = [Counter(ngrams(one, order)) for one in references]
            correct = sum(min(count, max(one[gram] for one in inside)) for gram, count in counts.items())
        row.append(float(correct))
    return np.array(row)


def bleu(statistics: ArrayLike, smooth: bool = False) -> NDArray[Any]:
    r"""BLEU-1 to BLEU-n from (sums of) `bleu_statistics` (Papineni et al. 2002, with COCO's closest reference length).

    With :math:`m_k` of :math:`g_k` n-grams of order k right, length c and closest reference length r:

    .. math:: \mathrm{BLEU}_n = \min(1, e^{1 - r/c}) \prod_{k \le n} \left(\frac{m_k}{g_k}\right)^{1/n}

    Args:
        statistics: `(..., 2 + 2n)`.
        smooth: False adds COCO's 1e-15 to m and 1e-9 to g: BLEU-n of a text without a match of order n is near 0
            (1e-5). True adds 1 to both for k > 1 (Lin & Och 2004), for single sentences.

    Returns:
        `(..., n)` in [0, 1], higher is better. 0 for an empty text.
    """
    data = np.asarray(statistics, float)
    n = (data.shape[-1] - 2) // 2
    length, reference = data[..., 0:1], data[..., 1:2]
    guess, correct = data[..., 2 : 2 + n], data[..., 2 + n :]
    if smooth:
        added = np.arange(n) > 0
        correct, guess = correct + added, guess + added
    precision = (correct + TINY) / (guess + SMALL)
    ratio = (length + TINY) / (reference + SMALL)
    brevity = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
    result: NDArray[Any] = precision.cumprod(-1) ** (1.0 / np.arange(1, n + 1)) * brevity
    return result


def corpus_bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], n: int = 4) -> NDArray[Any]:
    """`(n,)` BLEU-1 to BLEU-n of a corpus: counts are summed before they are divided. Equals pycocoevalcap's."""
    rows = [bleu_statistics(text, right, n) for text, right in zip(candidates, references, strict=True)]
    return bleu(np.sum(rows, axis=0))


def sentence_bleu(candidate: Tokens, references: Sequence[Tokens], n: int = 4, smooth: bool = False) -> float:
    """BLEU-n of one text; see `bleu`."""
    return float(bleu(bleu_statistics(candidate, references, n), smooth)[-1])


def rouge_l(candidate: Tokens, references: Sequence[Tokens], beta: float = 1.2) -> float:
    r"""F-measure of the longest common subsequence (Lin 2004), as COCO takes it.

    .. math:: \frac{(1 + \beta^2) P R}{R + \beta^2 P}, \quad
              P = \max_j \frac{LCS(c, r_j)}{|c|}, \quad R = \max_j \frac{LCS(c, r_j)}{|r_j|}

    Precision and recall may come from different references. Range [0, 1], higher is better; 0 for an empty text (where
    pycocoevalcap pays 1 for an empty text against an empty reference).

    Args:
        candidate: tokens of the text to score.
        references: tokens of one or more right texts.
        beta: weight of recall; 1.2 is COCO's.
    """
    common = [(longest_common_subsequence(candidate, one), len(one)) for one in references]
    longest = max((count for count, _ in common), default=0)
    if not longest:
        return 0.0
    precision = longest / len(candidate)
    recall = max(count / length for count, length in common if length)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def longest_common_subsequence(first: Tokens, second: Tokens) -> int:
    """Length of the longest common subsequence, bit-parallel: one big-integer step a token (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, token in enumerate(second):
        places[token] = places.get(token, 0) | 1 << at
    full = (1 << len(second)) - 1
    # A bit turns 0 where the table of the usual algorithm steps up by one.
    row = full
    for token in first:
        match = row & places.get(token, 0)
        row = (row + match | row - match) & full
    return len(second) - row.bit_count()
