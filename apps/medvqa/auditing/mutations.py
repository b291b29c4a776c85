"""Right answers made wrong: what a reward must score below the right answer.

Every operator of `FACTS` breaks one kind of fact and returns None where the answer has none of that kind. On phantoms
the exact truth says that a mutant is wrong; of a real picture a changed answer is almost always, and not provably,
wrong: words of its other right answers are never put in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from apps.medvqa.auditing import mutated_numbers as numbers
from apps.medvqa.auditing.likeness import alike, findings
from apps.medvqa.auditing.mutation_words import (
    CONFUSABLE,
    DENSITIES,
    GRADES,
    MODALITIES,
    NAMES,
    OPPOSITES,
    PLACES,
    PLANES,
    SIDE_LETTERS,
    SIDES,
    WORD,
    exchange,
    find,
    put,
    rivals,
)
from apps.medvqa.auditing.told import Change, Told


@dataclass(frozen=True)
class Operator:
    """One way to make an answer wrong.

    Attributes:
        breaks: the kind of fact: polarity, side, place, number, unit, finding, degree, density, modality or plane.
        change: the change.
    """

    breaks: str
    change: Change


#: Ways to deny; {x} is the answer without an article in front.
DENIALS = (
    "no {x}",
    "no evidence of {x}",
    "there is no {x}",
    "{x} is not seen",
    "{x}: absent",
    "negative for {x}",
    "{x} has been ruled out",
)
#: Types of question whose answers say that something is there.
_FINDINGS = frozenset({"presence", "abnormality", "attribute", "knowledge", "other", ""})
_ARTICLE = re.compile(r"^(?:an?|the|there (?:is|are)(?: an?)?)\s+", re.IGNORECASE)
_DENIED = re.compile(
    r"^\W*(?:there (?:is|are) )?(?:no|not|without|negative for|absence of)(?: (?:evidence|signs?) of)?\s+(.+)$",
    re.IGNORECASE,
)
_BOTH = re.compile(r"\b(?P<one>bilaterally|bilateral|both sides|on both sides)\b|^\W*(?P<all>both)\W*$", re.IGNORECASE)
_PREFIX = re.compile(
    r"\b(hypo|hyper)(?=[ -]?(?:dens|intens|echo|atten|metabol|inflat|vascular|dynamic))", re.IGNORECASE
)
_OR = re.compile(r"([^\s,:]+)\s+or\s+(?:(?:an?|the|on the|in the|with|to the)\s+)?([^,?;.]+)", re.IGNORECASE)


def yes_no(told: Told, rng: random.Random) -> str | None:
    """No for yes and yes for no, in several wordings. Applies where the answer is no more than that."""
    if not told.yes_or_no or len(WORD.findall(told.answer)) > 1:
        return None
    other = "no" if told.yes_or_no == "yes" else "yes"
    return rng.choice((other, f"{other.capitalize()}.", f"The answer is {other}.", f"I would say {other}."))


def denied(told: Told, rng: random.Random) -> str | None:
    """What is there is denied, in one of `DENIALS`. Applies where a finding is said to be there."""
    if told.yes_or_no or told.denies or told.question_type not in _FINDINGS:
        return None
    if re.fullmatch(r"\W*abnormal\W*", told.answer, re.IGNORECASE):
        return put(told.answer, 0, len(told.answer), "normal")
    if not find(findings(), told.answer, plural=True):
        return None
    text = _ARTICLE.sub("", told.answer.strip().rstrip("."))
    # An abbreviation keeps its capitals.
    text = text if text[:2].isupper() else text[0].lower() + text[1:]
    return rng.choice(DENIALS).format(x=text)


def undenied(told: Told, rng: random.Random) -> str | None:
    """What is denied is said to be there. Applies to "no ..." and "normal"."""
    if told.yes_or_no and len(WORD.findall(told.answer)) == 1:
        return None
    if re.fullmatch(r"\W*(?:it is |they are )?normal\W*", told.answer, re.IGNORECASE):
        return re.sub(r"(?i)normal", "abnormal", told.answer)
    match = _DENIED.match(told.answer)
    return match[1] if match and find(findings(), match[1], plural=True) else None


def side(told: Told, rng: random.Random) -> str | None:
    """The other side, everywhere. Applies where one side is named."""
    text = told.answer
    words = find(SIDES, text)
    letters = [match for match in find(SIDE_LETTERS, text) if match[0].isupper() and _is_side(text, match)]
    sides = {match[0].lower()[0] for match in (*words, *letters)}
    if told.denies or len(sides) != 1:
        return None
    for match in sorted((*words, *letters), key=lambda one: -one.start()):
        other = SIDES.get(match[0].lower()) or SIDE_LETTERS[match[0]]
        text = put(text, match.start(), match.end(), other)
    return text


def one_side(told: Told, rng: random.Random) -> str | None:
    """One side of two. Applies to "bilateral", "both sides", and to "both" where a side is asked for."""
    match = None if told.denies else _BOTH.search(told.answer)
    asked = told.question_type == "side" or bool(find(SIDES, told.question))
    if match is None or (match["all"] and not asked):
        return None
    chosen, word = rng.choice(("left", "right")), match[0].lower()
    phrase = {
        "bilaterally": f"on the {chosen}",
        "both sides": f"the {chosen} side",
        "on both sides": f"on the {chosen}",
    }
    return put(told.answer, match.start(), match.end(), phrase.get(word, chosen))


def both_sides(told: Told, rng: random.Random) -> str | None:
    """Both sides for one. Applies where one side is named in words."""
    found = find(("left", "right"), told.answer)
    if told.denies or len({match[0].lower() for match in found}) != 1:
        return None
    plain = re.fullmatch(r"\W*(?:on the |the )?(left|right)(?:[ -]sided?)?\W*", told.answer, re.IGNORECASE)
    return "both sides" if plain else put(told.answer, found[0].start(), found[0].end(), "bilateral")


def direction(told: Told, rng: random.Random) -> str | None:
    """The opposite direction: lower for upper, posterior for anterior. Applies where a word of `OPPOSITES` stands."""
    return _opposite(OPPOSITES, told, rng)


def place(told: Told, rng: random.Random) -> str | None:
    """Another lobe, organ or vessel. Applies where one of `PLACES` is named."""
    return _rival(PLACES, told, rng, plural=True)


def finding(told: Told, rng: random.Random) -> str | None:
    """A finding that is easily confused with the right one. Applies where one of `CONFUSABLE` is said."""
    return _rival(CONFUSABLE, told, rng, plural=True)


def other_row(told: Told, rng: random.Random) -> str | None:
    """The answer to another question of the same type. Applies to open answers where one says nothing alike."""
    if told.yes_or_no or told.denies:
        return None
    right = (told.answer, *told.references)
    unlike = [text for text in told.stated if not alike(text, right)]
    return rng.choice(unlike) if unlike else None


def choice(told: Told, rng: random.Random) -> str | None:
    """The other one of what the question offers. Applies to questions with choices, or with "or"."""
    own = told.answer.strip().rstrip(".").lower()
    options = [_ARTICLE.sub("", text) for text in told.choices]
    if not told.choices:
        for left, right in _OR.findall(told.question):
            if own in right.lower():
                options.append(left)
            elif own.split()[0].startswith(left.lower()):
                options.append(" ".join(right.split()[: len(own.split())]))
    fits = [text for text in options if not set(WORD.findall(text.lower())) <= told.true_words]
    return rng.choice(fits) if fits else None


def degree(told: Told, rng: random.Random) -> str | None:
    """Another degree, amount or character: severe for mild. Applies where a word of `GRADES` stands."""
    return _opposite(GRADES, told, rng)


def density(told: Told, rng: random.Random) -> str | None:
    """Bright for dark, hyper- for hypo-. Applies where density, signal or echoes are told."""
    if told.denies:
        return None
    match = _PREFIX.search(told.answer)
    if match is not None:
        return put(told.answer, match.start(), match.end(), DENSITIES[match[0].lower()])
    return _opposite(DENSITIES, told, rng)


def modality(told: Told, rng: random.Random) -> str | None:
    """Another modality or sequence. Applies where one of `MODALITIES` is named."""
    return _rival(MODALITIES, told, rng)


def plane(told: Told, rng: random.Random) -> str | None:
    """Another plane, view or position. Applies to questions for one where one of `PLANES` is named."""
    return _rival(PLANES, told, rng) if told.question_type in ("plane", "modality", "other", "") else None


FACTS: Mapping[str, Operator] = {
    "yes ↔ no": Operator("polarity", yes_no),
    "finding denied": Operator("polarity", denied),
    "denial dropped": Operator("polarity", undenied),
    "left ↔ right": Operator("side", side),
    "one side of two": Operator("side", one_side),
    "both sides for one": Operator("side", both_sides),
    "upper ↔ lower": Operator("place", direction),
    "other lobe or organ": Operator("place", place),
    "size × 10": Operator("number", numbers.tenfold),
    "other size": Operator("number", numbers.other_value),
    "count + 1": Operator("number", numbers.count),
    "other count": Operator("number", numbers.other_count),
    "cm ↔ mm": Operator("unit", numbers.unit),
    "confusable finding": Operator("finding", finding),
    "other row's answer": Operator("finding", other_row),
    "other choice": Operator("finding", choice),
    "other degree": Operator("degree", degree),
    "hypo ↔ hyper": Operator("density", density),
    "other modality": Operator("modality", modality),
    "other plane": Operator("plane", plane),
}


#: Operators whose mutant cannot hold beside the right answer, in the order they are tried.
_EXCLUDING = (
    *("other choice", "left ↔ right", "upper ↔ lower", "other lobe or organ", "size × 10", "count + 1"),
    *("hypo ↔ hyper", "other degree", "other modality", "other plane", "denial dropped", "finding denied"),
)


def wrong_answer(told: Told, rng: random.Random) -> str:
    """Some wrong answer, as unlike the right one as can be: yes for no, another choice, another row's answer."""
    return _first(("other choice", "other row's answer", *FACTS), told, rng)


def excluding_answer(told: Told, rng: random.Random) -> str:
    """A wrong answer that cannot hold beside the right one."""
    return _first((*_EXCLUDING, *FACTS), told, rng)


def _first(operators: Iterable[str], told: Told, rng: random.Random) -> str:
    """What the first operator that applies makes of an answer."""
    if told.yes_or_no:
        return "no" if told.yes_or_no == "yes" else "yes"
    made = (FACTS[name].change(told, rng) for name in operators)
    return next((text for text in made if text is not None), "fracture" if told.denies else "no abnormality")


@lru_cache(maxsize=8)
def _rivals(groups: tuple[tuple[str, ...], ...]) -> Mapping[str, tuple[str, ...]]:
    return rivals(groups)


def _rival(groups: tuple[tuple[str, ...], ...], told: Told, rng: random.Random, plural: bool = False) -> str | None:
    """A phrase of the groups with one that stands beside it there; none where the answer denies."""
    if told.denies or told.yes_or_no:
        return None
    known = _rivals(groups)
    return exchange(told.answer, known, lambda word: known[word], rng, told.true_words, plural)


def _opposite(pairs: Mapping[str, str], told: Told, rng: random.Random) -> str | None:
    """A word with its opposite, but not where it is part of a name; none where the answer denies."""
    if told.denies:
        return None
    others = {word: (other,) for word, other in pairs.items()}
    return exchange(told.answer, (*pairs, *NAMES), lambda word: others.get(word, ()), rng, told.true_words)


def _is_side(text: str, match: re.Match[str]) -> bool:
    """Whether a letter stands for a side: not the L of "L2"."""
    return not text[match.end() : match.end() + 1].isdigit()
