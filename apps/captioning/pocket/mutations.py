"""Scenes with one fact changed: what a reward has to tell from the true scene.

`pretrain` writes them as the hard negatives of the pocket CLIP, `audit` as its mutants.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from apps.captioning.pocket.scene import BACKGROUNDS, COLOURS, COUNTS, KINDS, SIZES, TEXTURES, Group, Scene

Mutation = Callable[[Scene, random.Random], "Scene | None"]


def mutate(scene: Scene, rng: random.Random, names: Sequence[str] = ()) -> Scene:
    """The scene with one fact changed, by a mutation drawn from those that apply.

    Args:
        scene: the true scene.
        rng: draws the mutation and what it changes to.
        names: keys of `MUTATIONS` to draw from; all where empty.

    Raises:
        ValueError: none of them applies.
    """
    waiting = list(names or MUTATIONS)
    rng.shuffle(waiting)
    for name in waiting:
        changed = MUTATIONS[name](scene, rng)
        if changed is not None:
            return changed
    raise ValueError(f"none of {', '.join(names)} applies to {scene}")


def _attribute(name: str, values: Sequence[Any]) -> Mutation:
    def change(scene: Scene, rng: random.Random) -> Scene | None:
        number = rng.randrange(len(scene.groups))
        group = scene.groups[number]
        other = rng.choice([value for value in values if value != getattr(group, name)])
        return _with(scene, number, replace(group, **{name: other}))

    return change


def _invert(scene: Scene, rng: random.Random) -> Scene | None:
    return replace(scene, groups=scene.groups[::-1]) if scene.relation else None


def _other_axis(scene: Scene, rng: random.Random) -> Scene | None:
    return replace(scene, relation="above" if scene.relation == "left" else "left") if scene.relation else None


def _swap(*names: str) -> Mutation:
    """One attribute changes places between the two groups: every word stays, what it belongs to does not."""

    def change(scene: Scene, rng: random.Random) -> Scene | None:
        if len(scene.groups) < 2:
            return None
        first, second = scene.groups
        differing = [name for name in names if getattr(first, name) != getattr(second, name)]
        if not differing:
            return None
        name = rng.choice(differing)
        groups = (replace(first, **{name: getattr(second, name)}), replace(second, **{name: getattr(first, name)}))
        return _valid(replace(scene, groups=groups))

    return change


def _background(scene: Scene, rng: random.Random) -> Scene | None:
    return replace(scene, background=rng.choice([name for name in BACKGROUNDS if name != scene.background]))


def _with(scene: Scene, number: int, group: Group) -> Scene | None:
    groups = tuple(group if place == number else other for place, other in enumerate(scene.groups))
    return _valid(replace(scene, groups=groups))


def _valid(scene: Scene) -> Scene | None:
    looks = {(group.kind, group.colour) for group in scene.groups}
    return scene if len(looks) == len(scene.groups) else None


MUTATIONS: dict[str, Mutation] = {
    "colour": _attribute("colour", COLOURS),
    "kind": _attribute("kind", KINDS),
    "size": _attribute("size", SIZES),
    "texture": _attribute("texture", TEXTURES),
    "count": _attribute("count", COUNTS),
    "background": _background,
    "relation inverted": _invert,
    "relation other": _other_axis,
    "colours swapped": _swap("colour"),
    "attributes swapped": _swap("size", "texture", "count"),
}


def damage(text: str, rng: random.Random) -> str:
    """A sentence with one or two words dropped, doubled, moved or replaced by another of its words, or all mixed up.

    Now and then the result is a sentence again, of the same scene or of another.
    """
    words = text.split()
    if rng.random() < 0.1:
        return f"{text} {text}" if rng.random() < 0.5 else " ".join(rng.sample(words, len(words)))
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(len(words))
        what = rng.choice(("drop", "double", "move", "replace"))
        if what == "drop" and len(words) > 2:
            words.pop(place)
        elif what == "double":
            words.insert(place, words[place])
        elif what == "move":
            words.insert(rng.randrange(len(words)), words.pop(place))
        else:
            words[place] = rng.choice(words)
    return " ".join(words) if words != text.split() else " ".join([*words, words[-1]])
