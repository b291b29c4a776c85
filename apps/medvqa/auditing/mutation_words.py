"""The words that `mutations` and `rewordings` exchange in medical answers, and how."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")

#: An answer that denies: what is swapped in it may still be denied rightly.
DENIAL = re.compile(
    r"\b(?:no|not|non|none|nothing|without|absent|absence|negative|never|free of|normal|unremarkable)\b"
)
#: An answer that is yes or no, or begins with it; "no nodule" is another one.
YES_NO = re.compile(r"\W*(yes|no)\b\s*(?=[^\w\s]|$)", re.IGNORECASE)

#: Side for side. Single letters and abbreviations count in capitals only.
SIDES = {"left": "right", "right": "left", "leftward": "rightward", "rightward": "leftward"}
SIDE_LETTERS = {
    **{"L": "R", "R": "L", "LLL": "RLL", "RLL": "LLL", "LUL": "RUL", "RUL": "LUL", "RML": "LUL"},
    **{"LUQ": "RUQ", "RUQ": "LUQ", "LLQ": "RLQ", "RLQ": "LLQ"},
}

#: Directions with their opposites.
OPPOSITES = {
    word: other
    for one, two in (
        *(("upper", "lower"), ("superior", "inferior"), ("above", "below"), ("top", "bottom"), ("apex", "base")),
        *(("apical", "basal"), ("anterior", "posterior"), ("anteriorly", "posteriorly"), ("proximal", "distal")),
        *(("medial", "lateral"), ("central", "peripheral"), ("ascending", "descending"), ("inside", "outside")),
        *(("interior", "exterior"), ("internal", "external"), ("supratentorial", "infratentorial")),
        *(("suprasellar", "infrasellar"), ("ventral", "dorsal"), ("cranial", "caudal"), ("front", "back")),
        *(("intra-axial", "extra-axial"), ("cortical", "subcortical")),
        *(("apices", "bases"), ("superiorly", "inferiorly"), ("underneath", "above"), ("superficial", "deep")),
    )
    for word, other in ((one, two), (two, one))
} | {"middle": "lower", "mid": "upper", "above": "below"}
#: Where such a word is part of a name.
NAMES = (
    *("lateral ventricle", "lateral ventricles", "inferior vena cava", "superior vena cava", "internal capsule"),
    *(
        "white matter",
        "gray matter",
        "grey matter",
        "small bowel",
        "large bowel",
        "small intestine",
        "small intestines",
    ),
    *("large intestine", "cystic duct", "multiple sclerosis", "posterior fossa", "basal ganglia"),
)

#: Places that exclude each other, group by group; none is a part of another of its group.
PLACES: tuple[tuple[str, ...], ...] = (
    ("frontal", "temporal", "parietal", "occipital"),
    ("gallbladder neck", "gallbladder body", "gallbladder fundus"),
    ("pancreatic head", "pancreatic body", "pancreatic tail"),
    ("head of the pancreas", "body of the pancreas", "tail of the pancreas"),
    ("liver", "spleen", "pancreas", "kidney", "gallbladder", "stomach", "bladder"),
    ("hepatic", "splenic", "pancreatic", "renal", "gastric"),
    ("cecum", "jejunum", "duodenum", "rectum", "appendix", "sigmoid colon"),
    ("small bowel", "large bowel", "stomach"),
    ("lung", "heart", "trachea", "esophagus"),
    ("brain", "spinal cord", "heart", "liver"),
    ("cerebellum", "pons", "thalamus", "hippocampus", "putamen", "caudate"),
    ("chest", "abdomen", "pelvis", "head", "leg"),
    ("aorta", "inferior vena cava", "portal vein", "pulmonary artery"),
    ("MCA", "ACA", "PCA", "PICA"),
    ("femur", "tibia", "humerus", "radius"),
    ("rib", "clavicle", "scapula", "sternum"),
    ("third ventricle", "fourth ventricle", "lateral ventricle"),
    ("3rd ventricle", "4th ventricle"),
    ("maxillary", "ethmoid", "sphenoid"),
    ("subarachnoid", "subdural", "intraventricular"),
    ("white matter", "gray matter", "basal ganglia"),
)

#: Findings that are taken for each other because they look, sound or are written alike; they are never the same.
CONFUSABLE: tuple[tuple[str, ...], ...] = (
    ("pneumonia", "pneumothorax", "pneumoperitoneum"),
    ("pleural effusion", "pneumothorax", "pericardial effusion", "atelectasis"),
    ("hydropneumothorax", "hydronephrosis", "hydrocephalus"),
    ("consolidation", "atelectasis", "cavity", "pneumothorax"),
    ("nodule", "cavity", "cyst", "calcification"),
    ("cardiomegaly", "hepatomegaly", "splenomegaly"),
    ("infarct", "hemorrhage", "abscess", "mass"),
    ("infarct", "haemorrhage", "abscess", "mass"),
    ("infarction", "infection", "inflammation"),
    ("ischemia", "hemorrhage", "infection"),
    ("stroke", "tumor", "abscess"),
    ("subdural haematoma", "epidural haematoma", "subarachnoid haemorrhage"),
    ("subdural hematoma", "epidural hematoma", "subarachnoid hemorrhage"),
    ("hydrocephalus", "encephalitis", "cerebral atrophy"),
    ("midline shift", "mass effect"),
    ("meningioma", "meningitis", "glioblastoma"),
    ("mass", "cyst", "hematoma"),
    ("tumor", "abscess", "hematoma"),
    ("edema", "atrophy", "necrosis"),
    ("kidney stone", "gallstone", "bladder stone"),
    ("kidney cyst", "kidney stone", "liver cyst"),
    ("gallstone", "polyp", "wall thickening"),
    ("cyst", "polyp", "stone", "calcification"),
    ("hydronephrosis", "kidney stone", "pyelonephritis"),
    ("appendicitis", "diverticulitis", "cholecystitis", "pancreatitis"),
    ("cirrhosis", "sclerosis", "hepatitis"),
    ("ascites", "pleural effusion", "abscess"),
    ("fracture", "dislocation", "osteoarthritis"),
    ("lytic lesion", "sclerotic lesion", "fracture"),
    ("emphysema", "empyema", "edema"),
    ("bronchiectasis", "bronchitis", "atelectasis"),
    ("myocardial infarction", "myocarditis", "cerebral infarction"),
    ("aneurysm", "dissection", "stenosis"),
    ("thrombosis", "stenosis", "aneurysm"),
    ("embolus", "aneurysm", "tumor"),
    ("free air", "free fluid"),
    ("air", "fat", "calcium"),
    ("fluid", "air", "calcium"),
    ("fat", "fluid", "gas"),
    ("adenocarcinoma", "adenoma", "squamous cell carcinoma"),
    ("hemangioma", "hematoma", "hamartoma"),
    ("tuberculosis", "sarcoidosis"),
    ("metastasis", "abscess", "hemorrhage"),
    ("metastases", "abscesses", "hemangiomas"),
    ("cancer", "infection", "hematoma"),
    ("multiple sclerosis", "glioblastoma", "encephalitis"),
    ("plaque", "nodule", "cyst"),
    ("calcification", "hemorrhage", "gas"),
    ("pacemaker", "chest tube", "feeding tube"),
    ("sinusitis", "mastoiditis", "meningitis"),
    ("obstruction", "perforation", "inflammation"),
)
PLURALS = {"mass": "masses", "abscess": "abscesses", "metastasis": "metastases", "cavity": "cavities"}
#: What has no plural, and no "a" before it.
UNCOUNTED = frozenset(
    ("air", "fat", "fluid", "gas", "calcium", "edema", "atrophy", "necrosis", "free air", "free fluid")
)

#: Degrees and amounts that exclude each other.
GRADES: Mapping[str, str] = {
    "mild": "severe", "slight": "severe", "minimal": "severe", "moderate": "minimal", "severe": "mild",
    "massive": "minimal", "marked": "minimal", "small": "large", "tiny": "huge", "large": "small",
    "huge": "tiny", "acute": "chronic", "chronic": "acute", "early": "late", "benign": "malignant",
    "malignant": "benign", "focal": "diffuse", "diffuse": "focal", "single": "multiple",
    "multiple": "single", "few": "many", "many": "few", "partial": "complete", "complete": "partial",
    "enlarged": "shrunken", "shrunken": "enlarged", "smaller": "larger", "larger": "smaller",
    "increased": "decreased", "decreased": "increased", "smooth": "irregular", "irregular": "smooth",
    "regular": "irregular", "solid": "cystic", "cystic": "solid", "symmetric": "asymmetric",
    "asymmetric": "symmetric", "homogeneous": "heterogeneous", "heterogeneous": "homogeneous",
    "well-circumscribed": "ill-defined", "well-defined": "ill-defined", "biconvex": "concave",
    "concave": "convex",
}  # fmt: skip

#: How bright, dense or echogenic: the part of a word, or the word, with its opposite.
DENSITIES = {
    **{"hypo": "hyper", "hyper": "hypo", "bright": "dark", "dark": "bright", "brighter": "darker"},
    **{"darker": "brighter", "white": "black", "black": "white", "high": "low", "low": "high"},
    **{"radiolucent": "radiopaque", "radiopaque": "radiolucent", "more dense": "less dense"},
    **{"less dense": "more dense", "denser": "less dense", "isointense": "hyperintense", "isodense": "hyperdense"},
}

MODALITIES: tuple[tuple[str, ...], ...] = (
    ("CT", "MRI", "ultrasound", "x-ray"),
    ("CT", "MR", "ultrasound", "x-ray"),
    ("computed tomography", "magnetic resonance imaging", "ultrasound"),
    ("xray", "CT", "MRI"),
    ("radiograph", "ultrasound", "CT"),
    ("plain film", "CT", "MRI"),
    ("CXR", "chest CT"),
    ("T1", "T2"),
    ("FLAIR", "DWI", "ADC"),
)
PLANES: tuple[tuple[str, ...], ...] = (
    ("axial", "coronal", "sagittal"),
    ("PA", "AP", "lateral"),
    ("posteroanterior", "anteroposterior"),
    ("supine", "upright", "prone"),
)

UNITS = {"mm": "cm", "cm": "mm", "ml": "l", "l": "ml", "mg": "g", "g": "mg", "minutes": "hours", "hours": "minutes"}
_UNIT = r"mm|cm|ml|l|mg|g|hu|minutes?|hours?|days?|weeks?|years?|degrees?|%"
#: One number or several ("2 x 3 cm", "10-20 minutes") with their unit.
MEASURE = re.compile(
    rf"(?<![\w.,])\d+(?:\.\d+)?(?:\s*(?:mm|cm)?\s*(?:x|×|by|to|-|–)\s*\d+(?:\.\d+)?)*\s*(?:{_UNIT})(?![^\W\d_])",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
#: A count in digits: no ordinal, no level ("T5", "L2-3"), no part of a number.
COUNT_DIGITS = re.compile(r"(?<![\w.,:/-])\d{1,3}(?![\w%:/]|[.,-]\d)")


def find(words: Iterable[str], text: str, plural: bool = False) -> list[re.Match[str]]:
    """Where any of these phrases stands as a whole, whatever its case; the longest phrase wins."""
    pattern = _pattern(tuple(words), plural)
    return list(pattern.finditer(text)) if pattern else []


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...], plural: bool) -> re.Pattern[str] | None:
    longest = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    ending = "(?P<plural>e?s)?" if plural else ""
    return re.compile(rf"(?<![\w-])(?P<phrase>{longest}){ending}(?!\w)", re.IGNORECASE) if words else None


def put(text: str, start: int, end: int, words: str) -> str:
    """A phrase in another's place: capital where that had one, and "a" or "an" before it as it sounds."""
    head, old = text[:start], text[start:end]
    if old[:1].isupper() and (start == 0 or not words.isupper()):
        words = words.upper() if old.isupper() and len(old) > 3 else words[0].upper() + words[1:]
    article = re.search(r"\b([Aa])n?(\s+)$", head)
    if article is not None:
        head = f"{head[: article.start()]}{article[1]}{'n' if words[0].lower() in 'aeiou' else ''}{article[2]}"
    return head + words + text[end:]


def exchange(
    text: str,
    words: Iterable[str],
    others: Callable[[str], Sequence[str]],
    rng: random.Random,
    known: frozenset[str] = frozenset(),
    plural: bool = False,
) -> str | None:
    """One of the phrases that stand in the text, where it can be, with another one.

    Args:
        text: the answer.
        words: phrases to look for.
        others: what may stand in a phrase's place (called with it in lower case).
        rng: chooses.
        known: words that are true of the picture, in lower case; a phrase made of them only is never put in.
        plural: whether the phrase may stand in the plural; its successor then does too.

    Returns:
        The changed text; None where no phrase stands in it or nothing else fits.
    """
    places = find(words, text, plural)
    for match in rng.sample(places, len(places)):
        fits = [one for one in others(match["phrase"].lower()) if not set(WORD.findall(one.lower())) <= known]
        if fits:
            chosen = rng.choice(fits)
            if plural and match["plural"] and chosen not in UNCOUNTED:
                chosen = PLURALS.get(chosen, chosen if chosen.endswith(("s", "x")) else f"{chosen}s")
            return put(text, match.start(), match.end(), chosen)
    return None


def rivals(groups: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Each phrase of the groups, in lower case, with all that stand beside it in a group."""
    found: dict[str, dict[str, None]] = {}
    for group in groups:
        for word in group:
            found.setdefault(word.lower(), {}).update({other: None for other in group if other != word})
    return {word: tuple(others) for word, others in found.items()}
