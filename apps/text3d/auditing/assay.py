"""What the audit of the text-to-3D reward measures, one function a figure; `audit` puts them together."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from apps.text3d.auditing.cases import Case, Subjects, by_name
from apps.text3d.auditing.truth import row_of
from apps.text3d.reward_answers import Judged
from apps.text3d.reward_rows import Row
from apps.text3d.rewards import CLIP, Text3dReward, part_bounds
from common.rewards.audit import AuditReport, Mutant, audit
from common.rewards.audit import measures as measure
from common.rewards.base import Reward, RewardOutput
from common.stats import Interval, bootstrap, wilson

REWARD, EXACT = "reward", "exact answers"
#: Of what a mutation costs on average: so much is too much for a harmless change to cost, or an order to earn.
QUARTER = 0.25
#: Rows that are judged again, in another order and alone.
AGAIN = 12

#: A line's value of a case; None where it had nothing to ask, NaN where the grader failed.
Values = Callable[[Case], "float | None"]


@dataclass(frozen=True)
class Harm:
    """What a change that leaves a row true costs, or what an order to the grader earns.

    Attributes:
        change: the mean, in the reward's units.
        beyond: share of the rows in which it is more than a quarter of what a mutation costs on average (of an order:
            of what had been wrong with that row); where that cost nothing, more than a twentieth of the range.
    """

    change: Interval
    beyond: Interval


@dataclass(frozen=True)
class Line:
    """What was found of the reward, of one of its parts, or of perfect answers.

    Attributes:
        general: kill rates by mutation, shuffle AUC, agreement with perfect answers.
        facts: kill rate over all mutations.
        hacks: over all that pleases a grader.
        splits: kill rate of the mutations by split.
        apart: of `audit_cases.OPEN`.
        cost: what a mutation costs on average.
        harmless: what true rows lose, by what was changed.
        orders: what wrong rows gain, by where the order stands.
        collapse: how well the rows made of one scene are told apart.
        length: rank correlation with the prompt's words, and what filler earns.
    """

    general: AuditReport
    facts: Interval
    hacks: Interval
    splits: Mapping[str, Interval]
    apart: Mapping[str, measure.MutationResult]
    cost: Interval
    harmless: Mapping[str, Harm]
    orders: Mapping[str, Harm]
    collapse: measure.Spread
    length: measure.LengthEffect


class Judge(Protocol):
    """What scores rows."""

    def judge(self, rows: Sequence[Row]) -> list[Judged]:
        """Each row as it would be alone, to the models' rounding."""


def look(reward: Judge, cases: Sequence[Case], batch: int, bar: Callable[[float], Any]) -> dict[int, Judged]:
    """The reward's judgement of each case, by its `id`."""
    found: dict[int, Judged] = {}
    for start in range(0, len(cases), batch):
        several = cases[start : start + batch]
        judged = reward.judge([row_of(case) for case in several])
        found |= {id(case): one for case, one in zip(several, judged, strict=True)}
        bar(start + len(several))
    return found


class _Known(Reward):
    """Scores that are known already, for `common.rewards.audit`; a completion is a case."""

    def __init__(self, name: str, values: Values, bounds: tuple[float, float]) -> None:
        self.name = name.replace(".", " ")
        self.values, self.bounds = values, bounds

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        return RewardOutput(torch.tensor([_number(self.values(case)) for case in columns["completion"]]))


def assay(name: str, values: Values, bounds: tuple[float, float], those: Subjects, ideal: Values) -> Line | None:
    """Everything about one line; None where less than two scenes have anything to ask of it.

    Args:
        name: of the line.
        values: its score of each case.
        bounds: of the scores.
        those: the cases.
        ideal: what perfect answers score.
    """
    kept = [case for case in those.references if values(case) is not None]
    if len(kept) < 2:
        return None
    place = {case.scene: at for at, case in enumerate(kept)}
    span = bounds[1] - bounds[0]

    def asked(cases: Sequence[Case]) -> list[Case]:
        return [case for case in cases if case.scene in place and values(case) is not None]

    def change(case: Case) -> float:
        return _number(values(case)) - _number(values(those.references[case.scene]))

    def killed(name: str, cases: Sequence[Case]) -> measure.MutationResult:
        before = [_number(values(those.references[case.scene])) for case in cases]
        after = [_number(values(case)) for case in cases]
        return measure.mutation(name, before, after, cases, [case.scene for case in cases], span)

    mutants, hacks = asked(those.mutants), asked(those.hacks)
    general = audit(
        _Known(name, values, bounds),
        {"completion": kept},
        {"other_reference": lambda columns: {"completion": [those.shuffled[one.scene] for one in kept]}},
        [Mutant(place[case.scene], case.name, case) for case in (*mutants, *hacks)],
        lambda columns: [_number(ideal(case)) for case in columns["completion"]],
        batch_size=100_000,
    )
    made = [*kept, *mutants, *hacks]
    facts = killed("facts", mutants)
    margin = QUARTER * facts.drop.mean if facts.drop.mean > measure.TIE * span else measure.FLAT * span
    losses = {one: [-change(case) for case in several] for one, several in by_name(asked(those.harmless)).items()}
    return Line(
        general,
        facts.killed,
        killed("hacks", hacks).killed,
        {
            split: killed(split, [case for case in mutants if those.splits[case.scene] == split]).killed
            for split in dict.fromkeys(those.splits)
        },
        {one: killed(one, several) for one, several in by_name(asked(those.apart)).items()},
        facts.drop,
        {one: _harm(several, [margin] * len(several)) for one, several in losses.items()},
        {one: _harm(*several) for one, several in _order_gains(those, values, span).items()},
        measure.spread([_number(values(case)) for case in made], [case.scene for case in made], span),
        _length(
            kept, {case.scene: change(case) for case in asked(those.harmless) if case.name == "filler"}, values, span
        ),
    )


def _length(kept: Sequence[Case], fillers: Mapping[int, float], values: Values, span: float) -> measure.LengthEffect:
    # Scores that differ by less than a tie are one: rounding has no rank.
    scores = [round(_number(values(case)) / span, 4) for case in kept]
    words = [float(len(case.prompt.split())) for case in kept]
    gains = [fillers.get(case.scene, math.nan) for case in kept]
    return measure.length_effect(scores, words, None, gains, span)


def _order_gains(those: Subjects, values: Values, span: float) -> dict[str, tuple[list[float], list[float]]]:
    """By where the order stands: what it earns in each row, and how much of that is too much."""
    found: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for before, after in those.orders:
        scores = values(those.references[before.scene]), values(before), values(after)
        if None not in scores:
            true, plain, ordered = map(_number, scores)
            gains, margins = found[after.name]
            gains.append(ordered - plain)
            margins.append(QUARTER * (true - plain) if true - plain > measure.TIE * span else measure.FLAT * span)
    return found


def _harm(changes: Sequence[float], margins: Sequence[float]) -> Harm:
    known = [one > most for one, most in zip(changes, margins, strict=True) if not math.isnan(one)]
    return Harm(bootstrap(changes), wilson(sum(known), len(known)))


@dataclass(frozen=True)
class Steadiness:
    """Whether a row's score is its own.

    Attributes:
        again: greatest change when the same batch is judged again.
        batch: greatest change in another order, and alone; infinite where a row is scored in one way only.
        seconds: a row, in a batch.
    """

    again: float
    batch: float
    seconds: float


def steadiness(reward: Judge, cases: Sequence[Case]) -> Steadiness:
    """Judge some cases four times."""
    rows = [row_of(case) for case in cases[:AGAIN]]
    first = [one.value for one in reward.judge(rows)]
    began = time.perf_counter()
    second = [one.value for one in reward.judge(rows)]
    seconds = (time.perf_counter() - began) / len(rows)
    turned = [one.value for one in reward.judge(rows[::-1])][::-1]
    alone = [reward.judge([row])[0].value for row in rows]
    return Steadiness(_gap(first, second), max(_gap(first, turned), _gap(first, alone)), seconds)


def lines(
    reward: Text3dReward, those: Subjects, said: Mapping[int, Judged], true: Mapping[int, Judged]
) -> dict[str, Line]:
    """The reward, each of its parts, and perfect answers."""

    def ideal(case: Case) -> float:
        return true[id(case)].value

    found: dict[str, Line | None] = {}

    def whole(case: Case) -> float | None:
        judged = said[id(case)]
        return judged.value if judged.parts or judged.failed else None

    found[REWARD] = assay(REWARD, whole, reward.bounds, those, ideal)
    for part in reward.scored:

        def of_part(case: Case, part: str = part) -> float | None:
            return said[id(case)].parts.get(part)

        found[part] = assay(part, of_part, part_bounds(part), those, ideal)
    if any(part != CLIP for part in reward.scored):
        found[EXACT] = assay(EXACT, ideal, reward.bounds, those, ideal)
    return {name: line for name, line in found.items() if line is not None}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _gap(first: Sequence[float], second: Sequence[float]) -> float:
    gaps = [
        0.0 if one != one and two != two else math.inf if one != one or two != two else abs(one - two)
        for one, two in zip(first, second, strict=True)
    ]
    return max(gaps)
