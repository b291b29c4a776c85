"""Whether the views of a scene agree with each other, and whether its front is seen from behind too (Janus)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apps.text3d.export.views import Seen
from apps.text3d.measures.assets import Asset
from apps.text3d.measures.results import Figure, absent, figure_of

#: Quarters of azimuth, in degrees; the front is 0.
SECTORS = (0.0, 90.0, 180.0, 270.0)
#: From this score on a view counts as the front.
FRONT = 0.5
#: Quarters that show the front, from which on there is more than one face.
FACES = 3
#: Metres between two views' surfaces that still count as one: two cells of the finest grid that is common here.
TOLERANCE = 0.06


@dataclass(frozen=True)
class Faces:
    """Where the front is seen.

    Attributes:
        back: greatest front score of a view from behind (90° and more from the front); NaN where there is none.
        count: quarters of azimuth whose mean front score is `FRONT` or more.
        warn: `FACES` or more of them.
    """

    back: float
    count: int
    warn: bool


def janus(scores: Sequence[float], azimuths: Sequence[float]) -> Faces:
    """Count the quarters of azimuth at which a front is seen.

    Args:
        scores: `(V,)` how much each view is a front, in [0, 1].
        azimuths: `(V,)` degrees; a view belongs to the nearest quarter, so that many views in front count once.
    """
    quarters: dict[float, list[float]] = {}
    behind = [score for score, azimuth in zip(scores, azimuths, strict=True) if _apart(azimuth, 0.0) > 90.0]
    for score, azimuth in zip(scores, azimuths, strict=True):
        quarters.setdefault(min(SECTORS, key=lambda middle: _apart(azimuth, middle)), []).append(score)
    count = sum(sum(values) / len(values) >= FRONT for values in quarters.values())
    return Faces(max(behind, default=math.nan), count, count >= FACES)


@dataclass(frozen=True)
class Agreement:
    """How neighbouring views agree.

    Attributes:
        surface: share of surface points that the neighbour sees at the same place, of those that it does not see past;
            in [0, 1], NaN where nothing can be compared.
        colour: 1 − mean absolute difference of colours at the shared points, in [0, 1].
    """

    surface: float
    colour: float


def agreement(seen: Seen, tolerance: float = TOLERANCE) -> Agreement:
    """Project each view's surface into the next view and compare.

    A point p of view i with a known depth is looked for in the 3 × 3 pixels of view j around its projection. Where j
    sees a surface within `tolerance` of p they agree, and the colours of the two pixels are compared. Where j sees
    something nearer, p is hidden and says nothing. Where j looks past p, the views contradict each other: fog and thin
    shells do that, because their depth depends on the side. Shading by the camera's direction, as our renderers have,
    costs a few hundredths of `colour`. That a scene agrees with itself says nothing of its prompt, and a scene of
    several faces agrees: see `janus` for these.

    Args:
        seen: with depth; two views at least.
        tolerance: metres.
    """
    if seen.depth is None or len(seen) < 2:
        return Agreement(math.nan, math.nan)
    origins, directions = seen.cameras.rays()
    agreed = contradicted = 0
    apart = 0.0
    for here in range(len(seen)):
        there = (here + 1) % len(seen)
        known = seen.depth[here] > 0
        points = (origins[here] + directions[here] * seen.depth[here][..., None])[known]
        found = _looked_for(points, seen, there, tolerance)
        own = seen.rgb[here].permute(1, 2, 0)[known]
        same = found.place >= 0
        other = seen.rgb[there].flatten(1).T[found.place[same]]
        agreed += int(same.sum())
        contradicted += int(found.past.sum())
        apart += float((own[same] - other).abs().mean(1).sum())
    compared = agreed + contradicted
    return Agreement(agreed / compared if compared else math.nan, 1 - apart / agreed if agreed else math.nan)


@dataclass(frozen=True)
class _Found:
    """Where points were found: flat pixel, −1 for none; and whether the view looks past them. `(N,)` each."""

    place: Tensor
    past: Tensor


def _looked_for(points: Tensor, seen: Seen, row: int, tolerance: float) -> _Found:
    assert seen.depth is not None
    camera, depth = seen.cameras[[row]], seen.depth[row]
    height, width = depth.shape
    (places,), (ahead,) = camera.project(points)
    columns, rows = places.floor().long().unbind(1)
    inside = (ahead > 0) & (columns >= 1) & (columns < width - 1) & (rows >= 1) & (rows < height - 1)
    wanted = (points - camera.positions[0]).norm(dim=1)
    shift = torch.tensor([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])
    y = (rows[:, None] + shift[:, 0]).clamp(0, height - 1)
    x = (columns[:, None] + shift[:, 1]).clamp(0, width - 1)
    around = depth[y, x]
    gap = torch.where(around > 0, around - wanted[:, None], torch.inf)
    best = gap.abs().min(1)
    same = inside & (best.values <= tolerance)
    hidden = (gap < -tolerance).any(1)
    flat = (y * width + x).gather(1, best.indices[:, None])[:, 0]
    return _Found(torch.where(same, flat, -1), inside & ~same & ~hidden)


def measure_consistency(assets: Sequence[Asset]) -> list[Figure]:
    """`views.surface` and `views.colour`: how neighbouring views agree; see `agreement`.

    Raises:
        DataError: views that cannot be read.
    """
    prompts = [asset.prompt for asset in assets]
    found = [agreement(asset.views()) if asset.seen else Agreement(math.nan, math.nan) for asset in assets]
    if all(math.isnan(one.surface) for one in found):
        return [absent("views", "no scene has views with depth; `generate` writes them")]
    return [
        figure_of(
            "views.surface",
            [one.surface for one in found],
            prompts,
            "seen at the same place by the next view",
            share=True,
        ),
        figure_of(
            "views.colour",
            [one.colour for one in found],
            prompts,
            "1 − difference of colours; shading counts",
            share=True,
        ),
    ]


def _apart(azimuth: float, other: float) -> float:
    return abs((azimuth - other + 180) % 360 - 180)
