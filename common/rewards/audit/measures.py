"""What the audit measures, one function a figure; `common.rewards.audit.assay` puts them together.

Scores are `(N,)` lists in which NaN means "could not be scored"; such rows are left out of every figure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from common.ranks import ranks
from common.stats import Interval, auc, bootstrap, bootstrap_columns, kendall, spearman, wilson

#: A group is flat where its scores lie within this share of the declared range: the collapse index counts those.
FLAT = 0.05
#: Scores nearer than this share of the range count as equal.
TIE = 1e-4
RESAMPLES = 500

Scores = Sequence[float]
Ids = Sequence[Any] | None


@dataclass(frozen=True)
class Control:
    """References against completions that must score lower.

    Attributes:
        name: what was put in the references' place.
        mean: its mean score.
        auc: chance that a reference of any row scores above it.
        beaten: share of rows whose own reference scores higher; a tie counts half.
        equal: share of rows where both score the same.
        failed: rows that could not be scored.
    """

    name: str
    mean: Interval
    auc: float
    beaten: Interval
    equal: float
    failed: int


@dataclass(frozen=True)
class MutationResult:
    """References with one fact changed.

    Attributes:
        operator: what was changed.
        killed: share of mutants that score below their reference, with its 95 % interval.
        drop: mean loss of score.
        failed: mutants that could not be scored.
        survivors: some that were not told apart, with their row.
    """

    operator: str
    killed: Interval
    drop: Interval
    failed: int
    survivors: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Spread:
    """How well the samples of one prompt are told apart.

    Attributes:
        groups: prompts with two or more scored samples.
        std: mean standard deviation within a group.
        relative: that over the standard deviation of all samples.
        distinct: mean number of different scores in a group.
        collapse: share of groups that are flat (range below 5 % of the bounds).
    """

    groups: int
    std: float
    relative: float
    distinct: float
    collapse: Interval


@dataclass(frozen=True)
class LengthEffect:
    """Whether length pays.

    Attributes:
        slope: Spearman correlation of score and length.
        partial: the same with the metric held fixed; NaN without a metric.
        gaining: share of completions that score higher once padded; NaN where nothing was padded.
        gain: mean change of score by padding.
    """

    slope: Interval
    partial: float
    gaining: Interval
    gain: Interval


@dataclass(frozen=True)
class Agreement:
    """Reward against the domain's metric or human labels.

    Attributes:
        spearman: rank correlation.
        kendall: tau-b.
        pairwise: of the pairs of one prompt that the metric tells apart, the share that the reward orders alike; a tie
            counts half (RAG-RewardBench).
        auc: chance that a right one scores above a wrong one, where the metric is 0 or 1; None otherwise.
    """

    spearman: Interval
    kendall: Interval
    pairwise: Interval
    auc: Interval | None


@dataclass(frozen=True)
class Balance:
    """What each part of a weighted sum contributes.

    Attributes:
        shares: `Var(w r) / Σ Var(w r)` by part.
        correlations: rank correlation of each pair of parts, as `(part, part, rho)`.
    """

    shares: Mapping[str, float]
    correlations: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Latency:
    """Seconds a row: mean over everything scored, and the median and 95th percentile over batches."""

    mean: float
    p50: float
    p95: float
    rows: int


def control(name: str, reference: Scores, scores: Scores, span: float, ids: Ids = None) -> Control:
    """Compare a control with the references, row by row and as two samples."""
    left, right = np.asarray(reference, float), np.asarray(scores, float)
    difference = left - right
    wins = np.where(np.isnan(difference), np.nan, (np.sign(_tied(difference, span)) + 1) / 2)
    labels = np.concatenate([np.ones(left.size), np.zeros(right.size)])
    equal = wins[~np.isnan(wins)] == 0.5
    return Control(
        name,
        bootstrap(right, groups=ids),
        auc(np.concatenate([left, right]), labels),
        bootstrap(wins, groups=ids),
        float(equal.mean()) if equal.size else math.nan,
        int(np.isnan(right).sum()),
    )


def mutation(
    operator: str, reference: Scores, scores: Scores, texts: Sequence[Any], rows: Sequence[int], span: float
) -> MutationResult:
    """How many mutants of one operator the reward tells from their references, `reference` aligned with `scores`."""
    difference = _tied(np.asarray(reference, float) - np.asarray(scores, float), span)
    known = difference[~np.isnan(difference)]
    alive = [at for at, value in enumerate(difference) if value <= 0]
    return MutationResult(
        operator,
        wilson(int((known > 0).sum()), known.size),
        bootstrap(difference, groups=rows),
        int(np.isnan(np.asarray(scores, float)).sum()),
        tuple((rows[at], str(texts[at])) for at in alive[:5]),
    )


def spread(scores: Scores, groups: Sequence[int], span: float) -> Spread:
    """Figures of the samples' groups; see `Spread`."""
    members = _grouped(scores, groups)
    everything = np.concatenate(members) if members else np.zeros(0)
    std = float(np.mean([group.std(ddof=1) for group in members])) if members else math.nan
    overall = float(everything.std(ddof=1)) if everything.size > 1 else math.nan
    flat = sum(float(np.ptp(group)) < FLAT * span for group in members)
    return Spread(
        len(members),
        std,
        std / overall if overall > 0 else math.nan,
        float(np.mean([np.unique(np.round(group / span, 3)).size for group in members])) if members else math.nan,
        wilson(flat, len(members)),
    )


def length_effect(
    scores: Scores, lengths: Scores, metric: Scores | None, gains: Scores, span: float, ids: Ids = None
) -> LengthEffect:
    """Correlation with length, and what padding earned; see `LengthEffect`."""
    change = _tied(np.asarray(gains, float), span)
    known = change[~np.isnan(change)]
    return LengthEffect(
        bootstrap_columns([scores, lengths], spearman, n=RESAMPLES, groups=ids),
        partial_spearman(scores, lengths, metric) if metric is not None else math.nan,
        wilson(int((known > 0).sum()), known.size),
        bootstrap(change),
    )


def partial_spearman(first: Scores, second: Scores, given: Scores) -> float:
    r"""Rank correlation with a third column held fixed, :math:`(r_{12} -
    r_{13}r_{23})/\sqrt{(1-r_{13}^2)(1-r_{23}^2)}`.

    NaN where a column is constant or the third one decides another.
    """
    data = np.asarray([first, second, given], float)
    data = data[:, ~np.isnan(data).any(0)]
    if data.shape[1] < 3 or (data == data[:, :1]).all(1).any():
        return math.nan
    table = np.corrcoef([ranks(column) for column in data])
    scale = math.sqrt(max(0.0, (1 - table[0, 2] ** 2) * (1 - table[1, 2] ** 2)))
    return float((table[0, 1] - table[0, 2] * table[1, 2]) / scale) if scale > 1e-9 else math.nan


def agreement(scores: Scores, metric: Scores, groups: Sequence[int], span: float) -> Agreement:
    """Reward against metric on the same completions; rows of one group are resampled together."""
    values = np.asarray(metric, float)
    known = values[~np.isnan(values)]
    binary = bool(np.isin(known, (0.0, 1.0)).all()) and np.unique(known).size == 2
    columns = [np.asarray(scores, float), values]
    return Agreement(
        bootstrap_columns(columns, spearman, n=RESAMPLES, groups=groups),
        bootstrap_columns(columns, kendall, n=RESAMPLES // 5, groups=groups),
        pairwise_accuracy(scores, metric, groups, span),
        bootstrap_columns(columns, auc, n=RESAMPLES, groups=groups) if binary else None,
    )


def pairwise_accuracy(scores: Scores, metric: Scores, groups: Sequence[int], span: float) -> Interval:
    """Share of a group's pairs with different metric that the scores order alike; a tie in score counts half."""
    rows: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for score, value, group in zip(scores, metric, groups, strict=True):
        if not (math.isnan(score) or math.isnan(value)):
            rows[group].append((score, value))
    outcomes, ids = [], []
    for group, pairs in rows.items():
        for (one, better), (two, worse) in combinations(sorted(pairs, key=lambda pair: -pair[1]), 2):
            if better > worse:
                outcomes.append((float(np.sign(_tied(np.asarray(one - two), span))) + 1) / 2)
                ids.append(group)
    return bootstrap(outcomes, groups=ids)


def balance(parts: Mapping[str, Scores], weights: Mapping[str, float]) -> Balance:
    """Dominance and redundancy of a sum's parts over the rows in which all of them were scored."""
    data = np.asarray([parts[name] for name in weights], float)
    data = data[:, ~np.isnan(data).any(0)]
    variance = {name: weight**2 * float(row.var()) for (name, weight), row in zip(weights.items(), data, strict=True)}
    total = sum(variance.values())
    shares = {name: value / total if total > 0 else math.nan for name, value in variance.items()}
    pairs = combinations(zip(weights, data, strict=True), 2)
    return Balance(shares, tuple((one, two, spearman(left, right)) for (one, left), (two, right) in pairs))


def krippendorff(repeated: Sequence[Scores]) -> float:
    r"""Krippendorff's alpha on the interval scale: how far a judge agrees with itself.

    .. math:: \alpha = 1 - \frac{D_o}{D_e}, \qquad
              D_o = \frac1n \sum_u \frac{1}{m_u - 1} \sum_{i \ne j} (v_{ui} - v_{uj})^2, \qquad
              D_e = \frac{1}{n (n - 1)} \sum_{i \ne j} (v_i - v_j)^2

    over the rows *u* that were scored :math:`m_u \ge 2` times, *n* values in all (Krippendorff, Computing
    Krippendorff's Alpha-Reliability, 2011). 1 is agreement, 0 chance, below 0 worse than chance; NaN where all values
    are the same.

    Args:
        repeated: `(K, N)`, the rows' scores each time, NaN where there is none.
    """
    scores = np.asarray(repeated, float)
    rows = [row[~np.isnan(row)] for row in scores.T]
    rows = [row for row in rows if len(row) > 1]
    values = np.concatenate(rows) if rows else np.empty(0)
    # The sum over all ordered pairs of (a - b)^2 is 2 n^2 times the variance.
    expected = 2 * len(values) * values.var() / (len(values) - 1) if len(values) else 0.0
    if expected == 0:
        return math.nan
    observed = sum(2 * len(row) ** 2 * row.var() / (len(row) - 1) for row in rows) / len(values)
    return float(1 - observed / expected)


def latency(seconds: Sequence[float], rows: Sequence[int]) -> Latency:
    """Seconds a row from the batches' seconds and sizes."""
    each = np.asarray(seconds) / np.asarray(rows)
    p50, p95 = np.quantile(each, [0.5, 0.95])
    return Latency(float(np.sum(seconds) / np.sum(rows)), float(p50), float(p95), int(np.sum(rows)))


def _tied(difference: Any, span: float) -> Any:
    """The difference, 0 where it is too small to mean anything."""
    return np.where(np.abs(difference) <= TIE * span, 0.0, difference)


def _grouped(scores: Scores, groups: Sequence[int]) -> list[Any]:
    """The scored members of each group that has two or more."""
    members: dict[int, list[float]] = defaultdict(list)
    for score, group in zip(scores, groups, strict=True):
        if not math.isnan(score):
            members[group].append(score)
    return [np.asarray(values) for values in members.values() if len(values) > 1]
