"""Findings in words: the small, regular language of the pocket world's questions, answers and reasons."""

from __future__ import annotations

from apps.medvqa.pocket.catalogue import MODALITIES, ORGANS, Kind
from apps.medvqa.pocket.study import Finding, Study

NUMBERS = {1: "one", 2: "two", 3: "three"}
NORMAL = "no abnormality"
_PICTURE_SIDE = {"right": "left", "left": "right"}


def article(name: str) -> str:
    """The name with "a" or "an" before it."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def named(kind: Kind, count: int = 1) -> str:
    """As in "a nodule", "consolidation" and "nodules"."""
    if count > 1:
        return f"{kind.name}s"
    return kind.name if kind.mass_noun else article(kind.name)


def where(finding: Finding) -> str:
    """As in "... in the right lower zone" and "... on the right", or nothing."""
    if finding.zone:
        return f" in the {finding.place}"
    return f" on the {finding.side}" if finding.side else ""


def size(millimetres: int) -> str:
    """As answers say a size."""
    return f"{millimetres} mm"


def describe(finding: Finding) -> str:
    """All that is true of a finding: "two 15 mm nodules in the right lower zone"."""
    words = [NUMBERS[finding.count]] if finding.count > 1 else []
    words += [size(finding.size_mm)] if finding.size_mm else []
    words.append(finding.kind + ("s" if finding.count > 1 else ""))
    return " ".join(words) + where(finding)


def listed(study: Study) -> str:
    """What is abnormal, without where: "nodules and cardiomegaly"."""
    names = [finding.kind + ("s" if finding.count > 1 else "") for finding in study.findings]
    return " and ".join(names) or NORMAL


def sight(study: Study, finding: Finding, place: bool = True) -> str:
    """What the eye sees of a finding: "two round white spots in the right lower zone"."""
    sign = study.kind(finding).sign
    if finding.count > 1:
        for one, many in (("spot", "spots"), ("hole", "holes"), ("a shadow", "shadows")):
            sign = sign.replace(one, many)
        text = f"{NUMBERS[finding.count]} {sign}"
    else:
        text = sign if sign.startswith(("wide ventricles", "bones")) else article(sign)
    return text + (where(finding) if place else "")


def sights(study: Study, place: bool = True) -> str:
    """What the eye sees of all findings."""
    return " and ".join(sight(study, finding, place) for finding in study.findings) or "nothing abnormal"


def picture_side(study: Study, finding: Finding) -> str:
    """Why a finding is on the side it is on."""
    if ORGANS[study.organ].view:
        return f"the marker says {finding.side[0].upper()}: the {finding.side} {study.organ}"
    return f"on the {_PICTURE_SIDE[finding.side]} of the image: the patient's {finding.side}"


def examination(study: Study) -> str:
    """As in "chest x-ray"."""
    return f"{study.organ} {MODALITIES[study.modality]}"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."
