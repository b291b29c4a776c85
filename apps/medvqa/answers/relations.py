"""How far one concept stands for another, and one atom agrees with another."""

from __future__ import annotations

from apps.medvqa.answers.facts import ABNORMAL_AXES
from apps.medvqa.answers.meaning import Atom
from apps.medvqa.answers.terms import ROOT, Concept

#: What is left of a match for each step towards the general, and towards the more special.
GENERAL, SPECIAL = 0.48, 0.9
#: Axes of which "normal size" is the normal value of each.
SIZES, _NORMAL = frozenset({"size", "caliber", "dilation", "thickness"}), "normal_size"
#: Values of different axes that say nearly the same: of what is hollow, of what is counted.
_NEAR = (frozenset({"enlarged", "dilated"}), frozenset({"multiple", "many"}))
#: Ordinal axes that say how much, in their own words each.
EXTENT = frozenset({"severity", "magnitude", "amount"})


def relation(reference: Concept, answer: Concept) -> float:
    """How far one concept stands for another: 1 equal, less for a more general or a more special one, 0 unrelated."""
    if reference.name == answer.name:
        return 1.0
    steps = reference.ancestors.get(answer.name)
    if steps is not None:
        return GENERAL**steps
    steps = answer.ancestors.get(reference.name)
    return SPECIAL**steps if steps is not None else 0.0


def agreement_of(reference: Atom, answer: Atom) -> float:
    """How two known atoms agree: above 0 where they do, −1 where one says what the other denies, 0 unrelated."""
    mine, its = _concepts(reference, answer)
    near = relation(mine, its)
    if near:
        if reference.said == answer.said:
            return _same_sign(reference, answer, near)
        return _opposed(reference, answer)
    if its.name in mine.opposites:
        return -1.0 if reference.said == answer.said else 0.95
    if {mine.axis, its.axis} <= EXTENT and mine.axis != its.axis and mine.rank == its.rank:
        # "A small effusion" and "a mild effusion" say the same.
        return 0.9 if reference.said == answer.said else -1.0
    if mine.kind == "quality" and mine.axis and mine.axis == its.axis and mine.name != its.name:
        # "not enlarged" and "of normal size" say the same.
        if reference.said != answer.said:
            denied, said = (mine, its) if answer.said else (its, mine)
            return 0.95 if said.name.startswith("normal") or denied.name.startswith("normal") else 0.4
        return 0.0
    if {mine.name, its.name} in _NEAR:
        return 0.8 if reference.said == answer.said else -1.0
    if mine.axis != its.axis and {mine.axis, its.axis} <= SIZES and (mine.name == _NORMAL) != (its.name == _NORMAL):
        # "Not widened" and "of normal width"; "not dilated" says nothing of "small".
        return 0.9 if reference.said != answer.said else -1.0
    return _normality(reference, answer)


def _same_sign(reference: Atom, answer: Atom, near: float) -> float:
    mine, its = _concepts(reference, answer)
    if reference.said or near == 1.0:
        # "Abnormal" where a finding is asked says little; a finding where "abnormal" is asked says enough.
        if mine.name == ROOT and mine is not its:
            return 0.85
        return min(near, 0.15) if its.name == ROOT and mine is not its else near
    # Denials: who denies the general denies the special, not the other way round.
    return 0.8 if its.name in mine.ancestors else 0.4


def _opposed(reference: Atom, answer: Atom) -> float:
    mine, its = _concepts(reference, answer)
    if mine.kind in ("side", "region", "anatomy"):
        return -1.0 if mine.name == its.name else 0.0
    if not answer.said:
        # Denied: the reference's finding, or something more general.
        return -1.0 if its.name in mine.ancestors else 0.0
    return -1.0 if mine.name in its.ancestors else 0.0


def _normality(reference: Atom, answer: Atom) -> float:
    """Findings and qualities against "normal", which is the denial of all abnormality."""
    mine, its = _concepts(reference, answer)
    if its.name == ROOT and not answer.said and mine.kind == "quality" and mine.axis in ABNORMAL_AXES:
        if mine.name.startswith("normal"):
            return 0.9 if reference.said else -1.0
        return -1.0 if reference.said else 0.9
    if mine.name == ROOT and its.kind == "quality" and its.axis in ABNORMAL_AXES:
        healthy = answer.said == its.name.startswith("normal")
        return (0.7 if healthy else -1.0) if not reference.said else (-1.0 if healthy else 0.7)
    return 0.0


def _concepts(reference: Atom, answer: Atom) -> tuple[Concept, Concept]:
    if reference.concept is None or answer.concept is None:
        raise ValueError(f"{reference.word} and {answer.word} must both be known")
    return reference.concept, answer.concept
