"""What was found of caption rewards, as Python and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.captioning.auditing.assay import SceneAgreement, Subjects
    from common.rewards.audit import AuditReport
    from common.rewards.audit.measures import Latency, MutationResult
    from common.stats import Interval


@dataclass(frozen=True)
class RewardAssay:
    """What was found of one reward.

    Attributes:
        general: controls, shuffle AUC, repeatability and so on.
        kills: by mutation and hack, how often the true caption scores higher.
        facts: the same over all mutations.
        hacks: over all hacks.
        slope: rank correlation of score and words among true captions of one picture.
        padding: mean change of the score by words of filler.
        batch: greatest change of a row's score with the rows beside it.
        agreement: with the exact scene; None outside the pocket world.
        cost: seconds a caption.
        flags: what to look into before training.
    """

    general: AuditReport
    kills: Mapping[str, MutationResult]
    facts: Interval
    hacks: Interval
    slope: Interval
    padding: Mapping[int, Interval]
    batch: float
    agreement: SceneAgreement | None
    cost: Latency
    flags: Sequence[str]


@dataclass(frozen=True)
class CaptionAudit:
    """Everything the audit found.

    Attributes:
        rewards: by name.
        configured: the name of the reward that the config pays for.
        subjects: the pictures it was found with.
        notes: what could not be looked at, and why.
    """

    rewards: Mapping[str, RewardAssay]
    configured: str
    subjects: Subjects
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file; NaN and infinity are None."""
        return {
            "configured": self.configured,
            "pictures": len(self.subjects),
            "rewards": {name: _json(one) for name, one in self.rewards.items()},
            "notes": list(self.notes),
        }


def _json(one: RewardAssay) -> dict[str, Any]:
    seen = one.agreement
    kills = {
        name: {
            "killed": kill.killed.to_dict(),
            "drop": kill.drop.to_dict(),
            "failed": kill.failed,
            "survivors": [text for _, text in kill.survivors],
        }
        for name, kill in one.kills.items()
    }
    return {
        "killed_facts": one.facts.to_dict(),
        "beaten_hacks": one.hacks.to_dict(),
        "mutations": kills,
        "length_slope": one.slope.to_dict(),
        "padding": {str(words): change.to_dict() for words, change in one.padding.items()},
        "batch_change": one.batch if math.isfinite(one.batch) else None,
        "agreement": seen and {"pairwise": seen.pairwise.to_dict(), "auc": seen.auc.to_dict()},
        "seconds_a_caption": {"mean": one.cost.mean, "p50": one.cost.p50, "p95": one.cost.p95},
        "flags": list(one.flags),
        "general": one.general.to_json(),
    }
