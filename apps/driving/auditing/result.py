"""What an audit of driving rewards found, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.driving.auditing.drives import Drives
    from common.stats import Interval


@dataclass(frozen=True)
class Cell:
    """One wrong behaviour under one reward.

    Attributes:
        killed: share of trials that cost `assay.MARGIN` of the unit or more, with its Wilson interval.
        lower: share that cost anything.
        drop: mean loss in units of what good driving earns beyond standing still; NaN where that is nothing.
        failed: trials that could not be scored.
    """

    killed: Interval
    lower: Interval
    drop: Interval
    failed: int


@dataclass(frozen=True)
class Ranking:
    """A reward's returns of whole drives against the driving score.

    Attributes:
        spearman: rank correlation; routes are resampled whole.
        pairwise: of two drives of one route with different scores, the share that the return orders alike.
        returns: of each drive.
    """

    spearman: Interval
    pairwise: Interval
    returns: Sequence[float]


@dataclass(frozen=True)
class RewardAssay:
    """What was found of one reward.

    Attributes:
        bounds: its bounds.
        unit: what good driving earns a step beyond standing still.
        edits: by behaviour, of single transitions.
        acts: by behaviour, of three seconds that were played.
        killed_edits: all edits together.
        killed_acts: all acts together.
        ordering: chance that good driving earns more than a wrong act of any scene.
        collapse: share of scenes where all acts earn about the same.
        flat: share of the steps of all drives that get the most frequent value.
        ranking: of whole drives; None where none were driven.
        failed: share of all steps that could not be scored.
        milliseconds: a step, in batches, looking at pictures included.
        flags: what to look into before training.
    """

    bounds: tuple[float, float]
    unit: float
    edits: Mapping[str, Cell]
    acts: Mapping[str, Cell]
    killed_edits: Interval
    killed_acts: Interval
    ordering: Interval
    collapse: Interval
    flat: float
    ranking: Ranking
    failed: float
    milliseconds: float
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class DrivingAudit:
    """Everything the audit found.

    Attributes:
        rewards: by recipe; the configured one first where it could be made.
        configured: its recipe.
        scenes: in which acts were played.
        edited: good transitions that were edited.
        drives: whole drives.
        maps: that all was driven on.
        notes: what could not be looked at, and why.
    """

    rewards: Mapping[str, RewardAssay]
    configured: str
    scenes: int
    edited: int
    drives: Drives
    maps: Sequence[str]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file; NaN and infinity are None."""
        from apps.driving.auditing.assay import MARGIN

        drives = self.drives
        found: dict[str, Any] = {
            "configured": self.configured,
            "scenes": self.scenes,
            "edited": self.edited,
            "margin": MARGIN,
            "maps": list(self.maps),
            "rewards": {name: asdict(one) for name, one in self.rewards.items()},
            "drives": {
                "driver": list(drives.drivers),
                "route": list(drives.routes),
                "driving_score": list(drives.scores),
                "cause": list(drives.causes),
            },
            "notes": list(self.notes),
        }
        return {name: plain(value) for name, value in found.items()}


def plain(value: Any) -> Any:
    """NaN and infinity as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value
