"""How often a second vision-language model's answers about the views are the prompt's.

The questions are those of `apps.text3d.prompts.questions`: left and right as each camera sees them, the prompt as a
whole only from where its relations hold. Right answers are partly No, so that a model that always says Yes does not
pass for good: `questions.balanced` gives it ½.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from apps.text3d.measures.assets import Asset
from apps.text3d.measures.results import Figure, absent, figure_of
from apps.text3d.prompts import parse
from apps.text3d.prompts import questions as ask
from apps.text3d.prompts.prompt import Prompt

if TYPE_CHECKING:
    from apps.text3d.export.views import Seen
    from common.models.vlm import VisionLanguageModel

log = logging.getLogger(__name__)

#: In the order shown; `contrast` asks for another scene's prompt, to be answered No.
FACTS = ("prompt", "contrast", "object", "colour", "count", "relation", "consistency")
YES_NO = frozenset({ask.YES, ask.NO})


@dataclass(frozen=True)
class Asked:
    """One question and the views that it is asked about, in one turn.

    Attributes:
        question: with the expected answer.
        rows: of the views.
        fact: of `FACTS`.
    """

    question: ask.Question
    rows: tuple[int, ...]
    fact: str


def questions_of(
    prompt: Prompt, rows: Sequence[int], azimuths: Sequence[float], contrast: Prompt | None = None
) -> list[Asked]:
    """All decided questions about some views of a scene.

    Args:
        prompt: parsed; of one that was not understood, only the whole and the consistency are asked.
        rows: of the views that are asked about.
        azimuths: `(V,)` of all views, in degrees.
        contrast: another prompt that the scene does not show.
    """
    asked: list[Asked] = []
    for row in rows:
        azimuth = azimuths[row]
        if ask.told_from(prompt, azimuth):
            asked.append(Asked(ask.whole(prompt), (row,), "prompt"))
        if contrast is not None:
            asked.append(Asked(replace(ask.whole(contrast), expected=ask.NO), (row,), "contrast"))
        asked += [Asked(one, (row,), one.fact) for one in ask.semantic(prompt, contrasts=True)]
        asked += [Asked(one, (row,), one.fact) for one in ask.spatial(prompt, azimuth)]
    if len(rows) > 1:
        asked += [Asked(one, tuple(rows), "consistency") for one in ask.consistency()]
    return asked


def contrast_for(prompts: Sequence[Prompt], at: int) -> Prompt | None:
    """The next prompt of the set that the scene of another one cannot show: nothing in it is in the other.

    Of texts that were not understood nobody knows, so any other text counts.
    """
    own = prompts[at]
    for other in [*prompts[at + 1 :], *prompts[:at]]:
        alike = any(
            one.kind == two.kind or (one.colour is not None and one.colour == two.colour)
            for one in own.objects
            for two in other.objects
        )
        if other.text != own.text and not alike:
            return other
    return None


def answered(vlm: VisionLanguageModel, seen: Seen, asked: Sequence[Asked]) -> list[float]:
    """1 for an answer as expected and 0 for another; NaN where the model gives no number.

    Yes or No by the log-odds of the two, one of several by the likeliest.
    """
    from common.models.vlm import ask as turn

    pictures = seen.rgb.unbind(0)
    values = [math.nan] * len(asked)
    binary = [at for at, one in enumerate(asked) if set(one.question.choices) == YES_NO]
    with torch.no_grad():
        if binary:
            shown = [[pictures[row] for row in asked[at].rows] for at in binary]
            odds = vlm.yes_logit(shown, [asked[at].question.text for at in binary])
            for at, value in zip(binary, odds.tolist(), strict=True):
                expected = asked[at].question.expected == ask.YES
                # Odds of exactly 0 are no answer, and none is right.
                values[at] = math.nan if math.isnan(value) else float(value > 0 if expected else value < 0)
        for at in set(range(len(asked))) - set(binary):
            one = asked[at]
            prompt = turn(one.question.text, [pictures[row] for row in one.rows])
            scores, _ = vlm.log_prob([prompt] * len(one.question.choices), list(one.question.choices), end=True)
            if bool(torch.isfinite(scores).all()):
                values[at] = float(one.question.choices[int(scores.argmax())] == one.question.expected)
    return values


def measure_questions(vlm: VisionLanguageModel, assets: Sequence[Asset], views: int, name: str = "") -> list[Figure]:
    """`questions.FACT`: share of right answers about each scene; `.balanced`: mean of those to be answered Yes and No.

    Args:
        vlm: that guided none of the scenes.
        assets: whose views are shown; one without is NaN.
        views: that are asked about; see `Seen.spread`.
        name: of the model, to tell whether it guided a scene.

    Raises:
        DataError: views that cannot be read.
    """
    if not any(asset.seen for asset in assets):
        return [absent("questions", "no scene has views; `generate` writes them into views/", wanted=True)]
    prompts = [parse(asset.prompt) for asset in assets]
    columns: dict[str, list[float]] = {fact: [] for fact in (*FACTS, "balanced")}
    count = lost = 0
    for at, asset in enumerate(assets):
        asked, values = _about(vlm, asset, prompts[at], contrast_for(prompts, at), views)
        count += len(asked)
        lost += bool(asked) and all(math.isnan(value) for value in values)
        groups: dict[str, list[float]] = defaultdict(list)
        for one, value in zip(asked, values, strict=True):
            for key in (one.fact, one.question.expected or ""):
                groups[key] += [] if math.isnan(value) else [value]
        for fact in FACTS:
            columns[fact].append(_mean(groups[fact]))
        columns["balanced"].append((_mean(groups[ask.YES]) + _mean(groups[ask.NO])) / 2)
    same = sum(asset.guided_by("vlm", name) for asset in assets)
    note = f"NOT held out: this model guided {same} of the scenes" if same else ""
    texts = [asset.prompt for asset in assets]
    balanced = "; ".join(part for part in (f"{count} questions; always Yes is 0.5", note) if part)
    return [
        *(figure_of(f"questions.{fact}", columns[fact], texts, note, lost, share=True) for fact in FACTS),
        figure_of("questions.balanced", columns["balanced"], texts, balanced, lost, share=True),
    ]


def _about(
    vlm: VisionLanguageModel, asset: Asset, prompt: Prompt, contrast: Prompt | None, views: int
) -> tuple[list[Asked], list[float]]:
    if not asset.seen:
        return [], []
    seen = asset.views()
    asked = questions_of(prompt, seen.spread(views), seen.azimuths, contrast)
    try:
        return asked, answered(vlm, seen, asked)
    except RuntimeError as error:
        # The grader's failure (out of memory, a lost device), never a wrong answer.
        log.warning("%s: the vision-language model failed: %s", asset.id, error)
        return asked, [math.nan] * len(asked)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
