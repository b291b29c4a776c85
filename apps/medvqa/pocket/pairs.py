"""Pictures in pairs: the same patient and film with one thing changed, to see whether a model sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from apps.medvqa.pocket.study import Study
from common.errors import UsageError

_OTHER = {"right": "left", "left": "right", "": ""}


def counterpart(study: Study, change: Literal["remove", "flip"] = "remove") -> Study:
    """The same anatomy, contrast and noise with the findings removed, or moved to the other side.

    A kidney picture shows one side, so that it becomes one of the other kidney.

    Raises:
        UsageError: there is nothing to remove, or no side to change.
    """
    if study.normal:
        raise UsageError("a normal study has no counterpart: nothing to remove or to move")
    if change == "remove":
        return replace(study, findings=())
    findings = tuple(replace(finding, side=_OTHER[finding.side]) for finding in study.findings)
    if findings == study.findings:
        raise UsageError(f"{' and '.join(one.kind for one in findings)}: no side to change")
    return replace(study, findings=findings, side=_OTHER[study.side])
