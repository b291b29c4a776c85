r"""GoT-R1's rewards as scores, to choose the best of several and to evaluate; none of them has a gradient.

GoT-R1 (arXiv 2505.17022) rewards a model that first reasons in text and boxes and then draws:

.. math:: R = R_{PI} \cdot (R_{sem} + R_{spa}) \cdot R_{RI}

with R_PI how the picture shows the prompt, R_sem how the reasoning covers it, R_spa how the planned boxes lie, judged
from a drawing of them, and R_RI the IoU of planned and found boxes. The reward code is not public; marks, instructions
and the finding of boxes by colour are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.text3d.colours import NAMES, nearest
from apps.text3d.guidance.boxes import soft_box
from apps.text3d.judging.components import COLOUR_CUT
from apps.text3d.prompts.prompt import Prompt
from common.rewards.image import BoxIou
from common.rewards.judges.answer import visible
from common.rewards.judges.client import Endpoint, as_data
from common.rewards.judges.layout import DATA, LAYOUT, MARKS, draw_boxes
from common.rewards.judges.picture_client import PictureJudge, Request, png

if TYPE_CHECKING:
    from PIL.Image import Image

ASPECTS = ("completeness", "faithfulness", "consistency", "clarity")
#: A piece of fewer than this share of a picture's pixels is no thing.
_LEAST = 0.002

_SEMANTIC = f"""\
You mark a plan for a picture against the prompt that the picture is to show; both are in the JSON object.
{DATA}- completeness: everything that the prompt names is in the plan, with its attributes and relations;
- faithfulness: the plan adds nothing that contradicts the prompt;
- consistency: its places and descriptions do not contradict each other;
- clarity: it could be drawn from.
Answer with one JSON object and nothing else, with the keys {", ".join(ASPECTS)}."""
_PICTURE = f"""\
You mark how well a picture shows a prompt, which is in the JSON object.
{DATA}- picture: the things, their number, colours and other attributes, and how they stand to each other.
Answer with one JSON object and nothing else: {{"picture": M}}"""


@dataclass(frozen=True)
class Candidate:
    """One answer to a prompt.

    Attributes:
        prompt: that it answers.
        picture: what was drawn; None where there is none.
        plan: the reasoning; empty where there is none.
        planned: `(N, 4)` boxes of the plan: left, top, right, bottom, as shares of width and height; None for none.
        found: `(M, 4)`, where the things are in the picture, in the same unit; None where that is not known.
        names: of the planned boxes.
    """

    prompt: str
    picture: Image | None = None
    plan: str = ""
    planned: Tensor | None = None
    found: Tensor | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class GotScore:
    """Scores in [0, 1]; NaN where a part is not there, or the judge failed.

    Attributes:
        semantic: R_sem, mean of four aspects.
        layout: R_spa.
        grounding: R_RI.
        picture: R_PI.
        reasons: why a part is NaN, by its name.
    """

    semantic: float
    layout: float
    grounding: float
    picture: float
    reasons: Mapping[str, str]

    @property
    def total(self) -> float:
        """R, in [0, 2]; NaN where a part is."""
        return total(self.semantic, self.layout, self.grounding, self.picture)


def total(semantic: float, layout: float, grounding: float, picture: float) -> float:
    """GoT-R1's product of scores in [0, 1]: `picture · (semantic + layout) · grounding`, in [0, 2]."""
    return picture * (semantic + layout) * grounding


def best_of(scores: Sequence[float]) -> int | None:
    """Row of the greatest score, the first among equals; rows without one do not take part. None where none has."""
    known = [row for row, score in enumerate(scores) if not math.isnan(score)]
    return max(known, key=lambda row: scores[row], default=None)


class GotJudge:
    """Scores candidates by a judge that sees pictures; parts that a candidate lacks are not asked for.

    Args:
        endpoint: of the judge.
        size: of the drawn layouts, in pixels.
        pause: seconds before the first retry.

    Raises:
        UsageError: the address is not HTTP, or no model is named.
    """

    def __init__(self, endpoint: Endpoint, size: int = 448, pause: float = 0.5) -> None:
        self.size = size
        self.judges = {
            "semantic": PictureJudge(endpoint, _SEMANTIC, dict.fromkeys(ASPECTS, MARKS), pause),
            "layout": PictureJudge(endpoint, LAYOUT, {"layout": MARKS}, pause),
            "picture": PictureJudge(endpoint, _PICTURE, {"picture": MARKS}, pause),
        }

    def score(self, candidates: Sequence[Candidate]) -> list[GotScore]:
        """Score each candidate.

        Raises:
            UsageError: not as many names as planned boxes.
            DataError: the key file cannot be read.
        """
        values: list[dict[str, float]] = [{} for _ in candidates]
        reasons: list[dict[str, str]] = [{} for _ in candidates]
        for part, judge in self.judges.items():
            requests = {row: made for row, one in enumerate(candidates) if (made := self._request(part, one))}
            answers = dict(zip(requests, judge.ask(list(requests.values())), strict=True))
            for row in range(len(candidates)):
                answer = answers.get(row, "not given")
                if isinstance(answer, dict):
                    values[row][part] = sum(answer.values()) / len(answer) / MARKS[-1]
                else:
                    reasons[row][part] = answer if row not in answers else f"the judge failed: {answer}"
        for row, one in enumerate(candidates):
            values[row]["grounding"], why = grounding(one.planned, one.found)
            if why:
                reasons[row]["grounding"] = why
        return [_score(found, why) for found, why in zip(values, reasons, strict=True)]

    def _request(self, part: str, one: Candidate) -> Request | None:
        prompt = visible(one.prompt)[:1000]
        if part == "semantic":
            return Request(as_data(prompt=prompt, plan=visible(one.plan)[:4000]), ()) if one.plan.strip() else None
        if part == "layout":
            if one.planned is None:
                return None
            drawn = png(draw_boxes(one.planned, one.names, self.size))
            return Request(as_data(prompt=prompt, boxes=list(one.names)), (drawn,))
        return Request(as_data(prompt=prompt), (png(one.picture),)) if one.picture is not None else None


def _score(found: Mapping[str, float], reasons: Mapping[str, str]) -> GotScore:
    parts = (found.get(part, math.nan) for part in ("semantic", "layout", "grounding", "picture"))
    semantic, layout, overlap, picture = parts
    return GotScore(semantic, layout, overlap, picture, reasons)


def grounding(planned: Tensor | None, found: Tensor | None) -> tuple[float, str]:
    """R_RI: IoU of planned and found boxes matched one to one, `BoxIou`, and why there is none.

    A missing box and one too many count as 0; NaN where either side is not known.
    """
    if planned is None or found is None:
        return math.nan, "not given"
    # `BoxIou` takes a picture without any found thing for "no box is right", so a plan with boxes has 0 there.
    result = BoxIou()(completion=[planned], reference=[found])
    return float(result.values[0]), result.info["reason"][0] if bool(result.values.isnan()[0]) else ""


def found_boxes(picture: Tensor, prompt: Prompt) -> tuple[Tensor, list[str]] | None:
    """Where a picture shows the things of a prompt, told by their colours.

    Each separate patch of a thing's colour gives a box; patches smaller than 0.2 % of the picture do not count. Two
    things of one colour of which one hides part of the other are one box.

    Args:
        picture: `(3, H, W)` in [0, 1], over white.
        prompt: parsed.

    Returns:
        Boxes `(N, 4)` as shares of width and height, and the name of each; None where colours cannot tell the things
        apart: one has none, or two share one, or the prompt was not understood.
    """
    from scipy import ndimage

    colours = [thing.colour for thing in prompt.objects]
    if not colours or None in colours or len(set(colours)) < len(colours) or prompt.unknown:
        return None
    index, distance = nearest(picture.permute(1, 2, 0))
    # White is no colour of the vocabulary: `nearest` gives −1 for it.
    index = torch.where(distance <= COLOUR_CUT, index, -1)
    boxes, names = [], []
    for thing in prompt.objects:
        labels, count = ndimage.label((index == NAMES.index(str(thing.colour))).numpy())
        for number in range(1, count + 1):
            mask = torch.from_numpy(labels == number)
            if float(mask.float().mean()) >= _LEAST:
                boxes.append(soft_box(mask.float()))
                names.append(" ".join(word for word in (thing.size, thing.colour, thing.kind) if word))
    return (torch.stack(boxes) if boxes else torch.zeros(0, 4)), names
