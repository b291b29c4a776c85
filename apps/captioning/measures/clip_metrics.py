"""Metrics in a CLIP's space: CLIPScore, RefCLIPScore, and how well captions and pictures find each other.

They take features, not a model: `clip.image(pictures)` and `clip.text(prefixed(captions))`, as arrays or tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.captioning.measures.measurement import RESAMPLES, MetricResult, mean_of
from common.errors import UsageError
from common.stats import bootstrap

Array = NDArray[Any]

#: CLIPScore puts it before every caption, references too.
PREFIX = "A photo depicts "
WEIGHT = 2.5
RANKS = (1, 5, 10)
#: Similarities nearer than this are a tie: the same caption encoded in two batches differs by rounding.
_TIE = 1e-6
_CHUNK = 1024


def prefixed(captions: Sequence[str]) -> list[str]:
    """The captions as CLIPScore has them encoded: "A photo depicts " before each."""
    return [f"{PREFIX}{caption}" for caption in captions]


def clip_score(pictures: Any, captions: Any, weight: float = WEIGHT) -> MetricResult:
    r"""Mean CLIPScore :math:`w \max(\cos(E_I, E_c), 0)` (Hessel et al. 2021, arXiv 2104.08718).

    Range [0, w], higher is better. PAC-S is the same with `weight=2.0` and its own weights.

    Args:
        pictures: `(N, D)` features.
        captions: `(N, D)` features of the captions with `prefixed`.
        weight: w.

    Raises:
        UsageError: shapes differ.
    """
    return mean_of("clip_score", _scores(pictures, captions, weight).tolist())


def ref_clip_score(pictures: Any, captions: Any, references: Sequence[Any], weight: float = WEIGHT) -> MetricResult:
    r"""Mean RefCLIPScore: harmonic mean of CLIPScore and :math:`\max_r \max(\cos(E_c, E_r), 0)`.

    The second part has no weight. Higher is better; 0 where both parts are 0.

    Args:
        pictures: `(N, D)` features.
        captions: `(N, D)` features with `prefixed`.
        references: `(N,)` features `(R_i, D)` with `prefixed`, one or more each.
        weight: of CLIPScore.

    Raises:
        UsageError: shapes differ, or a picture has no reference.
    """
    seen = _scores(pictures, captions, weight)
    texts = _unit(captions)
    if len(references) != len(texts):
        raise UsageError(f"{len(references)} sets of reference features for {len(texts)} captions")
    near = np.zeros(len(texts))
    for row, right in enumerate(references):
        features = _unit(right)
        if features.ndim != 2 or features.shape[0] == 0 or features.shape[1] != texts.shape[1]:
            raise UsageError(
                f"reference features {row} have shape {features.shape}; (1 or more, {texts.shape[1]}) needed"
            )
        near[row] = max(0.0, float((features @ texts[row]).max()))
    total = seen + near
    each = np.divide(2 * seen * near, total, out=np.zeros_like(total), where=total > 0)
    return mean_of("ref_clip_score", each.tolist())


def retrieval(pictures: Any, captions: Any, ranks: Sequence[int] = RANKS) -> list[MetricResult]:
    """How often a picture's own caption is among the k that are nearest to it of all captions, and the other way.

    R@k in [0, 1], higher is better; the median rank from 1 on, lower is better. Ties count as drawn by lot, so that a
    captioner that always says the same finds its pictures at chance. Use another CLIP than the reward's, which the
    captioner may have learnt to please.

    Args:
        pictures: `(N, D)` features.
        captions: `(N, D)` features of the pictures' own captions.
        ranks: the k.

    Returns:
        `caption_r@k` (a picture looks for its caption), `caption_median_rank`, `picture_r@k`, `picture_median_rank`.
        `each` is the chance to be among the first k, or the expected rank.
    """
    left, right = _pair(pictures, captions)
    results = []
    for name, queries, pool in (("caption", left, right), ("picture", right, left)):
        above, tied = _places(queries, pool)
        for k in ranks:
            results.append(mean_of(f"{name}_r@{k}", np.clip((k - above) / tied, 0.0, 1.0).tolist()))
        expected = above + (tied + 1) / 2
        median = bootstrap(expected, statistic=np.median, n=RESAMPLES)
        results.append(MetricResult(f"{name}_median_rank", median, each=expected.tolist()))
    return results


def _places(queries: Array, pool: Array) -> tuple[Array, Array]:
    """`(N,)` how many others are nearer than the own one, and how many are as near, itself counted."""
    above, tied = np.zeros(len(queries)), np.zeros(len(queries))
    for start in range(0, len(queries), _CHUNK):
        part = queries[start : start + _CHUNK] @ pool.T
        rows = np.arange(len(part))
        own = part[rows, start + rows][:, None]
        above[start + rows] = (part > own + _TIE).sum(1)
        tied[start + rows] = (np.abs(part - own) <= _TIE).sum(1)
    return above, tied


def _scores(pictures: Any, captions: Any, weight: float) -> Array:
    left, right = _pair(pictures, captions)
    scores: Array = weight * np.maximum((left * right).sum(1), 0.0)
    return scores


def _pair(pictures: Any, captions: Any) -> tuple[Array, Array]:
    left, right = _unit(pictures), _unit(captions)
    if left.ndim != 2 or left.shape != right.shape:
        raise UsageError(f"features of pictures {left.shape} and captions {right.shape} must be (N, D) both")
    return left, right


def _unit(features: Any) -> Array:
    """Rows of length 1 in float64; zeros stay zeros, so that their cosine is 0."""
    if hasattr(features, "detach"):
        features = features.detach().cpu().float().numpy()
    data = np.asarray(features, np.float64)
    length = np.linalg.norm(data, axis=-1, keepdims=True)
    unit: Array = np.divide(data, length, out=np.zeros_like(data), where=length > 0)
    return unit
