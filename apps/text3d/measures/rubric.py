"""GoT-R1's picture and layout scores of finished scenes, from the prompt's own viewpoint.

A scene has no reasoning and no planned boxes; its layout is what colours find in the picture, drawn as boxes on an
empty canvas and judged against the prompt, so that the judge sees places alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from apps.text3d.export.turntable import to_bytes
from apps.text3d.measures.assets import Asset
from apps.text3d.measures.got import Candidate, GotJudge, found_boxes
from apps.text3d.measures.results import Figure, absent, figure_of
from apps.text3d.prompts import parse
from common.rewards.judges import Endpoint


def measure_rubric(endpoint: Endpoint, assets: Sequence[Asset], pause: float = 0.5) -> list[Figure]:
    """`got.picture` and `got.layout` in [0, 1]; the layout of scenes only whose things colours tell apart.

    An outage and an answer that stays unreadable are NaN, and counted as lost.

    Args:
        endpoint: of a judge that sees pictures.
        assets: whose first view is shown; one without views is NaN.
        pause: seconds before the first retry.

    Raises:
        DataError: views or the key file cannot be read.
        UsageError: the address is not HTTP, or no model is named.
    """
    if not any(asset.seen for asset in assets):
        return [absent("got", "no scene has views; `generate` writes them into views/", wanted=True)]
    candidates = [candidate(asset) for asset in assets]
    scores = GotJudge(endpoint, pause=pause).score(candidates)
    prompts = [asset.prompt for asset in assets]
    notes = {"picture": "R_PI", "layout": "R_spa, of boxes that colours find"}
    figures = []
    for part, note in notes.items():
        each = [float(getattr(score, part)) for score in scores]
        asked = [one.picture if part == "picture" else one.planned for one in candidates]
        lost = sum(math.isnan(value) for value, given in zip(each, asked, strict=True) if given is not None)
        figures.append(figure_of(f"got.{part}", each, prompts, f"{note}; judge {endpoint.model}", lost, share=True))
    return figures


def candidate(asset: Asset) -> Candidate:
    """A finished scene as GoT-R1's judge takes it: the prompt's own view, and the boxes that colours find in it."""
    from PIL import Image

    if not asset.seen:
        return Candidate(asset.prompt)
    view = asset.views().rgb[:1]
    found = found_boxes(view[0], parse(asset.prompt))
    boxes, names = found if found is not None else (None, [])
    return Candidate(asset.prompt, Image.fromarray(to_bytes(view)[0]), planned=boxes, names=names)
