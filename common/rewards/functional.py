"""The pure functions behind the reward classes: no state, no columns, no failure policy beyond NaN in, NaN out."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def weighted_sum(values: Tensor, weights: Tensor, bounds: Tensor) -> Tensor:
    r"""Weighted sum in which a missing part stands where the scored ones stand on average.

    With :math:`l_k, s_k` the lower end and the span of :math:`w_k r_k`, and *ok* the parts that are not NaN:

    .. math:: p = \frac{\sum_{ok} (w_k r_k - l_k)}{\sum_{ok} s_k}, \qquad
              R = \sum_{ok} w_k r_k + \sum_{\neg ok} (l_k + p\, s_k)

    For parts of equal bounds [0, c] this is the usual :math:`\sum_{ok} w_k r_k \cdot \sum_k w_k / \sum_{ok} w_k`; that
    form leaves the bounds where the parts' differ, this one never does.

    Args:
        values: `(K, B)`, NaN where missing.
        weights: `(K,)`, of any sign.
        bounds: `(K, 2)` lower and upper bound of each part.

    Returns:
        `(B,)`; NaN where no part with a weight was scored.
    """
    weights = weights.to(values)
    ends = weights.unsqueeze(1) * bounds.to(values)
    low, span = ends.amin(1, keepdim=True), (ends[:, 1] - ends[:, 0]).abs().unsqueeze(1)
    # A part of weight 0 is only looked at: its NaN does not count as missing, its value not as scored.
    known = ~values.isnan()
    terms = weights.unsqueeze(1) * torch.where(known, values, torch.zeros_like(values))
    scored = torch.where(known, span, 0.0).sum(0)
    risen = torch.where(known, terms - low, 0.0).sum(0)
    missing_low, missing_span = torch.where(known, 0.0, low).sum(0), torch.where(known, 0.0, span).sum(0)
    place = torch.where(scored > 0, risen / scored.clamp(min=torch.finfo(values.dtype).tiny), math.nan)
    total = torch.where(known, terms, 0.0).sum(0)
    complete = (known | (weights == 0).unsqueeze(1)).all(0)
    return torch.where(complete, total, total + missing_low + place * missing_span)


def product(values: Tensor) -> Tensor:
    r"""Product :math:`\prod_k r_k` of factors that are at least 0.

    A factor of 0 makes the product 0 whatever the others are; otherwise a missing factor makes it missing.
    (Renormalising would pay a guarded reward in full while its guard is down.)

    Args:
        values: `(K, B)`, NaN where missing.

    Returns:
        `(B,)`.
    """
    settled = (values == 0).any(0) & values.isnan().any(0)
    return torch.where(settled, 0.0, values.prod(0))


def affine(values: Tensor, scale: float, shift: float) -> Tensor:
    """`scale · r + shift`."""
    return values * scale + shift


def rescale(values: Tensor, low: float, high: float) -> Tensor:
    """`(r − low) / (high − low)`, clipped to [0, 1]; NaN stays NaN."""
    return ((values - low) / (high - low)).clamp(0.0, 1.0)


def shrink(values: Tensor, band: float) -> Tensor:
    """Nearer to 0 by `band`; 0 within it."""
    return values.sign() * (values.abs() - band).clamp(min=0.0)


def normalise(text: str) -> str:
    """Compatibility-normalised, case-folded, punctuation dropped, white space single.

    Works for every script: punctuation is what Unicode calls so. A sign, decimal point or comma between digits stays.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    kept = (
        " " if unicodedata.category(char)[0] in "PSZC" and not _in_number(text, at) else char
        for at, char in enumerate(text)
    )
    return " ".join("".join(kept).split())


def _in_number(text: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if text[at] in ".,":
        return before.isdigit() and after.isdigit()
    return text[at] in "-−" and after.isdigit() and not before.strip()


#: Scripts written without spaces, cut into characters: Thai, kana, CJK ideographs.
_UNSPACED = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\s\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)


def tokens(text: str) -> list[str]:
    """Words of a normalised text; single characters in scripts written without spaces."""
    return _UNSPACED.findall(normalise(text))


def exact_match(prediction: str, reference: str) -> float:
    """1 where both read the same after `normalise`, else 0."""
    return float(normalise(prediction) == normalise(reference))


def token_f1(prediction: str, reference: str) -> float:
    r"""Harmonic mean of token precision and recall on bags of `tokens`, :math:`2PR/(P+R)`; 0 where either has none."""
    predicted, expected = Counter(tokens(prediction)), Counter(tokens(reference))
    common = sum((predicted & expected).values())
    return 2 * common / (predicted.total() + expected.total()) if common else 0.0


def template_score(text: str, tags: Sequence[str]) -> float:
    """Share of the tags that are well formed: opened once, closed once after, in the given order, without overlap.

    A tag given twice, or out of its place, does not count, so that repeating tags earns nothing; text outside the tags
    is allowed. 1 for a text with every tag in place.
    """
    spans = {tag: _tag_span(text, tag) for tag in tags}
    good, end = 0, 0
    for tag in tags:
        span = spans[tag]
        if span is not None and span[0] >= end:
            good, end = good + 1, span[1]
    return good / len(tags)


def _tag_span(text: str, tag: str) -> tuple[int, int] | None:
    opening, closing = f"<{tag}>", f"</{tag}>"
    if text.count(opening) != 1 or text.count(closing) != 1:
        return None
    start, end = text.index(opening), text.index(closing)
    return (start, end + len(closing)) if start < end and text[start + len(opening) : end].strip() else None


def inside(text: str, tag: str) -> str | None:
    """What stands between the first `<tag>` and the next `</tag>`, stripped; None without such a pair."""
    _, opening, rest = text.partition(f"<{tag}>")
    inner, closing, _ = rest.partition(f"</{tag}>")
    return inner.strip() if opening and closing else None


def repeated_share(units: Sequence[Hashable], n: int = 3) -> float:
    """Share of the n-grams of `units` that stood in them before, in [0, 1]; 0 where there are fewer than `n` units."""
    grams = [tuple(units[at : at + n]) for at in range(len(units) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def ngram_coverage(text: str, source: str, n: int = 3) -> float:
    """Share of the source's token n-grams that the text repeats, in [0, 1]: 1 for a copy.

    A source shorter than `n` tokens counts as one n-gram. 0 for an empty source.
    """
    inner, outer = tokens(source), tokens(text)
    n = min(n, len(inner))
    if not n:
        return 0.0
    wanted = {tuple(inner[at : at + n]) for at in range(len(inner) - n + 1)}
    found = {tuple(outer[at : at + n]) for at in range(len(outer) - n + 1)}
    return len(wanted & found) / len(wanted)
