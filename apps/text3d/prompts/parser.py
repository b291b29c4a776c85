"""Reads prompts: things with colour, size and count, and how they stand to each other.

Rules where English leaves a choice: a relation belongs to the thing named last before it ("a cube left of a ball above
a cone": the ball is above), after "and" or a comma to the thing that the clause is about ("a cube left of a ball and
above a cone": the cube is above); "the ball" means a ball named before where there is one; a plural without a number
means two; "on" means above. Whatever is not understood, and whatever is negated, is named in `Prompt.unknown`.
"""

from __future__ import annotations

from dataclasses import replace

from apps.text3d.prompts import tokens as words
from apps.text3d.prompts.prompt import Prompt, Relation, Thing
from apps.text3d.prompts.tokens import NounPhrase, Token
from apps.text3d.prompts.vocabulary import MOST_THINGS
from common.errors import UsageError


def parse(text: str) -> Prompt:
    """Read a prompt.

    Args:
        text: in English; other words and scripts end in `Prompt.unknown`.

    Raises:
        UsageError: the text is blank.
    """
    if not text.strip():
        raise UsageError("the prompt is empty; describe a scene, such as: a red cube left of a blue sphere")
    return _Parser(text).parse()


class _Parser:
    """One pass over the tokens.

    Attributes:
        subject: the thing that the clause is about.
        last: the thing named last, which a relation directly behind it belongs to; None after unknown words.
        before: the thing named before that, which "it" points at.
        pending: a relation that waits for its object: name, subject and positions.
        fronted: a relation at a clause's start with its object, which waits for its subject.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = words.tokenise(text)
        self.read = [True] * len(self.tokens)  # False: not understood
        self.content = [False] * len(self.tokens)  # True: part of what was understood
        self.objects: list[Thing] = []
        self.relations: list[Relation] = []
        self.named: list[int] = []
        self.subject: int | None = None
        self.last: int | None = None
        self.joined = False
        self.negated = False
        self.pending: tuple[str, int | None, range] | None = None
        self.fronted: tuple[str, int, range] | None = None

    def parse(self) -> Prompt:
        """The whole text."""
        at = 0
        while at < len(self.tokens):
            at = self._step(at)
        self._end_clause()
        return Prompt(self.text, tuple(self.objects), tuple(self.relations), self._unknown())

    def _step(self, at: int) -> int:
        word = self.tokens[at].word
        relation = words.relation_at(self.tokens, at)
        if relation is not None:
            return self._relation(relation[0], range(at, relation[1]))
        phrase = words.noun_phrase(self.tokens, at)
        if phrase is not None and word not in words.JOINERS | words.VERBS | words.RELATIVE | words.NEGATIONS:
            return self._phrase(phrase, at)
        if word in words.PRONOUNS and self._pronoun(at):
            return at + 1
        self._other_word(word, at)
        return at + 1

    def _other_word(self, word: str, at: int) -> None:
        """Take a word or sign that is neither thing nor relation."""
        if word in words.STOPS:
            self._end_clause()
        elif word in words.JOINERS or word == ",":
            self.joined = True
        elif word in words.RELATIVE:
            self.joined = False
        elif word in words.NEGATIONS:
            self.negated, self.last = True, None
            self._lose(range(at, at + 1))
        elif word not in words.ARTICLES | words.VERBS | words.PUNCTUATION:
            self._drop_pending()
            self._lose(range(at, at + 1))
            self.last = None

    def _relation(self, name: str, places: range) -> int:
        """Open a relation; who its subject is depends on the word before it."""
        self._drop_pending()
        if self.negated:
            self._lose(places)
            return places.stop
        start = self.last is None and self.subject is None
        subject = self.subject if self.joined and self.last is not None else self.last
        if subject is None and not start:
            self._lose(places)  # what stands before it was not understood
        else:
            self._keep(places)
            self.pending = (name, subject, places)
        self.joined = False
        return places.stop

    def _phrase(self, phrase: NounPhrase, at: int) -> int:
        """Take a thing, new or named before."""
        places = range(at, phrase.end)
        thing = self._resolve(phrase) if phrase.countable and not self.negated else None
        self.negated = False
        if thing is None:
            self._drop_pending()
            self._lose(places)
            self.last = None
            return phrase.end
        self._keep(places)
        for odd in phrase.odd:
            self._lose(range(odd, odd + 1))
        self._mention(thing)
        return phrase.end

    def _resolve(self, phrase: NounPhrase) -> int | None:
        """Which thing a phrase names, a new one where it points at none; None where there is no room for it."""
        thing = Thing(phrase.kind, phrase.colour, phrase.size, phrase.count)
        if phrase.definite:
            same = [index for index, one in enumerate(self.objects) if one == thing]
            if phrase.ordinal is not None:
                return same[phrase.ordinal] if phrase.ordinal < len(same) else None
            open_to = [index for index, one in enumerate(self.objects) if thing.admits(one)]
            taken = self.pending[1] if self.pending else None
            found = [index for index in same or open_to if index != taken]
            if found:
                return found[-1]
            if phrase.told and (refined := self._refine(thing)) is not None:
                return refined
        if len(self.objects) == MOST_THINGS:
            return None
        self.objects.append(thing)
        return len(self.objects) - 1

    def _refine(self, thing: Thing) -> int | None:
        """Add what "the ball is red" says to a ball of which less was known."""
        for index in reversed(range(len(self.objects))):
            if self.objects[index].admits(thing):
                self.objects[index] = replace(thing, count=self.objects[index].count)
                return index
        return None

    def _pronoun(self, at: int) -> bool:
        """Take "it": behind a relation the thing named before the relation's subject, else the last subject."""
        taken = self.pending[1] if self.pending else None
        found = [index for index in self.named if index != taken]
        if not found or self.negated:
            return False
        self._keep(range(at, at + 1))
        self._mention(found[-1])
        return True

    def _mention(self, thing: int) -> None:
        """Close what waits for this thing."""
        if self.pending is not None:
            name, subject, places = self.pending
            self.pending = None
            if subject is None:
                self.fronted = (name, thing, places)
            elif subject == thing:
                self._lose(places)
            else:
                self.relations.append(Relation(subject, name, thing))
        else:
            self.subject = thing
            if self.fronted is not None:
                name, other, places = self.fronted
                self.fronted = None
                if other == thing or self.joined:
                    self._lose(places)
                else:
                    self.relations.append(Relation(thing, name, other))
        self.last = thing
        self.named.append(thing)
        self.joined = False

    def _drop_pending(self) -> None:
        if self.pending is not None:
            self._lose(self.pending[2])
            self.pending = None

    def _end_clause(self) -> None:
        self._drop_pending()
        if self.fronted is not None:
            self._lose(self.fronted[2])
        self.fronted, self.subject, self.last = None, None, None
        self.joined, self.negated = False, False

    def _keep(self, places: range) -> None:
        for at in places:
            self.content[at] = True

    def _lose(self, places: range) -> None:
        for at in places:
            self.read[at] = self.content[at] = False

    def _unknown(self) -> tuple[str, ...]:
        """Runs of what was not understood, in the user's words, with the small words that lie within them."""
        runs: list[list[int]] = []
        broken = True
        for at, token in enumerate(self.tokens):
            if not self.read[at]:
                if broken:
                    runs.append([token.start, token.end])
                runs[-1][1] = token.end
                broken = False
            elif self.content[at]:
                broken = True
        return tuple(" ".join(self.text[start:end].split()) for start, end in runs)
