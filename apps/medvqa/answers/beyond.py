"""Factors for what an answer says beyond the reference, and for hedging."""

from __future__ import annotations

from itertools import pairwise

from apps.medvqa.answers.agreement import agreement
from apps.medvqa.answers.facts import names_finding
from apps.medvqa.answers.meaning import CERTAIN, Atom, Fact, Meaning
from apps.medvqa.answers.relations import relation
from apps.medvqa.answers.terms import ROOT

#: How far a statement is worth less than a certain one.
CERTAINTY = {3: 1.0, 2: 0.85, 1: 0.55}
_EXTRA_FINDING, _EXTRA_LISTED = 0.72, 0.8


def certainty(reference: Meaning, answer: Meaning) -> float:
    """Factor for hedging more than the reference does."""
    mine = min((atom.certainty for atom in reference.atoms), default=CERTAIN)
    words = {atom.word for atom in reference.atoms}
    related = [atom for atom in answer.atoms if atom.word in words] or answer.atoms
    its = min((atom.certainty for atom in related), default=answer.certainty)
    if reference.quantities:
        its = min(its, answer.counted_certainty)
    if its >= mine:
        return 1.0 if mine == CERTAIN or its == mine else 0.95
    return CERTAINTY[its] / CERTAINTY[mine]


def precision(reference: Meaning, answer: Meaning, question: Meaning) -> tuple[float, list[str]]:
    """Factor for what the answer says beyond the reference and the question."""
    factor, reasons = 1.0, []
    extra = [atom for atom in answer.atoms if not _is_known(atom, reference, question)]
    findings = [atom for atom in extra if atom.kind == "finding" and atom.said and atom.word != ROOT]
    asked_finding = any(atom.kind == "finding" for atom in reference.atoms)
    for atom in findings:
        factor *= (_EXTRA_FINDING if atom.certainty > 1 else 0.85) if asked_finding else 0.93
        reasons.append(f"{atom.word.replace('_', ' ')} is not in the reference")
    listed = [atom.kind for atom in reference.atoms]
    if "finding" not in listed:
        kinds = {"anatomy", "modality", "plane"} & set(listed)
        factor *= _EXTRA_LISTED ** sum(atom.kind in kinds and atom.said for atom in extra)
    elif any(atom.kind == "anatomy" for atom in reference.atoms):
        factor *= 0.9 ** sum(atom.kind == "anatomy" for atom in extra)
    factor *= 0.5 ** _alternatives(reference, answer)
    if asked_finding:
        factor *= _EXTRA_FINDING ** sum(_is_alien(fact, reference, question) for fact in answer.facts[:8])
    spoken = len(answer.atoms) + len(answer.quantities)
    plain = sum(atom.kind in ("word", "quality", "region", "other", "side") for atom in extra)
    spare = max(0, len(answer.quantities) - len(reference.quantities) - len(question.quantities))
    if spare and reference.quantities:
        # Several numbers where one is asked: not all of them are the answer.
        matched = all(
            any(agreement(one, its) >= 0.8 for one in [*reference.quantities, *question.quantities])
            for its in answer.quantities
        )
        factor *= 1.0 if matched else 0.45**spare
    return factor * (1.0 - 0.1 * min(1.0, plain / max(1, spoken))), reasons


def _is_alien(fact: Fact, reference: Meaning, question: Meaning) -> bool:
    """Whether a fact is about something else than the reference: an enlarged heart, or a lesion of another kind.

    Findings that the reference does not have are counted one by one; this is for the facts without such a finding.
    """
    if not any(names_finding(atom) and atom.said for atom in fact.atoms):
        return False
    if any(atom.kind == "finding" and not _is_known(atom, reference, question) for atom in fact.atoms):
        return False
    words = {atom.word for atom in reference.atoms}
    axes = {atom.axis for atom in reference.atoms if atom.kind == "quality"}
    if any(atom.kind == "quality" and atom.axis in axes and atom.word not in words for atom in fact.atoms):
        return not any(atom.word in words and atom.kind == "quality" for atom in fact.atoms)
    return not any(_is_known(atom, reference, question) for atom in fact.atoms)


def _is_known(atom: Atom, reference: Meaning, question: Meaning) -> bool:
    """Whether the reference has it, in general or in special, or the question has said it."""
    if atom.concept is None:
        return any(atom.word == one.word for one in [*reference.atoms, *question.atoms])
    asked = {name for one in question.atoms if one.concept for name in one.concept.ancestors}
    return atom.word in asked or any(one.concept and relation(one.concept, atom.concept) for one in reference.atoms)


def _alternatives(reference: Meaning, answer: Meaning) -> int:
    """How many "or" groups of the answer hold something else beside what the reference has."""
    words = {atom.word for atom in reference.atoms}
    if any(atom.choice for atom in reference.atoms):
        return 0
    groups: dict[int, list[Atom]] = {}
    for atom in answer.atoms:
        if atom.choice:
            groups.setdefault(atom.choice, []).append(atom)
    count = 0
    for atoms in groups.values():
        named = [
            atom
            for atom in atoms
            if atom.kind in ("finding", "anatomy", "side", "region", "modality", "plane", "quality", "word", "other")
        ]
        inside = [atom for atom in named if atom.word in words]
        count += 2 if len(inside) < len(named) and len(named) > 1 else 0
    return count


def contradictory(meaning: Meaning) -> bool:
    """Whether a text says and denies the same thing, or gives two values that exclude each other as alternatives."""
    if len(meaning.said) == 2:
        return True
    atoms = meaning.atoms
    signs: dict[str, set[bool]] = {}
    for atom in atoms:
        if atom.kind in ("finding", "quality", "state", "word", "modality") and atom.certainty == CERTAIN:
            signs.setdefault(atom.word, set()).add(atom.said)
    if any(len(found) == 2 for name, found in signs.items()):
        return True
    for one, other in pairwise(sorted((a for a in atoms if a.choice), key=lambda a: (a.choice, a.axis))):
        if one.choice == other.choice and one.axis and one.axis == other.axis and one.word != other.word:
            return True
    return False
