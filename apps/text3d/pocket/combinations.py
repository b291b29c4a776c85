"""Which combinations training never shows.

Held out are one in four pairs of colour and kind and one in eight triples of kind, relation and kind, in patterns
that leave every colour, kind and relation to training many times over. A triple and its mirror image ("cube left of
sphere", "sphere right of cube") are one. What remains is divided among the splits by a hash of what a prompt says,
whatever its wording and order, so no two splits share a prompt.
"""

from __future__ import annotations

import hashlib
from itertools import permutations

from apps.text3d.prompts.prompt import Prompt
from apps.text3d.prompts.vocabulary import COLOURS, KINDS, RELATIONS

_COLOURS, _KINDS, _RELATIONS = list(COLOURS), list(KINDS), list(RELATIONS)

#: Splits of seen combinations and the hash's tenths that belong to them; all else that is seen is `train`.
_TENTHS = {0: "validation", 1: "test_seen"}
SPLITS = ("train", "validation", "test_seen", "test_held")

Triple = tuple[str, str, str]


def held_pair(colour: str, kind: str) -> bool:
    """Whether training never shows this colour with this kind."""
    return (_COLOURS.index(colour) + 3 * _KINDS.index(kind)) % 8 in (0, 5)


def one_way(triple: Triple) -> Triple:
    """The same for a triple of kinds and its mirror image."""
    subject, name, other = triple
    return min(triple, (other, RELATIONS[name], subject))


def held_triple(triple: Triple) -> bool:
    """Whether training never asks for subject kind, relation and object kind, however it is put."""
    subject, name, other = one_way(triple)
    return (_KINDS.index(subject) + 3 * _RELATIONS.index(name) + 5 * _KINDS.index(other)) % 8 == 1


def shown_colours(kind: str) -> list[str]:
    """The colours that training shows with a kind."""
    return [colour for colour in COLOURS if not held_pair(colour, kind)]


def pairs(prompt: Prompt) -> list[tuple[str, str]]:
    """The pairs of colour and kind that a prompt names."""
    return [(thing.colour, thing.kind) for thing in prompt.objects if thing.colour is not None]


def triples(prompt: Prompt) -> list[Triple]:
    """The triples of kind, relation and kind that a prompt names."""
    return [(prompt.objects[one.subject].kind, one.name, prompt.objects[one.object].kind) for one in prompt.relations]


def held(prompt: Prompt) -> bool:
    """Whether a prompt names a combination that training never shows."""
    return any(held_pair(*pair) for pair in pairs(prompt)) or any(held_triple(triple) for triple in triples(prompt))


def meaning(prompt: Prompt) -> str:
    """The same text for prompts that ask for the same, in whatever order and from whichever side it is told."""

    def told(order: tuple[int, ...]) -> str:
        place = {index: at for at, index in enumerate(order)}
        facts = []
        for one in prompt.relations:
            way = (place[one.subject], one.name, place[one.object])
            facts.append(min(way, (way[2], RELATIONS[one.name], way[0])))
        things = [
            (thing.kind, thing.colour or "", thing.size or "", thing.count)
            for thing in (prompt.objects[index] for index in order)
        ]
        return repr((things, sorted(facts)))

    return min(told(order) for order in permutations(range(len(prompt.objects))))


def split_of(prompt: Prompt) -> str:
    """The split that a prompt belongs to, of `SPLITS`."""
    if held(prompt):
        return "test_held"
    digest = hashlib.sha256(meaning(prompt).encode()).digest()
    return _TENTHS.get(int.from_bytes(digest[:4], "big") % 10, "train")
