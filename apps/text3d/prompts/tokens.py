"""Tokens of a prompt and the noun phrases among them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from apps.text3d.prompts.vocabulary import (
    COLOUR_WORDS,
    COUNTS,
    KIND_WORDS,
    PLURALS,
    RELATION_PHRASES,
    SIZE_WORDS,
)

#: Marks that say nothing; any other sign that is no word is not understood.
PUNCTUATION = frozenset(",.;:!?\"'()-–—‘’“”…")
STOPS = frozenset(".;:!?…")

ARTICLES = frozenset({"a", "an", "the"})
ORDINALS = {"first": 0, "second": 1, "third": 2}
PRONOUNS = frozenset({"it", "them"})
RELATIVE = frozenset({"which", "that"})
VERBS = frozenset(
    {
        "is",
        "are",
        "be",
        "stands",
        "stand",
        "standing",
        "sits",
        "sit",
        "sitting",
        "lies",
        "lie",
        "lying",
        "placed",
        "located",
        "positioned",
        "rests",
        "resting",
    }
)
#: Words that join things without saying more; `with` brings in the next thing.
JOINERS = frozenset({"and", "with", "there", "exactly"})
#: What follows these is not wanted, so it must not become a thing.
NEGATIONS = frozenset(
    {"no", "not", "never", "without", "nor", "neither", "except", "minus", "isn", "aren", "don", "doesn", "unlike"}
)
#: Amounts that the world cannot show exactly.
AMOUNTS = frozenset(
    {
        "zero",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "dozen",
        "some",
        "several",
        "many",
        "few",
        "multiple",
        "various",
        "any",
        "all",
    }
)
COLOURED = frozenset({"coloured", "colored"})
LEAD_IN = re.compile(
    r"\s*(?:an?|the)?\s*(?:3d\s+)?(?:picture|photo|photograph|image|render|rendering|model|scene)\s+(?:of|with|showing)\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\W_]+|\S")
_LONGEST = max(len(phrase) for phrase in RELATION_PHRASES)


@dataclass(frozen=True)
class Token:
    """A word in lower case, or one sign, and where it stands in the text."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class NounPhrase:
    """Words that name a thing.

    Attributes:
        kind: canonical, as are `colour` and `size`.
        number: what a number word says, None without one.
        plural: whether the noun is one.
        definite: whether it may point back at a thing that was named before ("the").
        ordinal: which of several alike, from 0.
        countable: False where its amount cannot be shown.
        odd: positions of words in it that are not understood.
        told: whether a predicate behind the noun ("is red") says something new of it.
        end: position after it.
    """

    kind: str
    colour: str | None
    size: str | None
    number: int | None
    plural: bool
    definite: bool
    ordinal: int | None
    countable: bool
    odd: tuple[int, ...]
    told: bool
    end: int

    @property
    def count(self) -> int:
        """How many; a plural without a number means two, the fewest that it can mean."""
        return self.number or (2 if self.plural else 1)


def tokenise(text: str) -> list[Token]:
    """Words and signs, after a lead-in such as "a picture of", which says nothing about the scene."""
    lead = LEAD_IN.match(text)
    begin = lead.end() if lead else 0
    return [Token(found.group().lower(), found.start(), found.end()) for found in _TOKEN.finditer(text, begin)]


def relation_at(tokens: list[Token], at: int) -> tuple[str, int] | None:
    """The longest relation phrase that begins here: its name and the position after it."""
    for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
        phrase = tuple(token.word for token in tokens[at : at + length])
        if phrase in RELATION_PHRASES:
            return RELATION_PHRASES[phrase], at + length
    return None


class _Reading:
    """What is known of a noun phrase while it is read."""

    def __init__(self) -> None:
        self.colour: tuple[str, int] | None = None
        self.size: tuple[str, int] | None = None
        self.number: int | None = None
        self.definite = False
        self.ordinal: int | None = None
        self.countable = True
        self.odd: list[int] = []

    def determiner(self, word: str) -> bool:
        """Take a word that may only stand before the adjectives."""
        if word in ARTICLES:
            self.definite = word == "the"
            self.number = None if self.definite else 1
        elif word in COUNTS or word in {"1", "2", "3", "4"}:
            self.number = COUNTS.get(word) or int(word)
        elif word in ORDINALS and self.definite:
            self.ordinal = ORDINALS[word]
        elif word in AMOUNTS or word.isdecimal():
            self.countable, self.number = False, None
        else:
            return False
        return True

    def adjective(self, word: str, at: int) -> None:
        """Take any other word; of two colours or sizes the one nearest to the noun counts."""
        if word in COLOUR_WORDS:
            self.odd += [self.colour[1]] if self.colour else []
            self.colour = (COLOUR_WORDS[word], at)
        elif word in SIZE_WORDS:
            self.odd += [self.size[1]] if self.size else []
            self.size = (SIZE_WORDS[word], at)
        elif word not in COLOURED and word != "-":
            self.odd.append(at)


def noun_phrase(tokens: list[Token], at: int) -> NounPhrase | None:
    """The noun phrase that begins here, None where none does."""
    reading, position = _Reading(), at
    pair = [token.word for token in tokens[at : at + 3]]
    if pair in (["a", "pair", "of"], ["a", "couple", "of"]):
        reading.number, position = 2, at + 3
    while position < len(tokens) and reading.determiner(tokens[position].word):
        position += 1
    while position < len(tokens):
        word = tokens[position].word
        if word in KIND_WORDS:
            return _finished(reading, tokens, position)
        if _ends_phrase(tokens, position):
            return None
        reading.adjective(word, position)
        position += 1
    return None


def _ends_phrase(tokens: list[Token], at: int) -> bool:
    """Whether no adjective stands here."""
    word = tokens[at].word
    if word in ARTICLES | JOINERS | VERBS | RELATIVE | PRONOUNS | NEGATIONS | AMOUNTS or word in COUNTS:
        return True
    return word.isdecimal() or (word in PUNCTUATION and word != "-") or relation_at(tokens, at) is not None


def _finished(reading: _Reading, tokens: list[Token], noun: int) -> NounPhrase:
    end = _predicate(reading, tokens, noun + 1)
    return NounPhrase(
        kind=KIND_WORDS[tokens[noun].word],
        colour=reading.colour[0] if reading.colour else None,
        size=reading.size[0] if reading.size else None,
        number=reading.number,
        plural=tokens[noun].word in PLURALS,
        definite=reading.definite,
        ordinal=reading.ordinal,
        countable=reading.countable,
        odd=tuple(sorted(reading.odd)),
        told=end > noun + 1,
        end=end,
    )


def _predicate(reading: _Reading, tokens: list[Token], at: int) -> int:
    """Read "that is red" or "is small and red" behind a noun; the position after it, or `at` where there is none."""
    position = at
    if position < len(tokens) and tokens[position].word in RELATIVE:
        position += 1
    if position >= len(tokens) or tokens[position].word not in {"is", "are"}:
        return at
    position += 1
    found: list[int] = []
    while position < len(tokens):
        word = tokens[position].word
        if word in COLOUR_WORDS or word in SIZE_WORDS:
            found.append(position)
        elif word != "and" or not found:
            break
        position += 1
    if not found or (position < len(tokens) and tokens[position].word in KIND_WORDS):
        return at
    for place in found:
        reading.adjective(tokens[place].word, place)
    return found[-1] + 1
