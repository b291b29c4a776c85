"""The words of numbers: units, numerals, ordinals, Roman numerals, grades, levels of the spine, cranial nerves."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from apps.medvqa.answers.tables import TABLES, listed, read_table

#: Every way to write a unit, with pint's name of it.
UNIT_NAMES = {
    form: row["name"]
    for row in read_table(TABLES / "units.tsv", ("name", "forms"))
    for form in row["forms"].split("|")
}
#: Units of a dimension of their own, which pint would mix up or does not have; a percentage is a hundredth.
_OWN = {
    "hounsfield": (1.0, "HU"),
    "bpm": (1.0, "bpm"),
    "percent": (0.01, "%"),
    "unit": (1.0, "IU"),
    "mmHg": (1.0, "mmHg"),
    "celsius": (1.0, "°C"),
    "fold": (1.0, "fold"),
}

_WORDS = listed("""
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty
""")
_TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
_OTHERS = {"pair": 2, "couple": 2, "dozen": 12, "hundred": 100}
NUMBER_WORDS: dict[str, float] = {
    **{word: float(at) for at, word in enumerate(_WORDS)},
    **{word: 10.0 * at for at, word in enumerate(_TENS, 2)},
    **{word: float(number) for word, number in _OTHERS.items()},
}
_ORDINALS = listed("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth")
ORDINALS = {word: float(at) for at, word in enumerate(_ORDINALS, 1)}
FRACTIONS = {"half": 0.5, "quarter": 0.25} | {word: 1 / at for word, at in ORDINALS.items() if at > 2}
ABOUT = frozenset(listed("about approximately approx around roughly circa ca nearly almost ~ ≈"))

#: Signs and words of a bound; "≤" is no other than "<" here.
BOUND_SIGNS = dict.fromkeys(listed("< <= ≤ ≦"), "<") | dict.fromkeys(listed("> >= ≥ ≧"), ">")
_LESS = "less than|smaller than|under|below|fewer than|up to|at most|no more than|not more than"
_MORE = "more than|greater than|larger than|over|above|exceeding|at least|no less than"
BOUND_WORDS = {
    tuple(phrase.split()): sign for sign, phrases in (("<", _LESS), (">", _MORE)) for phrase in phrases.split("|")
}

#: "5 mm or more".
BOUNDS_BEHIND = dict.fromkeys(listed("more greater larger above higher over bigger"), ">") | dict.fromkeys(
    listed("less smaller below lower fewer under"), "<"
)

#: Words before a grade: "stage III", "BI-RADS 4", "cranial nerve VII".
GRADE_WORDS = frozenset(
    listed("""
    grade stage type class category level zone segment birad rad lirad pirad tirad bosniak gleason score figo
    nyha asa cn nerve degree phase group fazekas evan kl lawrence salter harri garden weber mallampati ranson
    child pugh modified clavien fontaine rutherford tnm duke breslow clark tanner apgar kellgren neer vertebra
    rib digit finger toe metacarpal metatarsal ventricle order ray factor
""")
)
#: Names of grades that fit any scale, and other names of a scale.
ANY_GRADE = frozenset({"", "stage", "grade", "class", "type", "category", "level", "degree", "score", "group", "who"})
SCALES = {"cn": "nerve", "rad": "birad", "classification": "class", "vertebra": "spine", "digit": "finger"}

#: Letters of the parts of the spine.
LEVELS = frozenset("ctls")
SPINE = {"cervical": "c", "thoracic": "t", "lumbar": "l", "sacral": "s", "dorsal": "t"}
_NERVES = listed("""
    olfactory optic oculomotor trochlear trigeminal abducens facial vestibulocochlear glossopharyngeal vagus accessory
    hypoglossal
""")
#: Cranial nerves by name; they go by number as often.
NERVES = {name: float(at) for at, name in enumerate(_NERVES, 1)}

_ROMAN = re.compile(r"(?=[ivx])(x{0,2})(ix|iv|v?i{0,3})([a-f]?)$")
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10}
_GRADED_NUMBER = re.compile(r"([ivx]+|\d+)([a-f]?)$")


@lru_cache(maxsize=256)
def unit(name: str) -> tuple[float, str]:
    """Factor to the base unit and the dimension of a name in `UNIT_NAMES`' values, by pint."""
    if name in _OWN:
        return _OWN[name]
    known = _registry().Quantity(1, name).to_base_units()
    return float(known.magnitude), str(known.dimensionality) if str(known.dimensionality) != "dimensionless" else name


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def graded(text: str) -> tuple[float, str] | None:
    """Value and letter of "3", "3b", "iii", "iiia" or "three"; None for anything else."""
    if text in NUMBER_WORDS:
        return NUMBER_WORDS[text], ""
    match = _GRADED_NUMBER.fullmatch(text)
    if match and match.group(1).isdecimal():
        return float(match.group(1)), match.group(2)
    roman = _ROMAN.fullmatch(text)
    if not roman:
        return None
    value, before = 0, 0
    for letter in reversed(roman.group(1) + roman.group(2)):
        number = _ROMAN_VALUES[letter]
        value += number if number >= before else -number
        before = max(before, number)
    return (float(value), roman.group(3)) if value else None
