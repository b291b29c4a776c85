"""How varied captions are, how long, and signs of a degenerate captioner; no references needed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from apps.captioning.measures.measurement import MetricResult, mean_of
from common.ptb import tokenize
from common.rewards.text.ngrams import Tokens, ngrams
from common.stats import Interval

#: Order of the n-grams whose repetition inside one caption is counted.
REPEATED = 3
_ENDINGS = ".!?。！？…"
_CLOSING = "\"'”’)]» \n"


def diversity(captions: Sequence[str], terminated: Sequence[bool] | None = None) -> list[MetricResult]:
    """Figures of a set of captions, without a direction of their own: compare them with those of people's captions.

    Args:
        captions: `(N,)` as written.
        terminated: `(N,)` whether the captioner ended by itself; None looks for a full stop at the end.

    Returns:
        `distinct_captions`: share of different captions (by tokens). `distinct_1`, `distinct_2`: different n-grams by
        all n-grams (Li et al. 2016, arXiv 1510.03055), which falls as the set grows. `vocabulary`: different tokens.
        `length`: mean tokens. `repeated`: share of a caption's trigrams that it has said before, mean over captions
        that have one. `unterminated`: share that ends without a full stop. `empty`: share without a token.
    """
    tokens = [tokenize(caption) for caption in captions]
    distinct = len(set(tokens)) / len(tokens) if tokens else math.nan
    results = [_figure("distinct_captions", distinct, len(tokens))]
    for order in (1, 2):
        grams = [gram for text in tokens for gram in ngrams(text, order)]
        results.append(_figure(f"distinct_{order}", len(set(grams)) / len(grams) if grams else math.nan, len(tokens)))
    results.append(_figure("vocabulary", len({token for text in tokens for token in text}), len(tokens)))
    results.append(mean_of("length", [float(len(text)) for text in tokens]))
    results.append(mean_of("repeated", list(_repeated(tokens))))
    ended = [ends(caption) for caption in captions] if terminated is None else terminated
    results.append(mean_of("unterminated", [float(not one) for one in ended]))
    results.append(mean_of("empty", [float(not text) for text in tokens]))
    return results


def ends(caption: str) -> bool:
    """Whether a caption ends as a sentence does, quotes and brackets after the full stop allowed."""
    return caption.rstrip(_CLOSING).endswith(tuple(_ENDINGS))


def _repeated(tokens: Sequence[Tokens]) -> Iterator[float]:
    for text in tokens:
        counts = Counter(ngrams(text, REPEATED))
        yield 1 - len(counts) / counts.total() if counts else math.nan


def _figure(name: str, value: float, size: int) -> MetricResult:
    """A figure of the set as a whole: resampling repeats captions, which would itself change it, so no interval."""
    return MetricResult(name, Interval(float(value), math.nan, math.nan, size))
