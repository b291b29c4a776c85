"""What the audit of an answer reward measures, one function a figure; `audit` puts them together.

They take what `subjects` made of right answers, and the scores of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apps.medvqa.auditing.subjects import Made, Subjects
from common.rewards.audit import measures as measure
from common.stats import Interval, auc, bootstrap, bootstrap_columns, spearman, wilson

#: Share of a reward's range by which a wrong answer must score below the right one, and within which a right answer
#: said otherwise must stay. The scorer calls 0.8 of 1 right: who loses a fifth is not right any more.
MARGIN = 0.2
#: Resamples of what is drawn over all answers: thousands of scores for each reward.
RESAMPLES = 200
#: Survivors that are kept of each operator.
SHOWN = 5


@dataclass(frozen=True)
class Cell:
    """One operator under one reward.

    Attributes:
        passed: share of rows where the reward does as it should by `MARGIN`, with its Wilson interval.
        lower: share of rows that score lower at all, by more than a ten-thousandth of the range.
        drop: mean loss of score against the right answer, as a share of the range.
        failed: rows that could not be scored.
        missed: some rows where it does not: row, text and loss.
    """

    passed: Interval
    lower: Interval
    drop: Interval
    failed: int
    missed: tuple[tuple[int, str, float], ...]


@dataclass(frozen=True)
class TruthAgreement:
    """A reward against the exact truth of the phantoms.

    Attributes:
        pairwise: of the pairs of a right and a wrong answer to one question, the share that the reward orders rightly;
            a tie counts half.
        auc: chance that a right answer to any question scores above a wrong one to any question.
        right: answers that the truth calls right.
    """

    pairwise: Interval
    auc: Interval
    right: int


def cells(made: Sequence[Made], drops: Sequence[float], keeping: bool = False) -> dict[str, Cell]:
    """The cell of each operator.

    Args:
        made: what was scored.
        drops: `(N,)` loss of score against the right answer, as a share of the reward's range; NaN: not scored.
        keeping: whether the score should stay (rewordings) rather than fall.
    """
    places: dict[str, list[int]] = {}
    for place, one in enumerate(made):
        places.setdefault(one.operator, []).append(place)
    return {
        name: _cell([made[place] for place in several], [drops[place] for place in several], keeping)
        for name, several in places.items()
    }


def together(made: Sequence[Made], drops: Sequence[float], keeping: bool = False) -> Interval:
    """Share of all rows of all operators where the reward does as it should.

    What was made of one row is resampled together.
    """
    passed = [math.nan if math.isnan(drop) else float(_passes(drop, keeping)) for drop in drops]
    found = bootstrap(passed, groups=[one.row for one in made])
    if found.mean not in (0.0, 1.0):
        return found
    # Resampling knows no doubt where all rows agree; Wilson does, and takes each question for one piece of evidence.
    rows = len({one.row for one, value in zip(made, passed, strict=True) if not math.isnan(value)})
    sure = wilson(round(found.mean * rows), rows)
    return Interval(found.mean, sure.low, sure.high, found.n)


def length_slope(made: Sequence[Made], scores: Sequence[float], own: Sequence[float], those: Subjects) -> Interval:
    """Rank correlation of score and words among right wordings of one answer: whether long or short wording pays.

    Args:
        made: rewordings.
        scores: theirs.
        own: `(N,)` scores of the right answers.
        those: the rows.
    """
    rows = [*range(len(those)), *(one.row for one in made)]
    texts = [*(told.answer for told in those.told), *(one.said.answer for one in made)]
    lengths = [float(len(text.split())) for text in texts]
    columns = [_centred(values, rows) for values in ([*own, *scores], lengths)]
    return bootstrap_columns(columns, spearman, n=RESAMPLES, groups=rows)


def separation(right: Sequence[tuple[int, float]], wrong: Sequence[tuple[int, float]]) -> Interval:
    """Chance that a right answer scores above a wrong one, from (row, score) pairs; rows are resampled whole."""
    values = [score for _, score in (*right, *wrong)]
    labels = [1.0] * len(right) + [0.0] * len(wrong)
    groups = [row for row, _ in (*right, *wrong)]
    return bootstrap_columns([values, labels], auc, n=RESAMPLES, groups=groups)


def agreement(judged: Sequence[tuple[int, bool, float]], span: float) -> TruthAgreement | None:
    """Scores against the exact truth, from (row, right, score); None where nothing is known exactly."""
    if not judged:
        return None
    rows, truth, scores = zip(*((row, float(right), score) for row, right, score in judged), strict=True)
    return TruthAgreement(
        measure.pairwise_accuracy(scores, truth, rows, span),
        bootstrap_columns([scores, truth], auc, n=RESAMPLES, groups=rows),
        int(sum(truth)),
    )


def _passes(drop: float, keeping: bool) -> bool:
    # The last digit of a float must not decide.
    return abs(drop) <= MARGIN + 1e-6 if keeping else drop >= MARGIN - 1e-6


def _cell(made: Sequence[Made], drops: Sequence[float], keeping: bool) -> Cell:
    known = [drop for drop in drops if not math.isnan(drop)]
    missed = [
        (one.row, one.said.answer if one.said.answer else "(empty)", drop)
        for one, drop in zip(made, drops, strict=True)
        if not math.isnan(drop) and not _passes(drop, keeping)
    ]
    return Cell(
        wilson(sum(_passes(drop, keeping) for drop in known), len(known)),
        wilson(sum(drop > measure.TIE for drop in known), len(known)),
        bootstrap(drops),
        len(drops) - len(known),
        tuple(missed[:SHOWN]),
    )


def _centred(values: Sequence[float], groups: Sequence[int]) -> list[float]:
    """Values minus the mean of their group's known ones."""
    members: dict[int, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        if not math.isnan(value):
            members.setdefault(group, []).append(value)
    means = {group: sum(several) / len(several) for group, several in members.items()}
    return [value - means.get(group, math.nan) for value, group in zip(values, groups, strict=True)]
