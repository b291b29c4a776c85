"""What an audit of answer rewards found, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.medvqa.auditing.assay import Cell, TruthAgreement
    from apps.medvqa.auditing.subjects import Subjects
    from common.rewards.audit import AuditReport
    from common.rewards.audit.measures import Latency, Spread
    from common.stats import Interval


@dataclass(frozen=True)
class RewardAssay:
    """What was found of one reward.

    Attributes:
        general: mean, cost, repeatability and so on.
        facts: by operator of `mutations.FACTS`: how often the mutant scores `assay.MARGIN` below the right answer.
        hacks: the same by name in `hacks.HACKS`.
        rewordings: by name in `rewordings.REWORDINGS`, how often the score stays within the margin.
        killed: all mutants together.
        beaten: all hacks together.
        kept: all rewordings together.
        spread: of the scores of a right answer and its mutants; `collapse` is the share of rows where all are alike.
        separation: chance that a right answer (in any wording) scores above a wrong one of any row.
        shuffle: chance that a right answer scores above another picture's.
        slope: rank correlation of score and words among right wordings of one answer.
        agreement: with the exact truth; None where there is none.
        cost: seconds a row.
        flags: what to look into before training.
    """

    general: AuditReport
    facts: Mapping[str, Cell]
    hacks: Mapping[str, Cell]
    rewordings: Mapping[str, Cell]
    killed: Interval
    beaten: Interval
    kept: Interval
    spread: Spread
    separation: Interval
    shuffle: float
    slope: Interval
    agreement: TruthAgreement | None
    cost: Latency
    flags: Sequence[str]


@dataclass(frozen=True)
class AnswerAudit:
    """Everything the audit found.

    Attributes:
        rewards: by recipe; the configured one first.
        configured: its recipe.
        subjects: the questions it was found with.
        notes: what could not be looked at, and why.
    """

    rewards: Mapping[str, RewardAssay]
    configured: str
    subjects: Subjects
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file; NaN and infinity are None."""
        from apps.medvqa.auditing.assay import MARGIN

        return {
            "configured": self.configured,
            "questions": len(self.subjects),
            "margin": MARGIN,
            "rewards": {name: _plain(_json(one, self.subjects)) for name, one in self.rewards.items()},
            "notes": list(self.notes),
        }


def _json(one: RewardAssay, those: Subjects) -> dict[str, Any]:
    agreed = one.agreement
    return {
        "killed": one.killed.to_dict(),
        "beaten": one.beaten.to_dict(),
        "kept": one.kept.to_dict(),
        "facts": {name: _cell_json(cell, those) for name, cell in one.facts.items()},
        "hacks": {name: _cell_json(cell, those) for name, cell in one.hacks.items()},
        "rewordings": {name: _cell_json(cell, those) for name, cell in one.rewordings.items()},
        "collapse": one.spread.collapse.to_dict(),
        "spread": asdict(one.spread),
        "separation": one.separation.to_dict(),
        "shuffle_auc": one.shuffle,
        "length_slope": one.slope.to_dict(),
        "truth": agreed
        and {"pairwise": agreed.pairwise.to_dict(), "auc": agreed.auc.to_dict(), "right": agreed.right},
        "milliseconds_a_row": {name: value * 1e3 for name, value in asdict(one.cost).items() if name != "rows"},
        "flags": list(one.flags),
        "general": {name: value for name, value in one.general.to_json().items() if name != "scores"},
    }


def _cell_json(cell: Cell, those: Subjects) -> dict[str, Any]:
    return {
        "passed": cell.passed.to_dict(),
        "lower": cell.lower.to_dict(),
        "drop": cell.drop.to_dict(),
        "failed": cell.failed,
        "missed": [
            {"id": those.examples[row].id, "right": those.told[row].answer, "answer": text, "drop": drop}
            for row, text, drop in cell.missed
        ],
    }


def _plain(value: Any) -> Any:
    """NaN and infinity as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
