"""The facts of a pocket picture: one group of equal objects, or two groups with a relation, on a background."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle

KINDS = ("circle", "square", "triangle", "star", "heart", "cross")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
SIZES = ("usual", "small")
TEXTURES = ("plain", "striped", "dotted")
COUNTS = (1, 2, 3)
BACKGROUNDS = ("white", "grey", "black", "pale blue")
RELATIONS = ("left", "above")

# What is usual goes without saying, as in people's captions: the usual size, plain, on white.
SIZE_WEIGHTS = (0.65, 0.35)
TEXTURE_WEIGHTS = (0.6, 0.2, 0.2)
COUNT_WEIGHTS = (0.6, 0.25, 0.15)
BACKGROUND_WEIGHTS = (0.4, 0.2, 0.2, 0.2)
SINGLE_SHARE = 0.4

# Colour-kind pairs that no training picture shows, neither the reward model's nor a captioner's. Every colour loses
# one kind, so all of them are known from their other pairs.
HELD_PAIRS = frozenset(zip(COLOURS, cycle(KINDS), strict=False))


@dataclass(frozen=True)
class Group:
    """Objects of one look, side by side.

    Attributes:
        kind: one of `KINDS`.
        colour: one of `COLOURS`.
        size: one of `SIZES`; "usual" goes without saying.
        texture: one of `TEXTURES`; "plain" goes without saying.
        count: how many, 1 to 3.
    """

    kind: str
    colour: str
    size: str = "usual"
    texture: str = "plain"
    count: int = 1

    @property
    def held(self) -> bool:
        """Whether its colour and kind are never seen together in training."""
        return (self.colour, self.kind) in HELD_PAIRS


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Two scenes are equal where their facts are equal; `seed` only moves the drawing a little.

    Attributes:
        groups: one or two.
        relation: how the first group stands to the second, "left" or "above" (right and below are the same scenes
            told from the other end); "" for one group.
        background: one of `BACKGROUNDS`; "white" goes without saying.
        seed: of places, shades and noise in the drawing.
    """

    groups: tuple[Group, ...]
    relation: str = ""
    background: str = "white"
    seed: int = 0

    @property
    def facts(self) -> Scene:
        """The scene without its drawing's seed: equal for equal facts."""
        return replace(self, seed=0)

    @property
    def held(self) -> bool:
        """Whether it shows a colour and kind that training never shows together."""
        return any(group.held for group in self.groups)


def sample_group(rng: random.Random, held: bool | None = None) -> Group:
    """A random group; of a held-out colour and kind (True), of no such pair (False), or as it comes (None)."""
    while True:
        colour, kind = rng.choice(COLOURS), rng.choice(KINDS)
        if held is None or ((colour, kind) in HELD_PAIRS) == held:
            break
    return Group(
        kind,
        colour,
        _weighted(rng, SIZES, SIZE_WEIGHTS),
        _weighted(rng, TEXTURES, TEXTURE_WEIGHTS),
        rng.choices(COUNTS, COUNT_WEIGHTS)[0],
    )


def sample_scene(rng: random.Random, held: bool | None = None) -> Scene:
    """A random scene; with at least one held-out pair (True), with none (False), or as it comes (None)."""
    background = _weighted(rng, BACKGROUNDS, BACKGROUND_WEIGHTS)
    seed = rng.getrandbits(32)
    if rng.random() < SINGLE_SHARE:
        return Scene((sample_group(rng, held),), "", background, seed)
    first = sample_group(rng, held)
    second = sample_group(rng, None if held else held)
    while (second.kind, second.colour) == (first.kind, first.colour):
        second = sample_group(rng, None if held else held)
    groups = (first, second) if rng.random() < 0.5 else (second, first)
    return Scene(groups, rng.choice(RELATIONS), background, seed)


def _weighted(rng: random.Random, values: Sequence[str], weights: Sequence[float]) -> str:
    return rng.choices(values, weights)[0]
