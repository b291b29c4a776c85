"""What a second CLIP says of the views: cosine with the prompt, R-precision among prompts, and the front at the back.

A CLIP that has guided a scene likes it: figures of the same model are no held-out ones, and are marked so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.text3d.measures.assets import Asset
from apps.text3d.measures.consistency import SECTORS, janus
from apps.text3d.measures.results import Figure, absent, figure_of

if TYPE_CHECKING:
    from apps.text3d.export.views import Seen
    from common.models.clip import Clip

log = logging.getLogger(__name__)

DIRECTIONS = ("front", "side", "back")


@dataclass(frozen=True)
class _Row:
    """One scene under CLIP; NaN where CLIP failed."""

    mean: float = math.nan
    greatest: float = math.nan
    front: float = math.nan
    first: float = math.nan
    among: float = math.nan
    back: float = math.nan
    fronts: float = math.nan


def measure_clip(
    clip: Clip, assets: Sequence[Asset], pool: Sequence[str] = (), rank: int = 5
) -> tuple[list[Figure], list[str]]:
    r"""CLIP's figures, and alarms.

    * `clip.mean`, `clip.max`: cosine of the prompt and a scene's views, mean and greatest over the views, in [−1, 1];
      `clip.front` that of the prompt's own viewpoint, from which its relations hold.
    * `clip.r@1`, `clip.r@K`: R-precision (Dream Fields, arXiv 2112.01455): the share of a scene's views whose own
      prompt is among the K nearest of the pool. A tie counts against it, so a CLIP that says one thing of all gets 0.
    * `clip.back_front`: p(front) of the views from behind, by a softmax over the prompt with "front view", "side view"
      and "back view"; the greatest over views. `clip.fronts`: at how many of the four quarters of azimuth p(front) is
      above ½. Three or more raise the alarm of several faces (Janus). Of things without a front, such as the pocket
      world's solids, both say nothing.

    Args:
        clip: that guided none of the scenes.
        assets: whose views are read; one without is NaN.
        pool: further prompts to be told from, besides the scenes' own.
        rank: K.

    Raises:
        DataError: views that cannot be read.
    """
    seen = [asset.seen for asset in assets]
    if not any(seen):
        return [absent("clip", "no scene has views; `generate` writes them into views/", wanted=True)], []
    prompts = [asset.prompt for asset in assets]
    texts = list(dict.fromkeys([*prompts, *pool]))
    with torch.no_grad():
        vectors = clip.text(texts)
        rows = [_measured(clip, asset, texts, vectors, rank) if asset.seen else None for asset in assets]
    lost = sum(row is not None and math.isnan(row.mean) for row in rows)
    note = _note(clip, assets)
    among = f"among {len(texts)} prompts"
    figures = [("mean", "mean", ""), ("max", "greatest", ""), ("front", "front", "the prompt's own viewpoint")]
    if len(texts) > 1:
        figures.append(("r@1", "first", f"{among}; by chance {1 / len(texts):.3f}"))
        if 1 < rank < len(texts):
            figures.append((f"r@{rank}", "among", f"{among}; by chance {rank / len(texts):.3f}"))
    figures += [("back_front", "back", "no front, no meaning"), ("fronts", "fronts", "quarters of azimuth, of 4")]
    found = [
        figure_of(
            f"clip.{name}",
            [math.nan if row is None else getattr(row, entry) for row in rows],
            prompts,
            "; ".join(part for part in (more, note) if part),
            lost,
            share=name.startswith("r@") or name == "back_front",
        )
        for name, entry, more in figures
    ]
    if len(texts) == 1:
        found.append(absent("clip.r@1", "there is one prompt only; give more by --prompts"))
    return found, _alarms(assets, rows)


def ranks(pictures: Tensor, texts: Tensor, own: int) -> Tensor:
    """Rank of each picture's own text, `(V,)` from 1; a text as near as the own one stands before it.

    Args:
        pictures: `(V, D)` vectors.
        texts: `(N, D)`.
        own: row of the own text.
    """
    scores = pictures @ texts.T
    others = torch.arange(len(texts), device=scores.device) != own
    return 1 + (scores[:, others] >= scores[:, own : own + 1] - 1e-6).sum(1)


def front_scores(clip: Clip, pictures: Tensor, prompt: str) -> Tensor:
    """p(front) `(V,)` of views with vectors `(V, D)`; see `measure_clip`."""
    texts = clip.text([f"{prompt}, {name} view" for name in DIRECTIONS])
    return (clip.logit_scale * pictures @ texts.T).softmax(1)[:, 0]


def _measured(clip: Clip, asset: Asset, texts: Sequence[str], vectors: Tensor, rank: int) -> _Row:
    seen: Seen = asset.views()
    own = texts.index(asset.prompt)
    try:
        pictures = clip.image(seen.rgb)
        fronts = front_scores(clip, pictures, asset.prompt)
    except RuntimeError as error:
        # The grader's failure (out of memory, a lost device), never a score. TouchstoneError is no RuntimeError.
        log.warning("%s: CLIP failed: %s", asset.id, error)
        return _Row()
    cosines = pictures @ vectors[own]
    places = ranks(pictures, vectors, own)
    faces = janus(fronts.tolist(), seen.azimuths)
    return _Row(
        float(cosines.mean()),
        float(cosines.max()),
        float(cosines[0]),
        float((places == 1).float().mean()),
        float((places <= rank).float().mean()),
        faces.back,
        float(faces.count),
    )


def _note(clip: Clip, assets: Sequence[Asset]) -> str:
    same = sum(asset.guided_by("clip", clip.model_name) for asset in assets)
    return f"NOT held out: this CLIP guided {same} of the scenes" if same else ""


def _alarms(assets: Sequence[Asset], rows: Sequence[_Row | None]) -> list[str]:
    faces = [asset.id for asset, row in zip(assets, rows, strict=True) if row is not None and row.fronts >= 3]
    if not faces:
        return []
    return [
        f"several faces (Janus)? The front is seen at 3 or more of {len(SECTORS)} quarters of azimuth of {len(faces)} "
        f"of {len(assets)} scenes, such as {', '.join(faces[:3])}. Things without a front look so too"
    ]
