"""Questions with a yes or no, or a choice: each draws a study worth asking about, with the answer and the reason."""

from __future__ import annotations

from apps.medvqa.pocket import wording
from apps.medvqa.pocket.catalogue import ORGANS, Kind, is_held, kinds_of, places_of
from apps.medvqa.pocket.draft import Draft, presence_reason, present, sided, sized
from apps.medvqa.pocket.sampling import SECOND_SHARE, Sampler
from apps.medvqa.pocket.study import Finding, Study


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def presence(sampler: Sampler) -> Draft:
    """Is there a finding of a kind?"""
    kind, there = sampler.kind(), sampler.coin()
    study = present(sampler, there, kind)
    return Draft(study, _yes(there), presence_reason(study, kind), kind)


def absence(sampler: Sampler) -> Draft:
    """Is there none? Here "yes" means that it is not there."""
    draft = presence(sampler)
    return Draft(draft.study, _yes(draft.answer == "no"), draft.reasoning, draft.kind)


def presence_at(sampler: Sampler) -> Draft:
    """Is there one at this place? Most of the time "no" means: another place, or another kind there."""
    kind, there = sampler.kind(lambda one: one.place == "zone"), sampler.coin()
    first = sampler.finding(kind)
    study, place = sampler.study(kind.organ, first, SECOND_SHARE), first.place
    if not there:
        study, kind, place = (_not_at_held if sampler.held else _not_at)(sampler, kind, first)
    finding = study.find(kind.name)
    if there:
        reason = f"{wording.sight(study, first)}: {wording.named(kind, first.count)}"
    elif finding:
        reason = f"{wording.sight(study, finding)}, not in the {place}"
    else:
        reason = f"{wording.sights(study, len(study.findings) == 1)}: no {kind.name}"
    return Draft(study, _yes(there), wording.sentence(reason), kind, {"place": place})


def _not_at(sampler: Sampler, kind: Kind, first: Finding) -> tuple[Study, Kind, str]:
    """A study without the kind at some place, and that place."""
    # Never a held-out place, or "no" would teach that there is nothing.
    view = ORGANS[kind.organ].view
    places = [place for place in _places(kind, held=False) if place[0] == first.side or not view]
    if sampler.coin(0.6):
        asked = sampler.rng.choice([place for place in places if place != (first.side, first.zone)])
        return sampler.study(kind.organ, first, SECOND_SHARE), kind, _in_words(asked)
    side, zone = asked = sampler.rng.choice(places)
    others = [one for one in kinds_of(kind.organ) if one != kind and asked in _places(one, held=False) and zone]
    if not others or sampler.coin(0.3):
        return sampler.study(kind.organ, side=side if view else ""), kind, _in_words(asked)
    other = sampler.finding(sampler.rng.choice(others), asked)
    return sampler.study(kind.organ, other), kind, _in_words(asked)


def _not_at_held(sampler: Sampler, kind: Kind, first: Finding) -> tuple[Study, Kind, str]:
    """The same for held-out places: what is asked about is one too, so that naming one does not give "yes" away."""
    view, sides = ORGANS[kind.organ].view, ORGANS[kind.organ].sides
    if sides and not view and sampler.coin():
        (asked,) = (place for place in _places(kind, held=True) if place[0] != first.side)
        return sampler.study(kind.organ, first, SECOND_SHARE), kind, _in_words(asked)
    other = sampler.rng.choice([one for one in kinds_of(kind.organ) if one.place == "zone" and one != kind])
    asked = sampler.rng.choice([place for place in _places(other, held=True) if place[0] == first.side or not view])
    return sampler.study(kind.organ, first, SECOND_SHARE, without=other.name), other, _in_words(asked)


def _places(kind: Kind, held: bool) -> list[tuple[str, str]]:
    return [place for place in places_of(kind) if is_held(kind.organ, kind.name, *place) == held]


def _in_words(place: tuple[str, str]) -> str:
    return " ".join(place).strip()


def normality(sampler: Sampler) -> Draft:
    """Is it normal?"""
    organ, fine = sampler.rng.choice(list(ORGANS)), sampler.coin()
    first = None if fine else sampler.finding(sampler.kind(lambda kind: kind.organ == organ))
    study = sampler.study(organ, first, SECOND_SHARE)
    reason = (
        "Nothing abnormal is seen."
        if fine
        else wording.sentence(f"{wording.sight(study, study.findings[0])}: abnormal")
    )
    return Draft(study, _yes(fine), reason)


def any_abnormality(sampler: Sampler) -> Draft:
    """Is anything abnormal?"""
    draft = normality(sampler)
    return Draft(draft.study, _yes(draft.answer == "no"), draft.reasoning)


def which_side(sampler: Sampler) -> Draft:
    """Left or right?"""
    study, finding, kind, reason = sided(sampler)
    x, y = ("left", "right") if sampler.coin() else ("right", "left")
    return Draft(study, finding.side, reason, kind, {"x": x, "y": y})


def which_kind(sampler: Sampler) -> Draft:
    """This finding or that one?"""
    kind = sampler.kind()
    other = sampler.rng.choice([one for one in kinds_of(kind.organ) if one != kind])
    finding = sampler.finding(kind, count=1)
    study = sampler.study(kind.organ, finding)
    pair = (kind, other) if sampler.coin() else (other, kind)
    reason = wording.sentence(f"{wording.sight(study, finding)}: {wording.named(kind)}")
    return Draft(study, kind.name, reason, None, {"x": wording.named(pair[0]), "y": wording.named(pair[1])})


def which_size(sampler: Sampler) -> Draft:
    """This size or that one?"""
    study, finding, kind, reason = sized(sampler, True)
    other = sampler.rng.choice([one for one in kind.sizes if one != finding.size_mm])
    pair = sampler.rng.sample([finding.size_mm, other], 2)
    slots = {"x": wording.size(pair[0]), "y": wording.size(pair[1])}
    return Draft(study, wording.size(finding.size_mm), reason, kind, slots)


def _attribute(sampler: Sampler, organs: tuple[str, ...], true: tuple[str, ...], what: str) -> Draft:
    there = sampler.coin()
    kind = sampler.kind(lambda one: one.organ in organs and (one.name in true) == there)
    study = sampler.study(kind.organ, sampler.finding(kind))
    seen = wording.sight(study, study.findings[0])
    reason = wording.sentence(f"{seen}: {wording.listed(study)}, {what if there else f'no {what}'}")
    return Draft(study, _yes(there), reason)


def shadow(sampler: Sampler) -> Draft:
    """Is there a shadow behind it? Stones cast one."""
    return _attribute(sampler, ("kidney", "gallbladder"), ("kidney stone", "gallstone"), "acoustic shadow")


def shift(sampler: Sampler) -> Draft:
    """Is the midline pushed aside? A mass does that here, nothing else."""
    return _attribute(sampler, ("head",), ("mass",), "midline shift")


def brightness(sampler: Sampler) -> Draft:
    """Is the lesion bright or dark?"""
    bright = sampler.coin()
    kind = sampler.kind(lambda one: one.bright is bright)
    study = sampler.study(kind.organ, sampler.finding(kind, count=1))
    x, y = ("bright", "dark") if sampler.coin() else ("dark", "bright")
    reason = wording.sentence(wording.sight(study, study.findings[0]))
    return Draft(study, "bright" if bright else "dark", reason, None, {"x": x, "y": y})
