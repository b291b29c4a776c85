"""Reads an answer in the pocket world's language, and nearby wordings of it, as a list of claims."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from apps.medvqa.pocket.catalogue import KINDS, ORGANS, kinds_of

#: Longer answers are not read: every right one is shorter.
LONGEST = 60

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[a-z]+|[^\sa-z\d]")
_UNITS = {"mm": 1.0, "millimetre": 1.0, "millimeter": 1.0, "cm": 10.0, "centimetre": 10.0, "centimeter": 10.0}
_UNITS |= {f"{name}s": value for name, value in _UNITS.items() if len(name) > 2}
_NUMBERS = {"one": 1, "single": 1, "two": 2, "three": 3, "1": 1, "2": 2, "3": 3}
_VARIANTS = {
    "haemorrhage": ("hemorrhage", "bleed", "bleeding"),
    "infarct": ("infarction",),
    "subdural haematoma": ("subdural hematoma", "subdural haemorrhage", "subdural hemorrhage", "subdural"),
    "kidney stone": ("renal stone", "renal calculus", "stone", "calculus"),
    "gallstone": ("gall stone", "stone"),
    "cardiomegaly": ("enlarged heart", "large heart"),
    "pleural effusion": ("effusion",),
    "wall thickening": ("thickened wall", "thick wall", "thickening of the wall"),
    "lytic lesion": ("osteolytic lesion", "lysis"),
    "sclerotic lesion": ("sclerosis",),
}
_MODALITIES = {
    "xray": ("xray", "x ray", "radiograph", "plain film", "film"),
    "ct": ("ct", "ct scan", "computed tomography"),
    "ultrasound": ("ultrasound", "us", "sonogram", "sonography", "ultrasonography"),
}
_ORGAN_WORDS = {
    "chest": ("chest", "thorax"),
    "head": ("head", "brain"),
    "kidney": ("kidney", "renal"),
    "gallbladder": ("gallbladder", "gall bladder"),
    "leg": ("leg", "legs", "lower leg", "lower legs"),
}
#: Words for parts that belong to one organ and claim nothing more.
_PARTS = {"chest": "lung lungs", "head": "cerebral", "kidney": "", "gallbladder": "", "leg": "tibia tibial bone"}
_FILLER = """a an the is are was it its there this that these here in on of at to with seen shown visible present
    side image picture study film scan patient patients s i see about approximately measuring measures measure across
    large diameter size located lies which finding findings lesion lesions evidence any shows show being each"""
_BREAKS = {",": ",", ";": ".", ".": ".", ":": ".", "!": ".", "but": ".", "and": "and", "or": "or", "nor": "or"}
_NEGATIONS = ("no", "not", "without", "absent", "none", "nothing", "never")
#: What may follow a "no" that answers the question, where one before a noun says that there is none of it.
_AFTER_VERDICT = {"", ",", ".", ";", ":", "!", "and", "or", "but", "it", "there", "this", "that", "yes"}


@dataclass
class Claim:
    """What one stretch of an answer says.

    Attributes:
        negated: whether it says that this is not so.
        facts: slot (`kind`, `side`, `zone`, `size`, `count`, `many`, `modality`, `organ`, `normal`, `tone`, `shift`,
            `shadow`) and value; a slot named twice stands twice.
    """

    negated: bool = False
    facts: list[tuple[str, object]] = field(default_factory=list)

    def get(self, slot: str) -> object | None:
        """The first value of a slot."""
        return next((value for name, value in self.facts if name == slot), None)


@dataclass
class Reading:
    """An answer, read.

    Attributes:
        verdicts: "yes" and "no" as often as they answer the question.
        claims: what else it says.
        unknown: words that this language does not have; an answer with any cannot be judged right.
    """

    verdicts: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def read(answer: str, organ: str) -> Reading:
    """Read an answer about a picture of an organ."""
    tokens = _tokens(answer)
    reading = Reading()
    if len(tokens) > LONGEST:
        reading.unknown.append("too long")
        return reading
    claim, carried = Claim(), False
    for kind, value in _slots(tokens, organ):
        if kind == "break":
            # "no nodule or cavity" denies both, "no nodule, wide heart" and "no nodule and a cavity" only the first.
            if claim.facts:
                carried = claim.negated and value == "or"
                reading.claims.append(claim)
                claim = Claim(negated=carried)
        elif kind == "not":
            claim.negated = not claim.negated
        elif kind == "verdict":
            reading.verdicts.append(str(value))
        elif kind == "unknown":
            reading.unknown.append(str(value))
        else:
            claim.facts.append((kind, value))
    if claim.facts:
        reading.claims.append(claim)
    elif claim.negated and not carried:
        reading.verdicts.append("no")
    return reading


def _tokens(answer: str) -> list[str]:
    text = unicodedata.normalize("NFKC", answer).casefold()
    text = re.sub(r"\bx-ray", "xray", text)
    text = re.sub(r"(?<=[a-z])['’](?=s\b)|(?<=[a-z\d])-(?=[a-z])", " ", text)
    return _TOKEN.findall(text)


def _slots(tokens: list[str], organ: str) -> Iterator[tuple[str, object]]:
    lexicon, longest = _lexicon(organ)
    at = 0
    while at < len(tokens):
        word, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        if word == "yes" or (word == "no" and following in _AFTER_VERDICT):
            yield "verdict", word
        elif word in _BREAKS:
            yield "break", _BREAKS[word]
        elif word[0].isdigit() and following in _UNITS:
            yield "size", float(word) * _UNITS[following]
            at += 1
        elif word in _NEGATIONS:
            yield "not", True
        elif word in _NUMBERS:
            yield "count", _NUMBERS[word]
        else:
            for width in range(longest, 0, -1):
                phrase = " ".join(tokens[at : at + width])
                if phrase in lexicon:
                    yield from lexicon[phrase]
                    at += width - 1
                    break
            else:
                yield "unknown", word
        at += 1


@lru_cache(maxsize=len(ORGANS))
def _lexicon(organ: str) -> tuple[dict[str, list[tuple[str, object]]], int]:
    """Phrase: what it claims; and how many words the longest has."""
    known: dict[str, list[tuple[str, object]]] = {word: [] for word in f"{_FILLER} {_PARTS[organ]}".split()}
    for side in ("right", "left"):
        known[side] = [("side", side)]
    for modality, phrases in _MODALITIES.items():
        known |= {phrase: [("modality", modality)] for phrase in phrases}
    for name, phrases in _ORGAN_WORDS.items():
        known |= {phrase: [("organ", name)] for phrase in phrases}
    known |= {"cxr": [("modality", "xray"), ("organ", "chest")], "film": []}
    known |= {word: [("normal", True)] for word in ("normal", "unremarkable")}
    known |= {word: [("normal", False)] for word in ("abnormal", "abnormality", "abnormalities")}
    known |= {word: [("tone", "bright")] for word in ("bright", "hyperdense")}
    known |= {word: [("tone", "dark")] for word in ("dark", "hypodense")}
    known |= {phrase: [("shift", True)] for phrase in ("midline shift", "shift of the midline")}
    known |= {phrase: [("shadow", True)] for phrase in ("acoustic shadow", "acoustic shadowing", "shadow")}
    part = ORGANS[organ].part
    for zone in ORGANS[organ].zones:
        bare = zone.removesuffix(f" {part}").removeprefix("gallbladder ")
        forms = {bare, zone, f"{bare} {part}"} | (
            {f"mid {part}", f"middle {part}"} if bare in ("mid", "middle") else set()
        )
        known |= {form: [("zone", zone)] for form in forms}
    # Findings of other organs are known words too: to claim one here is wrong, not unreadable.
    for kind in sorted(KINDS, key=lambda one: one in kinds_of(organ)):
        for name in (kind.name, *_VARIANTS.get(kind.name, ())):
            known[name] = [("kind", kind.name)]
            known[f"{name}s"] = [("kind", kind.name), ("many", True)]
    known |= {phrase: [("kind", "kidney stone"), ("many", True)] for phrase in ("renal calculi", "calculi")}
    return known, max(len(phrase.split()) for phrase in known)
