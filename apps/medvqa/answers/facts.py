"""Facts out of the segments of a text: what belongs together, and what says the same in other words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from apps.medvqa.answers.meaning import Atom, Fact
from apps.medvqa.answers.numerals import LEVELS
from apps.medvqa.answers.quantities import Quantity
from apps.medvqa.answers.terms import ROOT, Concept, Terms

_SIZE_WORDS = frozenset({"size", "sized", "caliber", "dimension", "width", "diameter"})


@dataclass
class Segment:
    """What stands between two separators."""

    atoms: list[Atom] = field(default_factory=list)
    quantities: list[Quantity] = field(default_factory=list)


def assemble(segments: Iterable[Segment], terms: Terms) -> list[Fact]:
    """The facts of the segments, in order; a segment that says more of the one before is part of it."""
    facts: list[Fact] = []
    for segment in segments:
        if not (segment.atoms or segment.quantities):
            continue
        fact = Fact(tuple(_settled(segment.atoms, terms)), tuple(segment.quantities))
        if facts and not _is_new(facts[-1], fact):
            last = facts.pop()
            atoms = _settled([*last.atoms, *fact.atoms], terms)
            fact = Fact(tuple(atoms), last.quantities + fact.quantities)
        facts.append(fact)
    return [replace(fact, quantities=_merged(fact.quantities)) for fact in facts]


def _merged(quantities: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
    """Grades or levels in a row are a range: "L3, L4 and L5"."""
    names = {one.name for one in quantities}
    grades = sorted({one.low for one in quantities if one.kind == "grade" and not one.is_range})
    least = 2 if names <= LEVELS else 3
    if len(grades) < least or len(grades) != len(quantities) or len(names) > 1:
        return quantities
    if any(after - before != 1 for before, after in pairwise(grades)):
        return quantities
    return (replace(quantities[0], low=grades[0], high=grades[-1]),)


#: Qualities whose values are a departure from the normal.
ABNORMAL_AXES = frozenset(
    {"size", "alignment", "position", "displacement", "dilation", "caliber", "thickness", "patency", "existence"}
)


def names_finding(atom: Atom) -> bool:
    """Whether an atom is a finding, or says of a place what is not normal: "enlarged", said of a heart."""
    return atom.kind == "finding" or (atom.kind == "quality" and atom.axis in ABNORMAL_AXES)


def _is_new(before: Fact, fact: Fact) -> bool:
    """Whether a segment says something of its own, and not more of what was said before."""
    if any(map(names_finding, fact.atoms)) and any(map(names_finding, before.atoms)):
        return True
    if before.quantities and fact.quantities and _side_of(before) and _side_of(fact) not in ("", _side_of(before)):
        # "Right 10 cm, left 12 cm": each side has its own number.
        return True
    heads = {"quality", "state", "modality", "plane"}
    opposed = {atom.said for atom in before.atoms} == {False} and any(atom.said for atom in fact.atoms)
    if any(names_finding(atom) and atom.said for atom in before.atoms) and _has_place(before) and _has_place(fact):
        # "The liver is enlarged, the spleen is normal."
        states = [atom for atom in fact.atoms if atom.kind == "state"]
        if states and not any(atom.said for atom in states):
            return True
    return bool(opposed and any(atom.kind in heads | {"finding"} for atom in fact.atoms))


def _has_place(fact: Fact) -> bool:
    return any(atom.kind == "anatomy" for atom in fact.atoms)


def _side_of(fact: Fact) -> str:
    """The left or right that a fact is about; "" where it names none, or both."""
    found = {atom.word for atom in fact.atoms if atom.word in ("left", "right")}
    return found.pop() if len(found) == 1 else ""


def _settled(atoms: list[Atom], terms: Terms) -> list[Atom]:
    """Normal and abnormal in terms of what they say: of a size, a normal size; of anything else, no abnormality."""
    sized = any(atom.word in _SIZE_WORDS for atom in atoms)
    normal_size, root = terms.concepts.get("normal_size"), terms.concepts.get(ROOT)
    settled = []
    for atom in atoms:
        if atom.word in _SIZE_WORDS:
            continue
        if atom.word == "normal" and sized and normal_size:
            atom = replace(atom, concept=normal_size, word="normal_size")
        elif atom.word in ("normal", "abnormal") and root:
            atom = replace(atom, concept=root, word=root.name, said=atom.said == (atom.word == "abnormal"))
        settled.append(atom)
    names = {atom.word for atom in settled}
    for parts, expansion in terms.joins.items():
        if parts <= names:
            settled = _joined(settled, parts, expansion)
    return settled


def _joined(atoms: list[Atom], parts: frozenset[str], expansion: tuple[tuple[Concept, bool], ...]) -> list[Atom]:
    """Atoms with what some of them say together in their place; denied where the part that can be denied is."""
    inside = [atom for atom in atoms if atom.word in parts]
    said = all(atom.said for atom in inside if atom.kind in ("finding", "quality"))
    certainty = min(atom.certainty for atom in inside)
    choice = max(atom.choice for atom in inside)
    joined = [
        Atom(concept, concept.name, said == value or concept.kind == "anatomy", certainty, choice)
        for concept, value in expansion
    ]
    return [atom for atom in atoms if atom.word not in parts] + joined
