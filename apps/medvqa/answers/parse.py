"""From a text to what it says."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from apps.medvqa.answers.cues import CUE_WORDS, FILLERS
from apps.medvqa.answers.meaning import Meaning
from apps.medvqa.answers.numerals import GRADE_WORDS, NUMBER_WORDS, ORDINALS, UNIT_NAMES, graded
from apps.medvqa.answers.quantities import Quantity
from apps.medvqa.answers.reading import Reading
from apps.medvqa.answers.terms import Terms, load_terms
from apps.medvqa.answers.text import SHORTEST_SLIP, Token, clean, near, normal, shortened, tokens

#: Words that no misspelling is looked for in, beside those of the tables.
_KNOWN = (FILLERS, CUE_WORDS, NUMBER_WORDS, ORDINALS, UNIT_NAMES)


class Parser:
    """Reads texts with the given terms.

    Args:
        terms: the words it knows.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._shortened: dict[str, list[str]] = {}
        for word in terms.words:
            if len(word) >= SHORTEST_SLIP:
                for short in shortened(word):
                    self._shortened.setdefault(short, []).append(word)
        self._nearest = lru_cache(maxsize=65536)(self._find_nearest)

    def parse(self, text: str, context: frozenset[str] = frozenset()) -> Meaning:
        """What a text says.

        Args:
            text: an answer, a reference or a question.
            context: names of concepts; a phrase with several senses takes the first that has one of them.
        """
        reading = Reading(self.terms, context)
        reading.read(self.tokens(text))
        return reading.meaning()

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text, slips of the pen put right and phrases rewritten."""
        return self.terms.rewritten(self._corrected(tokens(clean(text))))

    def _corrected(self, found: list[Token]) -> list[Token]:
        result: list[Token] = []
        for token in found:
            if len(token.text) < SHORTEST_SLIP or not self._unknown(token.text):
                result.append(token)
            elif parts := self._compound(token.text):
                result += [Token(part, part) for part in parts]
            elif rest := self._denied(token.text):
                result += [Token("non", "non"), replace(token, text=rest)]
            else:
                result.append(replace(token, text=self._nearest(token.text)))
        return result

    def _compound(self, word: str) -> tuple[str, ...]:
        """The two words of an unknown German compound: "lungenmetastase" is lung and metastasis; () for others."""
        known = self.terms.compounding
        for at in range(4, len(word) - 3):
            if word[at:] in known:
                stems = (word[:at], word[:at].removesuffix("s"), word[:at].removesuffix("en"), word[:at] + "e")
                left = next((stem for stem in stems if stem in known), "")
                if left:
                    return left, word[at:]
        return ()

    def _denied(self, word: str) -> str:
        """What an unknown word denies by its prefix: "cavitating" of "noncavitating"; "" where it denies nothing."""
        rest = next((normal(word[len(one) :]) for one in ("non", "un") if word.startswith(one)), "")
        return rest if len(rest) >= SHORTEST_SLIP and rest in self.terms.words else ""

    def _unknown(self, word: str) -> bool:
        return word.isalpha() and not any(word in known for known in (self.terms.words, *_KNOWN))

    def _find_nearest(self, word: str) -> str:
        """The known word that a misspelt one stands for; the word itself where there is none."""
        for short in shortened(word):
            for known in self._shortened.get(short, ()):
                if near(word, known):
                    return known
        return word


@lru_cache(maxsize=8)
def load_parser(tables: tuple[str, ...] = ()) -> Parser:
    """The parser of the shipped and further tables; made once a process."""
    return Parser(load_terms(tables))


def as_grade(text: str, question: str) -> Quantity | None:
    """A text that is nothing but a grade: "III", "3", "IIIa"; a lone I, V or X where the question asks for one."""
    plain = text.strip().lower().rstrip(".")
    found = graded(plain)
    if found is None or (plain in "ivx" and not GRADE_WORDS & {token.text for token in tokens(question)}):
        return None
    return Quantity(found[0], found[0], "", "grade", suffix=found[1])
