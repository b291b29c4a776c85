"""The exact judge: whether an answer is right, from the study's truth alone.

It knows neither the reference answer nor the answer scorer of `apps.medvqa.answers`, so both can be checked by it. An
answer is right if it says all that the question asks for and nothing that is not so. Words that the pocket world's
language does not have make it wrong, since nobody can vouch for them.
"""

from __future__ import annotations

from apps.medvqa.data import Example
from apps.medvqa.pocket.claims import Claim, Reading, read
from apps.medvqa.pocket.study import Finding, Study, from_json

_SHADOWS = ("kidney stone", "gallstone")


def is_right(example: Example, answer: str) -> bool:
    """Whether `answer`, without any tags or reasoning, is exactly right for a pocket example.

    Raises:
        KeyError: the example is not of the pocket world: its tags lack the truth.
    """
    study, ask, subject = from_json(example.tags["phantom"]), example.tags["asks"], example.tags["subject"]
    reading = read(answer, study.organ)
    if reading.unknown or len(set(reading.verdicts)) > 1:
        return False
    judge = _Judge(study, subject)
    if not all(judge.holds(claim) for claim in reading.claims):
        return False
    if example.kind == "closed" and not ask.startswith(("which", "brightness")):
        verdict = reading.verdicts[0] if reading.verdicts else _implied(reading, ask, subject)
        return verdict == _verdict(study, ask, subject, example.tags.get("slot_place", ""))
    if reading.verdicts:
        # "No" is an answer only to what asks for any finding of a kind.
        return ask == "any kind" and reading.verdicts[0] == "no" and study.find(subject) is None
    return judge.complete(ask)


class _Judge:
    """Holds an answer's claims against a study, and notes what they told of each finding."""

    def __init__(self, study: Study, subject: str) -> None:
        self.study = study
        self.subject = study.find(subject)
        self.asked = subject
        self.told: dict[str, set[str]] = {}
        self.general: set[str] = set()
        self._last: Finding | None = None

    def holds(self, claim: Claim) -> bool:
        """Whether a claim is true."""
        if any(slot == "kind" for slot, _ in claim.facts):
            return self._of_kind(claim)
        own = [fact for fact in claim.facts if fact[0] in ("side", "zone", "size", "count", "many")]
        rest = [fact for fact in claim.facts if fact not in own]
        if claim.negated and len(claim.facts) > 1:
            return False
        if not all(self._general(slot, value) != claim.negated for slot, value in rest):
            return False
        # "Not normal" and "no abnormality" tell what they deny the opposite of; "not CT" tells no modality.
        self.general |= {slot for slot, _ in rest if not claim.negated or slot == "normal"}
        if not own:
            return True
        finding = self._last or self.subject or (self.study.findings[0] if len(self.study.findings) == 1 else None)
        return finding is not None and self._fits(finding, claim, own)

    def complete(self, ask: str) -> bool:
        """Whether all has been told that an open question or a choice asks for."""
        study, needed = self.study, {"which side": {"side"}, "which size": {"size"}}.get(ask, {ask})
        if ask in ("modality", "organ"):
            return ask in self.general
        if ask == "brightness":
            return "tone" in self.general
        if ask in ("abnormality", "description", "which kind") and study.normal:
            return "normal" in self.general
        if ask == "any kind" and self.subject is None:
            return self.asked in self.told and "absent" in self.told[self.asked]
        wanted = [self.subject] if self.subject else list(study.findings)
        for finding in wanted:
            assert finding is not None
            place = {slot for slot in ("side", "zone") if getattr(finding, slot)}
            if ask == "location":
                needed = place
            elif ask in ("abnormality", "which kind"):
                needed = {"kind"}
            elif ask == "any kind":
                needed = {"kind"} | place
            elif ask == "description":
                needed = {"kind"} | place | ({"size"} if finding.size_mm else set())
                needed |= {"count"} if finding.count > 1 else set()
            if not needed <= self.told.get(finding.kind, set()):
                return False
        return True

    def _of_kind(self, claim: Claim) -> bool:
        kinds = [str(value) for slot, value in claim.facts if slot == "kind"]
        if len(kinds) > 1:
            return False
        finding = self.study.find(kinds[0])
        facts = [fact for fact in claim.facts if fact[0] != "kind"]
        own = [fact for fact in facts if fact[0] in ("side", "zone", "size", "count", "many")]
        if claim.negated:
            # "No nodule in the left lower zone" holds where there is none, or only elsewhere.
            limits = [fact for fact in own if fact[0] != "many"]
            self.told.setdefault(kinds[0], set()).add("absent")
            return finding is None or any(not _is(finding, slot, value) for slot, value in limits)
        if finding is None or not all(self._general(slot, value) for slot, value in facts if (slot, value) not in own):
            return False
        self._last = finding
        self.told.setdefault(finding.kind, set()).add("kind")
        return self._fits(finding, claim, own)

    def _fits(self, finding: Finding, claim: Claim, facts: list[tuple[str, object]]) -> bool:
        if claim.negated:
            return all(not _is(finding, slot, value) for slot, value in facts)
        self.told.setdefault(finding.kind, set()).update(slot for slot, _ in facts)
        return all(_is(finding, slot, value) for slot, value in facts)

    def _general(self, slot: str, value: object) -> bool:
        study = self.study
        if slot == "tone":
            bright = study.kind(study.findings[0]).bright if study.findings else None
            return bright is not None and value == ("bright" if bright else "dark")
        if slot == "shift":
            return _shifted(study)
        if slot == "shadow":
            return _shadowed(study)
        return {"modality": study.modality, "organ": study.organ, "normal": study.normal}[slot] == value


def _is(finding: Finding, slot: str, value: object) -> bool:
    if slot == "many":
        return finding.count > 1
    if slot == "size":
        return isinstance(value, float) and abs(value - finding.size_mm) < 1e-6
    return bool(getattr(finding, slot) == value)


def _shifted(study: Study) -> bool:
    return study.organ == "head" and study.find("mass") is not None


def _shadowed(study: Study) -> bool:
    return any(study.find(kind) for kind in _SHADOWS)


def _verdict(study: Study, ask: str, subject: str, place: str) -> str:
    """The truth of a yes/no question."""
    finding = study.find(subject)
    truths = {
        "presence": finding is not None,
        "absence": finding is None,
        "presence at": finding is not None and finding.place == place,
        "normality": study.normal,
        "any": not study.normal,
        "shift": _shifted(study),
        "shadow": _shadowed(study),
    }
    return "yes" if truths[ask] else "no"


def _implied(reading: Reading, ask: str, subject: str) -> str:
    """The verdict of an answer that says neither yes nor no, from what it claims; "" where nothing follows."""
    for claim in reading.claims:
        for slot, value in claim.facts:
            if ask in ("normality", "any") and slot == "normal":
                fine = (value is True) != claim.negated
                return "yes" if fine == (ask == "normality") else "no"
            if slot == ask or (slot == "kind" and value == subject and ask in ("presence", "absence", "presence at")):
                return "yes" if claim.negated == (ask == "absence") else "no"
    return ""
