"""Which facts of a pocket picture a caption tells right, in words: what the demo shows beside a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.captioning.measures.scenes import best_order
from apps.captioning.pocket.grammar import CAPTIONS, read
from apps.captioning.pocket.scene import BACKGROUNDS, SIZES, TEXTURES, Group, Scene

ATTRIBUTES = ("count", "size", "texture", "colour", "kind")
RELATIONS = {"left": "left of", "above": "above"}
#: What goes without saying; the scene's tables begin with it.
USUAL = {"count": "1", "size": SIZES[0], "texture": TEXTURES[0], "background": BACKGROUNDS[0]}


@dataclass(frozen=True)
class Fact:
    """One fact.

    Attributes:
        name: "colour", "count", "relation", ...; "object" for one that is missing or not there.
        shown: what the picture shows; empty for an object that is told and not there.
        told: what the caption says; empty for an object that it leaves out.
        of: number of the group that it is a fact of; None for the relation, the background and whole objects.
    """

    name: str
    shown: str
    told: str
    of: int | None = None

    @property
    def right(self) -> bool:
        """Whether the caption is right about it."""
        return self.shown == self.told

    @property
    def usual(self) -> bool:
        """Whether it goes without saying: of the usual size, plain, on white."""
        return self.right and USUAL.get(self.name) == self.shown


@dataclass(frozen=True)
class Facts:
    """A caption against a scene.

    Attributes:
        grammatical: the caption is a sentence of the pocket grammar; where it is not, nothing is told.
        facts: all of them, right and wrong.
    """

    grammatical: bool
    facts: tuple[Fact, ...] = ()

    @property
    def wrong(self) -> tuple[Fact, ...]:
        """What the caption is wrong about."""
        return tuple(fact for fact in self.facts if not fact.right)

    def leaves_out(self, group: int) -> bool:
        """Whether the caption says nothing of a group of the scene."""
        return all(fact.of != group for fact in self.facts)

    @property
    def exact(self) -> bool:
        """Whether every fact is told and none is wrong."""
        return self.grammatical and not self.wrong


def compare(caption: str, scene: Scene) -> Facts:
    """Hold what a caption tells against what a scene shows; a relation may be told from either end."""
    told = read(caption)
    if told is None:
        return Facts(False)
    return Facts(True, _told(told, best_order(told, scene), scene))


def name_of(group: Group) -> str:
    """`2 small striped red circles`."""
    kind = CAPTIONS.kinds[group.kind][0][group.count > 1]
    words = [
        str(group.count) if group.count > 1 else "",
        group.size if group.size != USUAL["size"] else "",
        group.texture if group.texture != USUAL["texture"] else "",
        group.colour,
        kind,
    ]
    return " ".join(word for word in words if word)


def _told(told: Scene, order: Sequence[int], scene: Scene) -> tuple[Fact, ...]:
    """The facts where the told groups, in this order, are taken for the shown ones."""
    groups = [told.groups[place] for place in order]
    facts = [
        Fact(name, str(getattr(shown, name)), str(getattr(said, name)), number)
        for number, (shown, said) in enumerate(zip(scene.groups, groups, strict=False))
        for name in ATTRIBUTES
    ]
    facts += [Fact("object", name_of(group), "") for group in scene.groups[len(groups) :]]
    facts += [Fact("object", "", name_of(group)) for group in groups[len(scene.groups) :]]
    if scene.relation and told.relation:
        first, second = (f"{group.colour} {group.kind}" for group in scene.groups)
        shown = f"{first} {RELATIONS[scene.relation]} {second}"
        ends = (first, second) if list(order) == sorted(order) else (second, first)
        facts.append(Fact("relation", shown, f"{ends[0]} {RELATIONS[told.relation]} {ends[1]}"))
    return (*facts, Fact("background", scene.background, told.background))
