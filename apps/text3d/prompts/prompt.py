"""What a prompt says: things and how they stand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.text3d.prompts.vocabulary import COLOURS, COUNT_WORDS, KINDS, MOST_THINGS, RELATIONS, SIZES
from common.errors import UsageError


@dataclass(frozen=True)
class Thing:
    """One or several solids of one description.

    Attributes:
        kind: of `vocabulary.KINDS`.
        colour: of `vocabulary.COLOURS`; None where the prompt leaves it open.
        size: of `vocabulary.SIZES`; None for the usual one.
        count: 1 to 4.
    """

    kind: str
    colour: str | None = None
    size: str | None = None
    count: int = 1

    def __post_init__(self) -> None:
        if (
            self.kind not in KINDS
            or self.colour not in (None, *COLOURS)
            or self.size not in (None, *SIZES)
            or self.count not in COUNT_WORDS
        ):
            raise UsageError(f"the vocabulary has no such thing: {self}")

    def describe(self, count: bool = True) -> str:
        """Words without article, such as `small red cube` or `two red cubes`; without `count`, a bare noun phrase."""
        noun = KINDS[self.kind] if self.count > 1 else self.kind
        number = COUNT_WORDS[self.count] if count and self.count > 1 else None
        return " ".join(word for word in (number, self.size, self.colour, noun) if word)

    def admits(self, other: Thing) -> bool:
        """Whether what is only known to be `self` could be `other`; the counts are not compared."""
        return self.kind == other.kind and self.colour in (None, other.colour) and self.size in (None, other.size)


@dataclass(frozen=True, order=True)
class Relation:
    """`objects[subject]` stands in the relation `name` (of `vocabulary.RELATIONS`) to `objects[object]`."""

    subject: int
    name: str
    object: int


@dataclass(frozen=True)
class Prompt:
    """A parsed prompt. Two prompts are equal where they say the same, however it is worded.

    Attributes:
        text: as the user wrote it.
        objects: up to three things, in the order of their first mention.
        relations: without repetitions, sorted by the thing that completes them.
        unknown: what of the text was not understood, in the user's words; empty where all was.
    """

    text: str = field(compare=False)
    objects: tuple[Thing, ...]
    relations: tuple[Relation, ...] = ()
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.objects) > MOST_THINGS:
            raise UsageError(f"a prompt holds at most {MOST_THINGS} things; this one holds {len(self.objects)}")
        for relation in self.relations:
            ends = (relation.subject, relation.object)
            if (
                relation.name not in RELATIONS
                or ends[0] == ends[1]
                or not all(0 <= end < len(self.objects) for end in ends)
            ):
                raise UsageError(f"not a relation between two of {len(self.objects)} things: {relation}")
        ordered = sorted(set(self.relations), key=lambda one: (max(one.subject, one.object), one))
        object.__setattr__(self, "relations", tuple(ordered))

    @property
    def total(self) -> int:
        """How many solids it asks for."""
        return sum(thing.count for thing in self.objects)

    @property
    def understood(self) -> bool:
        """Whether it asks for something and every word of it was read."""
        return bool(self.objects) and not self.unknown
