"""What a text says: facts made of concepts, each said or denied and more or less certain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from apps.medvqa.answers.quantities import Quantity
from apps.medvqa.answers.terms import Concept

CERTAIN = 3


@dataclass(frozen=True)
class Atom:
    """A concept or an unknown word, as a text uses it.

    Attributes:
        concept: the concept; None for an unknown word.
        word: the word or the concept's name.
        said: False where it is denied.
        certainty: 3 certain, 2 likely, 1 possible.
        choice: number of the "or" group it stands in; 0 for none.
    """

    concept: Concept | None
    word: str
    said: bool = True
    certainty: int = CERTAIN
    choice: int = 0

    @property
    def kind(self) -> str:
        """The concept's kind, or `word`."""
        return self.concept.kind if self.concept else "word"

    @property
    def axis(self) -> str:
        """The concept's axis, or ""."""
        return self.concept.axis if self.concept else ""


@dataclass(frozen=True)
class Fact:
    """A finding with what is said of it; or, where there is no finding, all that a text names."""

    atoms: tuple[Atom, ...] = ()
    quantities: tuple[Quantity, ...] = ()


@dataclass(frozen=True)
class Meaning:
    """What a text says.

    Attributes:
        facts: in order.
        said: yes (True) and no (False), where the text says them.
        denied: it denies without naming what ("not seen", "absent").
        affirmed: it affirms without naming what ("there is").
        refused: it does not answer.
        noncommittal: it commits to nothing ("or anything else").
        certainty: of the yes or no.
        counted_certainty: of the numbers.
        languages: of the words that are not English.
        atoms: number of atoms and quantities.
    """

    facts: tuple[Fact, ...] = ()
    said: frozenset[bool] = frozenset()
    denied: bool = False
    affirmed: bool = False
    refused: bool = False
    noncommittal: bool = False
    certainty: int = CERTAIN
    counted_certainty: int = CERTAIN
    languages: frozenset[str] = frozenset()

    @cached_property
    def atoms(self) -> list[Atom]:
        """All atoms, in order."""
        return [atom for fact in self.facts for atom in fact.atoms]

    @cached_property
    def concepts(self) -> frozenset[str]:
        """Names and axes of the concepts; a text about them takes their senses of a word."""
        known = [atom for atom in self.atoms if atom.concept is not None]
        return frozenset([atom.word for atom in known] + [f"axis {atom.axis}" for atom in known if atom.axis])

    @property
    def quantities(self) -> list[Quantity]:
        """All quantities, in order."""
        return [quantity for fact in self.facts for quantity in fact.quantities]

    @property
    def empty(self) -> bool:
        """Whether nothing at all is said."""
        return not (self.facts or self.said or self.denied or self.affirmed)
