"""What was found of a SQL reward, as Python and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.text2sql.auditing.assay import LanguageSpread, OperatorStrength
    from common.rewards.audit import AuditReport


@dataclass(frozen=True)
class SqlAudit:
    """Everything the audit found.

    Attributes:
        general: controls, mutation kill rate, length, latency of the reward as a whole.
        strengths: kill rates by operator, of execution and of each part on its own.
        spreads: cross-language spread of the reward and of the contrastive part.
        flags: what to look into before training.
    """

    general: AuditReport
    strengths: Sequence[OperatorStrength]
    spreads: Mapping[str, LanguageSpread]
    flags: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {
            "general": self.general.to_json(),
            "operators": [_operator_json(one) for one in self.strengths],
            "language_spread": {name: _spread_json(one) for name, one in self.spreads.items()},
            "flags": list(self.flags),
        }


def _operator_json(one: OperatorStrength) -> dict[str, Any]:
    return {
        "operator": one.operator,
        "tried": one.tried,
        "equivalent": one.equivalent,
        "unjudged": one.unjudged,
        "execution": one.execution.to_dict(),
        "parts": {name: value.to_dict() for name, value in one.parts.items()},
    }


def _spread_json(one: LanguageSpread) -> dict[str, Any]:
    return {
        "mean": one.mean.to_dict(),
        "largest": one.largest,
        "queries": one.queries,
        "by_language": {language: value.to_dict() for language, value in one.by_language.items()},
    }
