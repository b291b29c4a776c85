"""How far what an answer says agrees with what the reference says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from apps.medvqa.answers.agreement import agreement
from apps.medvqa.answers.beyond import certainty, contradictory, precision
from apps.medvqa.answers.facts import names_finding
from apps.medvqa.answers.meaning import Atom, Fact, Meaning
from apps.medvqa.answers.numerals import LEVELS, SPINE
from apps.medvqa.answers.quantities import Quantity
from apps.medvqa.answers.relations import EXTENT, agreement_of, relation
from apps.medvqa.answers.terms import ROOT, Concept
from apps.medvqa.answers.text import near, stem

#: What an atom of each kind counts.
WEIGHTS = {
    "finding": 3.0, "modality": 3.0, "plane": 3.0, "state": 3.0, "anatomy": 2.0, "side": 2.0, "region": 1.6,
    "quality": 1.5, "other": 2.0, "word": 1.5,
}  # fmt: skip
QUANTITY_WEIGHT = 3.0
#: What an atom counts that the question has said already.
GIVEN = 0.12
#: The most that an answer with a conflict can earn.
CAPS = {
    "polarity": 0.0, "side": 0.08, "number": 0.06, "finding": 0.06, "place": 0.1, "value": 0.08, "modality": 0.05,
    "plane": 0.05, "contradiction": 0.08, "name": 0.15, "sides": 0.45, "alternative": 0.45, "part": 0.5,
}  # fmt: skip


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        score: agreement in [0, 1], caps applied.
        recall: share of the reference's weight that the answer has, before anything else.
        precision: factor for what the answer says beyond it.
        certainty: factor for hedging.
        conflicts: names in `CAPS`.
        reasons: one line each.
    """

    score: float = 0.0
    recall: float = 0.0
    precision: float = 1.0
    certainty: float = 1.0
    conflicts: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)


def compare(reference: Meaning, answer: Meaning, question: Meaning) -> Comparison:
    """Compare an answer with the reference, fact by fact.

    Each fact of the reference looks for the answer's fact, or all of them together, that agrees with it best. The
    score is the mean over the reference's facts, by weight, times factors for what is said beyond it and for hedging;
    a conflict caps it.
    """
    given = {atom.word for atom in question.atoms}
    fresh = [atom for atom in reference.atoms if atom.word not in given]
    if not fresh and not reference.quantities:
        given = set()
    answer = _without_contrast(reference, answer, question)
    candidates = [Fact(tuple(answer.atoms), tuple(answer.quantities))]
    if len(answer.facts) > 1:
        candidates += answer.facts
    found = [_best(fact, candidates, given) for fact in reference.facts]
    weights = [
        sum(_weight(atom, given) for atom in fact.atoms) + QUANTITY_WEIGHT * len(fact.quantities)
        for fact in reference.facts
    ]
    total = sum(weights) or 1.0
    result = Comparison(recall=sum(one.recall * weight for one, weight in zip(found, weights, strict=True)) / total)
    agreed = sum(_capped(one) * weight for one, weight in zip(found, weights, strict=True)) / total
    for one in found:
        result.conflicts |= one.conflicts
        result.reasons += one.reasons
    result.certainty = certainty(reference, answer)
    result.precision, reasons = precision(reference, answer, question)
    result.reasons += reasons
    score = agreed * result.certainty * result.precision
    if "sides" not in result.conflicts and (other := _alternative(reference, answer, given)):
        result.conflicts.add("alternative")
        result.reasons.append(other)
        score = min(score, CAPS["alternative"])
    if contradictory(answer):
        result.conflicts.add("contradiction")
        result.reasons.append("the answer contradicts itself")
        score = min(score, CAPS["contradiction"])
    if answer.noncommittal:
        result.reasons.append("the answer commits to nothing")
        score = min(score, 0.08)
    result.score = max(0.0, min(1.0, score))
    return result


def _alternative(reference: Meaning, answer: Meaning, given: set[str]) -> str:
    """What another fact of the answer says in the place of one that is right, or "": "a mass in the right lobe and a
    mass in the left lobe".
    """
    if len(answer.facts) < 2:
        return ""
    found = [[_fact(right, fact, given) for fact in answer.facts] for right in reference.facts]
    taken = {number for row in found for number, one in enumerate(row) if not one.conflicts and one.recall >= FOUND}
    for right, row in zip(reference.facts, found, strict=True):
        if not any(not one.conflicts and one.recall >= FOUND for one in row):
            continue
        for number, one in enumerate(row):
            if number not in taken and one.conflicts & _IN_PLACE and _same_subject(right, answer.facts[number]):
                return f"beside it: {one.reasons[0]}"
    return ""


def _same_subject(reference: Fact, answer: Fact) -> bool:
    """Whether two facts are of the same finding, or both of none."""
    mine = {atom.word for atom in reference.atoms if names_finding(atom) and atom.said}
    its = [atom for atom in answer.atoms if names_finding(atom) or atom.kind == "state"]
    if not mine:
        return not its
    return any(atom.word in mine and atom.said for atom in its)


#: Share of a fact's weight that makes it the one that was meant.
FOUND = 0.7
#: Conflicts of a fact that stands in another one's place.
_IN_PLACE = frozenset({"side", "number", "place", "part", "value", "modality", "plane"})


def _without_contrast(reference: Meaning, answer: Meaning, question: Meaning) -> Meaning:
    """An answer without what it says to be free of what is asked: "the spleen is enlarged, the liver is normal".

    Only where the reference denies nothing, and a place of the answer is left.
    """
    asked = [atom for atom in question.atoms if names_finding(atom)]
    if not asked or not all(atom.said for atom in [*asked, *reference.atoms]) or len(answer.facts) < 2:
        return answer
    kept = tuple(fact for fact in answer.facts if not _is_free(fact, asked))
    if len(kept) == len(answer.facts) or not any(atom.kind in _PLACES for fact in kept for atom in fact.atoms):
        return answer
    return replace(answer, facts=kept)


_PLACES = frozenset({"anatomy", "side", "region"})


def _is_free(fact: Fact, asked: Sequence[Atom]) -> bool:
    """Whether a fact says of a place that it has nothing of what is asked."""
    heads = [atom for atom in fact.atoms if names_finding(atom) or atom.kind == "state"]
    if not heads or not any(atom.kind in _PLACES for atom in fact.atoms):
        return False
    return all(not atom.said or atom.word.startswith("normal") for atom in heads) and any(
        one.word == ROOT or agreement_of(wanted, one) < 0 for wanted in asked for one in heads if one.concept
    )


def _best(fact: Fact, candidates: Sequence[Fact], given: set[str]) -> Comparison:
    """The candidate that agrees best; the first one is all of the answer."""
    found = [_fact(fact, one, given) for one in candidates]
    # "Consolidation with cavitation" holds what the reference denies, though its first fact alone does not.
    return found[0] if "polarity" in found[0].conflicts else max(found, key=_rank)


def _rank(one: Comparison) -> tuple[float, float]:
    return (_capped(one), one.recall)


def _capped(one: Comparison) -> float:
    return min([one.recall, *(CAPS[name] for name in one.conflicts)])


def _weight(atom: Atom, given: Iterable[str]) -> float:
    return WEIGHTS[atom.kind] * (GIVEN if atom.word in given else 1.0)


def _fact(reference: Fact, answer: Fact, given: set[str]) -> Comparison:
    result = Comparison()
    total = earned = 0.0
    for atom in reference.atoms:
        weight = _weight(atom, given)
        alone = len(reference.atoms) == 1 and not reference.quantities
        if (atom.kind in ("quality", "word") and alone) or (names_finding(atom) and atom.word not in given):
            weight = max(weight, 3.0)
        total += weight
        earned += weight * _atom(atom, reference, answer, given, result)
    for quantity in reference.quantities:
        total += QUANTITY_WEIGHT
        earned += QUANTITY_WEIGHT * _quantity(quantity, answer, result)
    result.recall = earned / total if total else 0.0
    if _other_name(reference, answer):
        result.conflicts.add("name")
        result.reasons.append("another name")
    return result


#: Findings that say nothing without the name before them.
_NAMELESS = frozenset({"disease", "syndrome", "disorder", "sign", "tumor", "neoplasm", "lesion", "mass"})


def _other_name(reference: Fact, answer: Fact) -> bool:
    """Whether both name something that no table knows, and not the same: "Addison disease" is no "Graves disease"."""
    mine = [atom for atom in reference.atoms if atom.kind == "word"]
    its = [
        atom for atom in answer.atoms if atom.kind in ("word", "finding") and atom.said and atom.word not in _NAMELESS
    ]
    if not mine or any(
        atom.kind in ("finding", "modality", "plane") and atom.word not in _NAMELESS for atom in reference.atoms
    ):
        return False
    if any(_same_word(one, other) for one in mine for other in its):
        return False
    known = {atom.word for atom in reference.atoms}
    return any(atom.word not in known for atom in its)


def _quantity(reference: Quantity, answer: Fact, result: Comparison) -> float:
    if not answer.quantities:
        return _counted(reference, answer)
    best = max(agreement(reference, one) for one in answer.quantities)
    if best < 0.3:
        result.conflicts.add("number")
        result.reasons.append("another number")
    return best


def _counted(reference: Quantity, answer: Fact) -> float:
    """A count that is said without a number."""
    words = {atom.word for atom in answer.atoms}
    if reference.name in LEVELS:
        part = next(name for name, letter in SPINE.items() if letter == reference.name)
        return 0.35 if any(word.startswith(part) for word in words) else 0.0
    if not reference.unit and reference.low > 1 and "multiple" in words:
        return 1.0 if reference.bound == ">" or reference.low > 3 else 0.5
    if reference.low == reference.high == 1 and "single" in words:
        return 1.0
    return 1.0 if reference.low == 2 and not reference.unit and "bilateral" in words else 0.0


def _atom(atom: Atom, reference: Fact, answer: Fact, given: set[str], result: Comparison) -> float:
    if atom.concept is None:
        return _word(atom, answer, result)
    if atom.word in ("single", "multiple") and answer.quantities:
        return _number_of(atom, answer, result)
    # The general that the question has named already answers nothing: "in this brain CT".
    general = {name for name, steps in atom.concept.ancestors.items() if steps and name != ROOT} & given
    told = [one for one in answer.atoms if one.concept is not None and one.word not in general]
    same_kind = [one for one in told if one.kind == atom.kind]
    scored = [(agreement_of(atom, one), one) for one in told]
    best, its = max(scored, key=lambda pair: pair[0], default=(0.0, None))
    opposed = next((one for value, one in scored if value < 0), None)
    if best > 0 and not (opposed is not None and best < 0.5):
        return _shared(best, atom, its, reference, answer, same_kind, result)
    if opposed is not None:
        result.conflicts.add("polarity")
        result.reasons.append(f"{opposed.word} is {'said' if opposed.said else 'denied'}")
        return 0.0
    return _missing(atom, reference, told, same_kind, result)


def _number_of(atom: Atom, answer: Fact, result: Comparison) -> float:
    """A number where "single" or "multiple" is right."""
    counts = [one for one in answer.quantities if not one.unit]
    several = any(one.low > 1 or (one.low == 1 and one.bound == ">") for one in counts)
    if not counts or several == (atom.word == "multiple"):
        return 0.9 if counts else 0.0
    return _conflict("number", f"another number than {atom.word}", result)


def _shared(
    value: float,
    atom: Atom,
    its: Atom | None,
    reference: Fact,
    answer: Fact,
    same_kind: Sequence[Atom],
    result: Comparison,
) -> float:
    """One side where the reference has one and the answer both is half right, and so on for every axis."""
    if atom.kind == "finding" and atom.concept and 0 < value < 1 and atom.concept.places:
        # The place that a finding implies: "liver cancer" says more of a hepatocellular carcinoma than "cancer".
        places = [one for one in answer.atoms if one.kind == "anatomy" and one.concept]
        names = {name for one in places if one.concept for name in one.concept.ancestors}
        if names & set(atom.concept.places):
            return float(value**0.6)
        own = [one.word for one in reference.atoms if one.kind == "anatomy"]
        if places and not any(_at(place, one) for place in [*atom.concept.places, *own] for one in places):
            return _conflict("place", f"{places[0].word} is no place of {atom.word}", result)
        return value
    if atom.kind == "side" and its is not None and its.kind == "side":
        mine = _sides(one for one in reference.atoms if one.kind == "side")
        theirs = _sides(same_kind)
        if mine == theirs:
            return value
        result.conflicts.add("sides")
        result.reasons.append("both sides for one" if mine < theirs else "one side for both")
        return value * 0.4
    if atom.kind == "modality" or (atom.kind == "anatomy" and _only_places(reference) and _only_places(answer)):
        # A list of which one is right.
        known = [one.concept for one in reference.atoms if one.kind == atom.kind and one.concept]
        others = [one for one in same_kind if one.said and not any(_related(mine, one) for mine in known)]
        return value * (0.5 if atom.said and others else 1.0)
    if atom.axis and atom.kind in ("region", "plane", "quality", "other") and its is not None:
        said = {one.word for one in same_kind if one.axis == atom.axis and one.said == its.said}
        return value * (0.4 if said - {one.word for one in reference.atoms} - {its.word} else 1.0)
    return value


def _only_places(fact: Fact) -> bool:
    return not fact.quantities and all(atom.kind in _PLACES for atom in fact.atoms)


def _related(concept: Concept, atom: Atom) -> bool:
    """Whether an atom is a kind or a part of a concept, or the other way round."""
    its = atom.concept
    return its is not None and relation(concept, its) > 0


def _at(place: str, atom: Atom) -> bool:
    """Whether a place holds an atom's, or lies in it."""
    return atom.concept is not None and (place in atom.concept.ancestors or atom.word == place)


def _sides(atoms: Iterable[Atom]) -> frozenset[str]:
    found: set[str] = set()
    for atom in atoms:
        found |= {"left", "right"} if atom.word == "bilateral" else {atom.word}
    return frozenset(found)


def _missing(
    atom: Atom, reference: Fact, told: Sequence[Atom], same_kind: Sequence[Atom], result: Comparison
) -> float:
    """The answer has nothing for an atom: is there something else in its place?"""
    if not same_kind and not names_finding(atom):
        return 0.0
    if atom.kind == "side":
        mine, theirs = _sides(one for one in reference.atoms if one.kind == "side"), _sides(same_kind)
        if mine & theirs:
            result.conflicts.add("sides")
            result.reasons.append("both sides for one" if mine < theirs else "one side for both")
            return 0.4
        return _conflict("side", f"{atom.word} is asked, {same_kind[0].word} is said", result)
    if atom.axis and atom.kind in ("region", "quality", "other", "plane"):
        axes = EXTENT if atom.axis in EXTENT else {atom.axis}
        others = [one for one in same_kind if one.axis in axes and one.said == atom.said]
        wanted = {one.word for one in reference.atoms if one.axis == atom.axis}
        if not others or not {one.word for one in others} - wanted:
            return 0.0
        return _other_value(atom, others, result)
    if names_finding(atom):
        others = [one for one in told if names_finding(one) and one.said and one.word != ROOT]
        if atom.said and others and not _found(reference, others):
            return _conflict("finding", f"{others[0].word} is no {atom.word}", result)
        return 0.0
    if atom.kind == "modality":
        return _conflict("modality", f"{same_kind[0].word} is no {atom.word}", result)
    if atom.kind == "anatomy" and _found(reference, same_kind):
        known = [one.concept for one in reference.atoms if one.kind == "anatomy" and one.concept]
        others = [one for one in same_kind if one.concept and one.said]
        other = next((one for one in others if not any(_related(place, one) for place in known)), None)
        return 0.0 if other is None else _conflict("part", f"{other.word} is no {atom.word}", result)
    if atom.kind == "anatomy":
        places = {name for one in reference.atoms if one.concept for name in one.concept.places}
        if any(_at(place, one) for place in places for one in same_kind):
            # "Renal tumor" for a clear cell carcinoma of the kidney: vaguer, but no other place.
            return 0.0
        return _conflict("place", f"{same_kind[0].word} is not {atom.word}", result)
    return 0.0


def _found(reference: Fact, answers: Sequence[Atom]) -> bool:
    """Whether any atom of the reference of these kinds is answered, so that another one is only missing."""
    kinds = {one.kind for one in answers}
    mine = [one.concept for one in reference.atoms if one.kind in kinds and one.concept]
    return any(relation(one, its.concept) > 0 for one in mine for its in answers if its.concept)


def _conflict(name: str, reason: str, result: Comparison) -> float:
    result.conflicts.add(name)
    result.reasons.append(reason.replace("_", " "))
    return 0.0


def _other_value(atom: Atom, others: Sequence[Atom], result: Comparison) -> float:
    """Another value of the same axis: near on an ordinal axis, wrong on any other."""
    ranks = [one.concept.rank for one in others if one.concept and one.concept.rank is not None]
    rank = atom.concept.rank if atom.concept else None
    if rank is not None and ranks:
        distance = min(abs(rank - one) for one in ranks)
        if distance < 1.5:
            return 0.4 if distance >= 1 else 0.6
    if not atom.said:
        return 0.3
    return _conflict("plane" if atom.kind == "plane" else "value", f"{others[0].word} is not {atom.word}", result)


def _word(atom: Atom, answer: Fact, result: Comparison) -> float:
    """Whether the answer has an unknown word of the reference."""
    for one in answer.atoms:
        same = _same_word(atom, one)
        if same and one.said != atom.said:
            result.conflicts.add("polarity")
            result.reasons.append(f"{one.word} is {'said' if one.said else 'denied'}")
            return 0.0
        if same:
            return 1.0
    return 0.0


def without_given(meaning: Meaning, question: Meaning) -> Meaning:
    """The facts of a meaning about what the question has not named: all but its yes or no."""
    given = {atom.word for atom in question.atoms}
    facts = []
    for fact in meaning.facts:
        atoms = tuple(atom for atom in fact.atoms if atom.word not in given)
        if atoms or fact.quantities:
            facts.append(Fact(atoms, fact.quantities))
    return replace(meaning, facts=tuple(facts))


def _same_word(atom: Atom, other: Atom) -> bool:
    """Whether two atoms are the same word, a slip of the pen away, or of the same stem."""
    if atom.word == other.word:
        return True
    if other.concept is not None:
        return False
    return near(other.word, atom.word) or (len(atom.word) > 5 and stem(other.word) == stem(atom.word))
