"""A right answer and what is around it, and what a completion says in its place."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from apps.medvqa.auditing.mutation_words import DENIAL, WORD, YES_NO


@dataclass(frozen=True)
class Told:
    """A right answer and what is around it.

    Attributes:
        answer: the right answer.
        question: what was asked.
        question_type: as `apps.medvqa.data.Example` has it.
        references: all right answers; what they say is true of the picture.
        others: answers to questions of the same type about other pictures.
        choices: what could be chosen from.
    """

    answer: str
    question: str = ""
    question_type: str = ""
    references: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def true_words(self) -> frozenset[str]:
        """What the right answers mention, in lower case."""
        return frozenset(word.lower() for text in (self.answer, *self.references) for word in WORD.findall(text))

    @property
    def denies(self) -> bool:
        """Whether the answer denies something, or the question asks what does not hold."""
        asked = not self.yes_or_no and re.search(r"\b(?:not|except)\b", self.question, re.IGNORECASE)
        return bool(asked or DENIAL.search(self.answer))

    @property
    def yes_or_no(self) -> str:
        """The "yes" or "no" that the answer begins with, or nothing."""
        match = YES_NO.match(self.answer)
        return match[1].lower() if match else ""

    @property
    def stated(self) -> tuple[str, ...]:
        """Those of `others` that say something: no yes or no, and no denial, which may be right here too."""
        return tuple(text for text in self.others if not YES_NO.match(text) and not DENIAL.search(text))


@dataclass(frozen=True)
class Said:
    """What a completion holds.

    Attributes:
        answer: the answer.
        thought: the reasoning before it; None takes the row's own.
    """

    answer: str
    thought: str | None = None


#: Makes another answer of a right one; None where it does not apply.
Change = Callable[[Told, random.Random], "str | None"]
Saying = Callable[[Told, random.Random], "Said | None"]
