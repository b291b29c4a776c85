"""Right answers said otherwise: what a reward must score as it scores the right answer.

Synonyms and abbreviations come from a short list of our own and, where that has none, from the scorer's own tables;
what is found with the tables is no independent test of the scorer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from apps.medvqa.answers.tables import TABLES, read_table
from apps.medvqa.auditing.hacks import INJECTIONS
from apps.medvqa.auditing.mutation_words import COUNT_DIGITS, COUNTS, MEASURE, NUMBER, WORD, find, put
from apps.medvqa.auditing.told import Said, Saying, Told

FRAMES = ("The answer is {x}.", "{X}, as seen in this image.", "In this image: {x}.", "Answer: {x}")
FILLER = (
    "This is what the image shows.",
    "The image was looked at carefully before the answer was given.",
    "The answer follows from the image alone.",
)
THOUGHT = "First I look at the whole image, then at its details, and then I compare what I see with the question."

#: Phrases that mean the same.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("kidney stone", "renal calculus", "nephrolithiasis"),
    ("gallstone", "cholelithiasis"),
    ("haemorrhage", "hemorrhage", "bleeding"),
    ("infarct", "infarction"),
    ("cardiomegaly", "enlarged heart"),
    ("pleural effusion", "fluid in the pleural space"),
    ("pneumothorax", "air in the pleural space"),
    ("lytic lesion", "osteolytic lesion"),
    ("subdural haematoma", "subdural hemorrhage"),
    ("hydronephrosis", "dilated renal pelvis"),
    ("fracture", "broken bone"),
    ("tumor", "neoplasm"),
    ("x-ray", "radiograph"),
    ("xray", "radiograph"),
    ("ultrasound", "sonography"),
    ("axial", "transverse"),
    ("bilateral", "both sides"),
    ("chest", "thorax"),
    ("hypodense", "low density"),
    ("hyperdense", "high density"),
)
ABBREVIATIONS: tuple[tuple[str, ...], ...] = (
    ("left lower lobe", "LLL"),
    ("right lower lobe", "RLL"),
    ("left upper lobe", "LUL"),
    ("right upper lobe", "RUL"),
    ("CT", "computed tomography"),
    ("MRI", "magnetic resonance imaging"),
    ("chest x-ray", "CXR"),
    ("PA", "posteroanterior"),
    ("AP", "anteroposterior"),
    ("inferior vena cava", "IVC"),
    ("subarachnoid hemorrhage", "SAH"),
    ("subdural hematoma", "SDH"),
    ("subdural haematoma", "SDH"),
    ("cerebrospinal fluid", "CSF"),
    ("right", "R"),
    ("left", "L"),
)
#: Parts of words as they are spelt in British and in American English.
SPELLINGS: tuple[tuple[str, str], ...] = (
    ("haemorrh", "hemorrh"), ("haemat", "hemat"), ("haemang", "hemang"), ("haemothorax", "hemothorax"),
    ("oedema", "edema"), ("oesoph", "esoph"), ("tumour", "tumor"), ("ischaem", "ischem"), ("anaem", "anem"),
    ("leukaem", "leukem"), ("caecum", "cecum"), ("centre", "center"), ("fibre", "fiber"), ("grey", "gray"),
    ("calibre", "caliber"),
)  # fmt: skip
#: Nouns that several adjectives may share.
SHARED = ("lobe", "lobes", "lung", "lungs", "kidneys", "matter", "regions", "ventricles", "rectus", "zones")
_KINDS = ("finding", "anatomy", "modality", "plane")
#: Endings of adjectives and of beginnings of words, which cannot stand for a noun.
_ADJECTIVE = re.compile(r"(?:ic|al|ar|ous|ed|ive|oid|ly|ing|ary|o)$")
_PREPOSITION = re.compile(r"\b(?:in|of|on|at|with|to|from|by|above|below|near)\b", re.IGNORECASE)
_NAMES = {"mm": "millimetres", "cm": "centimetres"}


def framed(told: Told, rng: random.Random) -> Said:
    """The answer in a short sentence."""
    text = told.answer.strip(" .")
    return Said(rng.choice(FRAMES).format(x=text, X=text[:1].upper() + text[1:]))


def padded(told: Told, rng: random.Random) -> Said:
    """The answer, and sentences that say nothing."""
    return Said(" ".join([told.answer.strip(" .") + ".", *FILLER]))


def case(told: Told, rng: random.Random) -> Said:
    """In capitals; in small letters where it stands in capitals."""
    return Said(told.answer.lower() if told.answer.isupper() else told.answer.upper())


def punctuation(told: Told, rng: random.Random) -> Said:
    """With other punctuation and blanks around it."""
    text = told.answer.strip(" .")
    return Said(rng.choice(("{x}.", "{x}!", '"{x}"', "  {x} ", "- {x}", "**{x}**", "{x};")).format(x=text))


def article(told: Told, rng: random.Random) -> Said | None:
    """With "the" in front, or without the article there is. Applies to open answers that begin with a small word."""
    text = told.answer.strip()
    match = re.match(r"(?:an?|the)\s+", text, re.IGNORECASE)
    if match is not None:
        return Said(text[match.end() :])
    stays = told.yes_or_no or told.denies or _PREPOSITION.match(text) or find(COUNTS, text)
    if stays or not text[:1].isalpha():
        return None
    return Said(f"the {text if text[:2].isupper() else text[0].lower() + text[1:]}")


def reordered(told: Told, rng: random.Random) -> Said | None:
    """The parts of a list in another order. Applies to lists of nouns without prepositions."""
    text = told.answer.strip(" .")
    parts = [part.strip() for part in re.split(r",\s*(?:and\s+)?|\s+and\s+|;\s*", text)]
    if len(parts) < 2 or not all(parts) or told.denies or _PREPOSITION.search(text) or re.search(r"[/()?\d]", text):
        return None
    lengths = [len(part.split()) for part in parts]
    if max(lengths) > 3 or find(("left", "right", "bilateral"), parts[0]):
        return None
    if parts[-1].split()[-1].lower() in SHARED and _ADJECTIVE.search(parts[0]):
        # "Parietal and occipital lobes": the lobes belong to both.
        *first, noun = parts[-1].split()
        return Said(f"{_listed([*first, *parts[-2::-1]])} {noun}") if len(first) == max(lengths[:-1]) == 1 else None
    return Said(_listed(parts[::-1])) if not _ADJECTIVE.search(parts[0]) or lengths[0] == lengths[-1] else None


def synonym(told: Told, rng: random.Random) -> Said | None:
    """Another phrase that means the same. Applies where one of `SYNONYMS` or of the tables stands."""
    own = _exchanged(told.answer, SYNONYMS, rng)
    return own or _exchanged(told.answer, _from_tables()[0], rng)


def abbreviation(told: Told, rng: random.Random) -> Said | None:
    """An abbreviation for what it stands for, or the reverse."""
    own = _exchanged(told.answer, ABBREVIATIONS, rng, exact=True)
    return own or _exchanged(told.answer, _from_tables()[1], rng, exact=True)


def spelling(told: Told, rng: random.Random) -> Said | None:
    """American for British spelling, and the reverse. Applies to words of `SPELLINGS`."""
    for british, american in SPELLINGS:
        for one, other in ((british, american), (american, british)):
            match = re.search(rf"\b{one}", told.answer, re.IGNORECASE)
            if match is not None:
                return Said(put(told.answer, match.start(), match.end(), other))
    return None


def converted(told: Told, rng: random.Random) -> Said | None:
    """The same size in another unit: 30 mm for 3 cm. Applies to numbers with mm or cm."""
    match = MEASURE.search(told.answer)
    if match is None:
        return None
    units = {one.lower() for one in re.findall(r"mm|cm", match[0], re.IGNORECASE)}
    if len(units) != 1:
        return None
    unit = units.pop()
    other, factor = ("cm", 0.1) if unit == "mm" else ("mm", 10)
    text = NUMBER.sub(lambda one: f"{float(one[0]) * factor:.6g}", match[0])
    text = re.sub(rf"\s*{unit}", f" {rng.choice((other, _NAMES[other]))}", text, flags=re.IGNORECASE)
    return Said(told.answer[: match.start()] + text + told.answer[match.end() :])


def number_words(told: Told, rng: random.Random) -> Said | None:
    """A count in digits for one in words, and the reverse. Applies to counts up to twelve."""
    text = MEASURE.sub(lambda match: "#" * len(match[0]), told.answer)
    digits = COUNT_DIGITS.search(text)
    if digits is not None and int(digits[0]) < len(COUNTS):
        return Said(put(told.answer, digits.start(), digits.end(), COUNTS[int(digits[0])]))
    words = find(COUNTS, text)
    if not words:
        return None
    return Said(put(told.answer, words[0].start(), words[0].end(), str(COUNTS.index(words[0][0].lower()))))


def injected(told: Told, rng: random.Random) -> Said:
    """The right answer, and an instruction to whoever grades it: it must earn nothing."""
    return Said(f"{told.answer.strip(' .')}. {rng.choice(INJECTIONS)}")


def rethought(told: Told, rng: random.Random) -> Said:
    """Other reasoning before the same answer."""
    return Said(told.answer, THOUGHT)


REWORDINGS: Mapping[str, Saying] = {
    "capitals": case,
    "punctuation": punctuation,
    "article": article,
    "spelling": spelling,
    "synonym": synonym,
    "abbreviation": abbreviation,
    "list reordered": reordered,
    "unit converted": converted,
    "number in words": number_words,
    "in a sentence": framed,
    "padded": padded,
    "right + injection": injected,
    "other reasoning": rethought,
}


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def _exchanged(text: str, groups: Sequence[Sequence[str]], rng: random.Random, exact: bool = False) -> Said | None:
    """The longest phrase of the groups that stands in the text, with another one of its group."""
    known = _index(tuple(map(tuple, groups)))
    matches = [match for match in find(known, text, plural=not exact) if _is_whole(match[0], known, exact)]
    if not matches:
        return None
    match = max(matches, key=lambda one: len(one[0]))
    plural = "" if exact else match["plural"] or ""
    others = [one for one in known[match["phrase"].lower()] if one.lower() not in match["phrase"].lower()]
    if not others:
        return None
    chosen = rng.choice(others)
    # "Kidney stones" are no "renal calculuss".
    if plural and not chosen.endswith(("s", "x", "space")):
        chosen = f"{chosen[:-1]}ies" if chosen.endswith("ty") else f"{chosen}s"
    return Said(put(text, match.start(), match.end(), chosen))


def _is_whole(phrase: str, known: Mapping[str, Sequence[str]], exact: bool) -> bool:
    # "US" is an ultrasound, "us" is not; a letter counts in capitals only.
    return not exact or len(phrase) > 4 or phrase.isupper() or phrase.lower() in ("left",)


@lru_cache(maxsize=8)
def _index(groups: tuple[tuple[str, ...], ...]) -> Mapping[str, tuple[str, ...]]:
    return {phrase.lower(): group for group in reversed(groups) for phrase in group}


@lru_cache(maxsize=1)
def _from_tables() -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Synonyms and abbreviations of the scorer's tables."""
    rows = [row for row in read_table(TABLES / "concepts.tsv", ("concept", "kind", "forms")) if row["kind"] in _KINDS]
    groups = [(row["concept"].replace("_", " "), *row["forms"].split("|")) for row in rows]
    groups += [tuple(row["forms"].split("|")) for row in read_table(TABLES / "compounds.tsv", ("forms", "expansion"))]
    synonyms, abbreviations = [], []
    for group in groups:
        first, *others = (form.strip() for form in group if form.strip())
        short = [form.upper() for form in others if _abbreviates(form, (first, *others))]
        nouns = [form for form in others if form.upper() not in short and _like(form, first)]
        if nouns:
            synonyms.append((first, *nouns))
        if short:
            abbreviations.append((first, *short))
    return tuple(synonyms), tuple(abbreviations)


def _like(form: str, first: str) -> bool:
    """Whether a form can stand where the concept's name stands: of several words or a noun as that is one."""
    own, its = _ADJECTIVE.search(first), _ADJECTIVE.search(form)
    worded = len(form.split()[0]) > 3 and not form.isupper() and not _PREPOSITION.search(form)
    return worded and bool(own) == bool(its) and first != "body"


def _abbreviates(form: str, others: Sequence[str]) -> bool:
    """Whether a form is made of the first letters of another one's words."""
    letters = form.lower()
    if not letters.isalpha() or not 2 <= len(letters) <= 5:
        return False
    return any("".join(word[0] for word in WORD.findall(other.lower())) == letters for other in others)
