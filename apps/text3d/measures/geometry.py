"""The geometry judge's shares of finished scenes: what really stands where, which no neural reward has seen.

`generate` judges the scene itself (`apps.text3d.judging.geometry.judge`) and keeps the verdict in `result.json`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from apps.text3d.measures.assets import Asset
from apps.text3d.measures.results import Figure, absent, figure_of

MEASURES = ("object", "colour", "count", "relation", "correct")
_NOTES = {
    "correct": "all that the prompt asks for is there, and nothing else",
    "count": "a thing that belongs to none counts as one more that is wrong",
}


def measure_geometry(assets: Sequence[Asset]) -> list[Figure]:
    """`geometry.object`, `.colour`, `.count`, `.relation` and `.correct` in [0, 1], of the scenes that were judged."""
    if not any(isinstance(asset.told.get("geometry"), dict) for asset in assets):
        return [absent("geometry", "no scene has the judge's verdict in its result.json; `generate` writes it")]
    prompts = [asset.prompt for asset in assets]
    unjudged = sum(not isinstance(asset.told.get("geometry"), dict) for asset in assets)
    missing = f"{unjudged} scenes without a verdict are left out" if unjudged else ""
    found = []
    for name in MEASURES:
        each = [_share(asset.told.get("geometry"), name) for asset in assets]
        note = "; ".join(part for part in (_NOTES.get(name, ""), missing) if part)
        found.append(figure_of(f"geometry.{name}", each, prompts, note, share=True))
    return found


def _share(verdict: Any, name: str) -> float:
    """NaN where there is no verdict, or the prompt asks nothing of the sort."""
    value = verdict.get(name) if isinstance(verdict, dict) else None
    return float(value) if isinstance(value, (bool, int, float)) else math.nan
