"""Questions with an answer in words: each draws a study worth asking about, with the answer and the reason."""

from __future__ import annotations

from apps.medvqa.pocket import wording
from apps.medvqa.pocket.catalogue import MODALITIES, ORGANS
from apps.medvqa.pocket.draft import Draft, presence_reason, present, sided, sized
from apps.medvqa.pocket.sampling import SECOND_SHARE, Sampler
from apps.medvqa.pocket.study import Study


def _seen(sampler: Sampler, second: float) -> Study:
    if not sampler.held and sampler.coin(0.08):
        return sampler.study(sampler.rng.choice(list(ORGANS)))
    kind = sampler.kind()
    return sampler.study(kind.organ, sampler.finding(kind), second)


def abnormality(sampler: Sampler) -> Draft:
    """What is abnormal?"""
    study = _seen(sampler, SECOND_SHARE)
    seen = wording.sights(study)
    return Draft(study, wording.listed(study), wording.sentence(seen if not study.normal else f"{seen} is seen"))


def description(sampler: Sampler) -> Draft:
    """Describe it: everything that is true."""
    study = _seen(sampler, 0.0)
    if study.normal:
        return Draft(study, wording.NORMAL, "Nothing abnormal is seen.")
    finding = study.findings[0]
    across = f", {wording.size(finding.size_mm)} across" if finding.size_mm else ""
    return Draft(study, wording.describe(finding), wording.sentence(wording.sight(study, finding) + across))


def side(sampler: Sampler) -> Draft:
    """Which side?"""
    study, finding, kind, reason = sided(sampler)
    return Draft(study, finding.side, reason, kind)


def zone(sampler: Sampler) -> Draft:
    """Which zone? Every zone that training shows a kind in is equally often the answer."""
    kind = sampler.kind(lambda one: one.place == "zone" and ORGANS[one.organ].sides)
    finding = sampler.finding(kind, sampler.place(kind, sampler.held, zone_first=True))
    study = sampler.study(kind.organ, finding, SECOND_SHARE)
    return Draft(study, finding.zone, wording.sentence(wording.sight(study, finding)), kind)


def location(sampler: Sampler) -> Draft:
    """Where?"""
    kind = sampler.kind(lambda one: one.place == "zone")
    finding = sampler.finding(kind)
    study = sampler.study(kind.organ, finding, SECOND_SHARE)
    return Draft(study, finding.place, wording.sentence(wording.sight(study, finding)), kind)


def size(sampler: Sampler) -> Draft:
    """How large?"""
    study, finding, kind, reason = sized(sampler, sampler.coin(0.8))
    return Draft(study, wording.size(finding.size_mm), reason, kind)


def count(sampler: Sampler) -> Draft:
    """How many?"""
    kind = sampler.kind(lambda one: one.crowd)
    finding = sampler.finding(kind, size=kind.crowd[0][0], count=sampler.rng.choice((1, 2, 3)))
    study = sampler.study(kind.organ, finding, SECOND_SHARE)
    return Draft(study, wording.NUMBERS[finding.count], wording.sentence(wording.sight(study, finding)), kind)


def _shown(sampler: Sampler) -> tuple[Study, str]:
    organ = sampler.rng.choice(list(ORGANS))
    first = None if sampler.coin(0.4) else sampler.finding(sampler.kind(lambda kind: kind.organ == organ))
    study = sampler.study(organ, first)
    return study, wording.sentence(f"{ORGANS[organ].sign}: {wording.article(wording.examination(study))}")


def modality(sampler: Sampler) -> Draft:
    """What modality?"""
    study, reason = _shown(sampler)
    return Draft(study, MODALITIES[study.modality], reason)


def organ(sampler: Sampler) -> Draft:
    """What organ?"""
    study, reason = _shown(sampler)
    return Draft(study, study.organ, reason)


def any_kind(sampler: Sampler) -> Draft:
    """What about this kind? The answer says that there is none, or where it is."""
    kind, there = sampler.kind(), sampler.coin(0.7)
    study = present(sampler, there, kind)
    finding = study.find(kind.name)
    answer = f"no {kind.name}"
    if finding:
        answer = f"{finding.kind}{'s' if finding.count > 1 else ''}{wording.where(finding)}"
    return Draft(study, answer, presence_reason(study, kind), kind)
