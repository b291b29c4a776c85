"""Perfect answers to the reward's questions, and the judge of geometry: what the audit holds a model against."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from apps.text3d.auditing.cases import GROUPS, Case, Subjects, by_name
from apps.text3d.pocket.world import World
from apps.text3d.pretraining.questions import shows
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.questions import NO, YES, Question, semantic, spatial, whole
from apps.text3d.reward_answers import Answer, Judged
from apps.text3d.reward_rows import Row
from apps.text3d.rewards import Text3dReward
from common.ranks import auc
from common.stats import Interval, wilson

#: Log-odds of perfect answers, in nats.
SURE = 12.0


@dataclass(frozen=True)
class FactAgreement:
    """A model's answers about one kind of fact against the exact truth.

    Attributes:
        right: share of the answers that are true.
        auc: chance that its odds of yes are higher where yes is true.
        yes: share of the questions of which yes is true.
    """

    right: Interval
    auc: float
    yes: float


def row_of(case: Case) -> Row:
    """A case as the reward reads it."""
    return Row(parse(case.prompt), tuple(case.pictures.unbind(0)), case.azimuths)


def exact(reward: Text3dReward, case: Case) -> Judged:
    """What perfect answers to the reward's own questions come to: how much can be seen by asking them at all."""
    row = row_of(case)
    known: dict[float, dict[str, Question]] = {}
    answers = []
    for one in reward.turns(row):
        true = _truth(one, row, case, known)
        odds = 0.0 if true is None else SURE if true == one.expected else -SURE
        answers.append(replace(one, log_odds=odds))
    return reward.weigh(row, answers)


def _truth(answer: Answer, row: Row, case: Case, known: dict[float, dict[str, Question]]) -> bool | None:
    """Whether yes is true of what is shown; None where that is undecided."""
    shown = [case.shows[view] for view in answer.views]
    if answer.kind == "consistency":
        if not all(world.solids for world in shown):
            return None
        one_scene = all(world.solids == shown[0].solids for world in shown)
        # "Do they agree?", and the other: "Is the same front on several sides?"
        return one_scene if answer.expected else (False if one_scene else None)
    azimuth = row.azimuths[answer.views[0]]
    if azimuth not in known:
        prompt = row.prompt
        asked = [whole(prompt), *semantic(prompt, contrasts=True), *spatial(prompt, azimuth, undecided=True)]
        known[azimuth] = {one.text: one for one in asked}
    question = known[azimuth][answer.text]
    said = _whole(shown[0], case) if question.fact == "prompt" else shown[0].answer(question)
    return None if said is None else {YES: True, NO: False}[said]


def _whole(world: World, case: Case) -> str | None:
    prompt = parse(case.prompt)
    return shows(world, prompt) if prompt.objects else None


def facts(said: Mapping[int, Judged], true: Mapping[int, Judged]) -> dict[str, FactAgreement]:
    """The model's answers about all cases against the truth, by kind of fact; the undecided are left out."""
    pairs: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for key, judged in said.items():
        for answer, ideal in zip(judged.answers, true[key].answers, strict=True):
            if ideal.log_odds and not math.isnan(answer.log_odds):
                yes = (ideal.log_odds > 0) == answer.expected
                pairs[answer.fact].append((yes, answer.log_odds if answer.expected else -answer.log_odds))
    return {
        fact: FactAgreement(
            wilson(sum((odds > 0) == yes for yes, odds in several), len(several)),
            auc([odds for _, odds in several], [float(yes) for yes, _ in several]),
            sum(yes for yes, _ in several) / len(several),
        )
        for fact, several in pairs.items()
    }


def geometry(those: Subjects, scenes: int) -> dict[str, Interval]:
    """The judge of geometry, who sees the scene itself and no picture: share of mutants that he finds wrong.

    Of the first scenes whose true prompt he finds right; `true` is the share of those.
    """
    from apps.text3d.judging.geometry import judge
    from apps.text3d.pocket.sdf_scene import SdfScene

    def correct(case: Case) -> bool:
        return judge(SdfScene(case.shows[0]), parse(case.prompt), resolution=48).correct

    tried = those.references[:scenes]
    right = {case.scene for case in tried if correct(case)}
    found = {"true": wilson(len(right), len(tried))}
    judgeable = [case for case in those.mutants if any(of(case.name) for of in GROUPS.values())]
    for name, several in by_name([case for case in judgeable if case.name != "patchwork"]).items():
        verdicts = [correct(case) for case in several if case.scene in right]
        found[name] = wilson(len(verdicts) - sum(verdicts), len(verdicts))
    return found
