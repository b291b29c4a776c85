"""A question before it is worded, and what several kinds of question begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.medvqa.pocket import wording
from apps.medvqa.pocket.catalogue import ORGANS, Kind, is_held
from apps.medvqa.pocket.sampling import SECOND_SHARE, Sampler
from apps.medvqa.pocket.study import Finding, Study


@dataclass(frozen=True)
class Draft:
    """A question before it is worded.

    Attributes:
        study: what is asked about.
        answer: the reference.
        reasoning: from what is seen to the answer.
        kind: what is asked about, where it is a finding.
        slots: what the wording needs (`place`, `x`, `y`).
    """

    study: Study
    answer: str
    reasoning: str
    kind: Kind | None = None
    slots: Mapping[str, str] = field(default_factory=dict)

    @property
    def finding(self) -> Finding | None:
        """What is asked about, where the picture shows it; else what makes it held out, or its first finding."""
        study = self.study
        held = (one for one in study.findings if is_held(study.organ, one.kind, one.side, one.zone))
        asked = study.find(self.kind.name) if self.kind else None
        return asked or next(held, None) or next(iter(study.findings), None)


def present(sampler: Sampler, there: bool, kind: Kind) -> Study:
    """A study with a finding of a kind, or one of the same organ without."""
    if there:
        return sampler.study(kind.organ, sampler.finding(kind), SECOND_SHARE)
    if not sampler.held and sampler.coin(0.4):
        return sampler.study(kind.organ)
    other = sampler.kind(lambda one: one.organ == kind.organ and one.name != kind.name)
    return sampler.study(kind.organ, sampler.finding(other), SECOND_SHARE, without=kind.name)


def presence_reason(study: Study, kind: Kind) -> str:
    """Why there is a finding of a kind, or none."""
    finding = study.find(kind.name)
    if finding:
        return wording.sentence(f"{wording.sight(study, finding)}: {wording.named(kind, finding.count)}")
    if study.normal:
        return f"Nothing abnormal is seen: no {kind.name}."
    return wording.sentence(f"{wording.sights(study, len(study.findings) == 1)}: no {kind.name}")


def sided(sampler: Sampler) -> tuple[Study, Finding, Kind, str]:
    """A study with a finding that has a side, the finding, its kind, and why it is on that side."""
    kind = sampler.kind(lambda one: one.place and ORGANS[one.organ].sides)
    finding = sampler.finding(kind)
    study = sampler.study(kind.organ, finding, SECOND_SHARE)
    seen = wording.sight(study, finding, place=False)
    link = ". " if ORGANS[kind.organ].view else " "
    told = wording.picture_side(study, finding)
    reason = wording.sentence(seen + link + (told[0].upper() + told[1:] if link == ". " else told))
    return study, finding, kind, reason


def sized(sampler: Sampler, alone: bool) -> tuple[Study, Finding, Kind, str]:
    """A study with a finding that has a size, just one of it where `alone`; the finding, its kind, and the reason."""
    kind = sampler.kind(lambda one: one.sizes)
    finding = sampler.finding(kind, size=sampler.rng.choice(kind.sizes), count=1 if alone else 0)
    study = sampler.study(kind.organ, finding, SECOND_SHARE)
    reason = wording.sentence(f"{wording.sight(study, finding)}, {wording.size(finding.size_mm)} across")
    return study, finding, kind, reason
