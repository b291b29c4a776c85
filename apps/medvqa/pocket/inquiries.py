"""The questions that a phantom answers by itself: every wording of the pocket world, with its exact truth."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from apps.medvqa.data import Example
from apps.medvqa.pocket import Finding, Study, wording
from apps.medvqa.pocket.catalogue import LABEL, MODALITIES, ORGANS, Kind, kinds_of, places_of
from apps.medvqa.pocket.phrasings import PHRASINGS
from apps.medvqa.pocket.study import to_json
from apps.medvqa.pocket.world import words_of

#: What is asked about which kind of finding, with the words of its own and the answer.
Asked = tuple[str, "Kind | None", Mapping[str, str], str]

_YES = {True: "yes", False: "no"}


def inquiries(study: Study) -> list[Example]:
    """Every question, in every wording, that has one right answer for this phantom.

    Questions that presume what the phantom does not show ("Which side is the nodule on?" without a nodule) are left
    out. `pocket.is_right` judges any answer to those that are here.
    """
    found = []
    for ask, kind, slots, answer in (*_of_study(study), *_of_kinds(study)):
        phrasing = PHRASINGS[ask]
        words = words_of(study, kind, slots)
        for text in (*phrasing.known, *phrasing.held):
            tags = {
                "label": LABEL,
                "asks": ask,
                "subject": kind.name if kind else "",
                "slot_place": slots.get("place", ""),
                "phantom": to_json(study),
            }
            found.append(Example("", text.format_map(words), answer, kind=phrasing.kind, tags=tags))
    return found


def find_inquiry(question: str, study: Study) -> Example | None:
    """The question among `inquiries`, whatever its case, spaces and punctuation; None where it is not one of them."""
    wanted = _plain(question)
    return next((example for example in inquiries(study) if _plain(example.question) == wanted), None)


def to_try(study: Study) -> list[str]:
    """A few questions about a phantom, each of another kind: what, where, which side, how large, is there."""
    shown = {finding.kind for finding in study.findings}
    absent = next((kind.name for kind in kinds_of(study.organ) if kind.name not in shown), "")
    wanted = ("abnormality", "location", "side", "size", "count", "description", "presence", "modality")
    picked: dict[tuple[str, bool], str] = {}
    for example in inquiries(study):
        ask, subject = example.tags["asks"], example.tags["subject"]
        if ask in wanted and (not subject or subject in shown or (ask, subject) == ("presence", absent)):
            picked.setdefault((ask, subject in shown), example.question)
    order = sorted(picked, key=lambda key: (wanted.index(key[0]), not key[1]))
    # Where it is tells the side too.
    return [picked[key] for key in order if key[0] != "side" or ("location", True) not in picked]


def _of_study(study: Study) -> Iterator[Asked]:
    """Questions about no certain kind of finding."""
    yield "normality", None, {}, _YES[study.normal]
    yield "any", None, {}, _YES[not study.normal]
    if study.organ in ("kidney", "gallbladder"):
        yield "shadow", None, {}, _YES[any(study.find(kind) for kind in ("kidney stone", "gallstone"))]
    if study.organ == "head":
        yield "shift", None, {}, _YES[study.find("mass") is not None]
    yield "abnormality", None, {}, wording.listed(study)
    described = " and ".join(wording.describe(finding) for finding in study.findings)
    yield "description", None, {}, described or wording.NORMAL
    yield "modality", None, {}, MODALITIES[study.modality]
    yield "organ", None, {}, study.organ
    if len(study.findings) != 1:
        return
    (finding,) = study.findings
    kind = study.kind(finding)
    if kind.bright is not None and finding.count == 1:
        for x, y in (("bright", "dark"), ("dark", "bright")):
            yield "brightness", None, {"x": x, "y": y}, "bright" if kind.bright else "dark"
    for other in kinds_of(study.organ):
        if other != kind:
            for pair in ((kind, other), (other, kind)):
                yield "which kind", None, dict(zip("xy", map(wording.named, pair), strict=True)), kind.name


def _of_kinds(study: Study) -> Iterator[Asked]:
    """Questions about each kind of finding that the organ can have."""
    for kind in kinds_of(study.organ):
        finding = study.find(kind.name)
        yield "presence", kind, {}, _YES[finding is not None]
        yield "absence", kind, {}, _YES[finding is None]
        if kind.place == "zone":
            for side, zone in places_of(kind):
                if study.side in ("", side):
                    place = f"{side} {zone}".strip()
                    yield "presence at", kind, {"place": place}, _YES[finding is not None and finding.place == place]
        if finding is None:
            yield "any kind", kind, {}, f"no {kind.name}"
        else:
            many = "s" if finding.count > 1 else ""
            yield "any kind", kind, {}, f"{kind.name}{many}{wording.where(finding)}"
            yield from _of_finding(finding, kind)


def _of_finding(finding: Finding, kind: Kind) -> Iterator[Asked]:
    """Questions that presume the finding."""
    if finding.side:
        yield "side", kind, {}, finding.side
        for x, y in (("left", "right"), ("right", "left")):
            yield "which side", kind, {"x": x, "y": y}, finding.side
    if finding.zone:
        yield "location", kind, {}, finding.place
        if ORGANS[kind.organ].sides:
            yield "zone", kind, {}, finding.zone
    if finding.size_mm:
        size = wording.size(finding.size_mm)
        yield "size", kind, {}, size
        for other in kind.sizes if finding.count == 1 else ():
            if other != finding.size_mm:
                for pair in ((size, wording.size(other)), (wording.size(other), size)):
                    yield "which size", kind, dict(zip("xy", pair, strict=True)), size
    if kind.crowd:
        yield "count", kind, {}, wording.NUMBERS[finding.count]


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))
