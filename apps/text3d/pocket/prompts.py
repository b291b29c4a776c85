"""Random prompts of the pocket world and their splits."""

from __future__ import annotations

import random
from dataclasses import replace

from apps.text3d.pocket.combinations import SPLITS, split_of
from apps.text3d.pocket.sampler import sample
from apps.text3d.pocket.world import World
from apps.text3d.prompts.prompt import Prompt, Relation, Thing
from apps.text3d.prompts.vocabulary import COLOURS, KINDS, RELATIONS, SIZES
from apps.text3d.prompts.writer import write
from common.errors import UsageError

#: Kinds of prompts and how often each is drawn.
LEVELS: dict[str, float] = {"single": 0.25, "several": 0.15, "pair": 0.1, "related": 0.3, "triple": 0.2}


def draw_prompt(rng: random.Random, level: str | None = None) -> Prompt:
    """A random prompt that can be shown.

    Args:
        rng: source of all chance.
        level: of `LEVELS`: `single` thing, `several` of one kind, a `pair` without relation, two `related` things (one
            in six with two on one side), a `triple` with two relations; at random where not given.
    """
    level = level or rng.choices(list(LEVELS), list(LEVELS.values()))[0]
    if level not in LEVELS:
        raise UsageError(f"the pocket world has no prompts of level {level!r}; it has {', '.join(LEVELS)}")
    many = {"pair": 2, "related": 2, "triple": 3}.get(level, 1)
    things = _things(rng, many)
    if level == "several":
        things[0] = replace(things[0], count=rng.randint(2, 4))
    relations: list[Relation] = []
    if level == "related":
        relations = [Relation(0, _name(rng), 1)]
        if rng.random() < 1 / 6:
            side = rng.randrange(2)
            things[side] = replace(things[side], count=2)
    elif level == "triple":
        relations = [Relation(0, _name(rng), 1), _second(rng)]
    made = Prompt("", tuple(things), tuple(relations))
    return replace(made, text=write(made))


def prompts(split: str, count: int, seed: int = 0, level: str | None = None) -> list[Prompt]:
    """Random prompts of a split, without repetitions, in an order that does not depend on `count`.

    Args:
        split: `train`, `validation`, `test_seen`, or `test_held`, where every prompt names a combination that training
            never shows; see `combinations`.
        count: how many.
        seed: which.
        level: of `LEVELS`; all where not given.

    Raises:
        UsageError: no such split or level, or it has not so many prompts.
    """
    if split not in SPLITS:
        raise UsageError(f"the pocket world has no split {split!r}; it has {', '.join(SPLITS)}")
    rng = random.Random(f"text3d {split} {seed}")
    found: dict[Prompt, None] = {}
    for _ in range(200 * count + 2000):
        if len(found) == count:
            return list(found)
        made = draw_prompt(rng, level)
        if split_of(made) == split and _possible(made):
            found.setdefault(made)
    if len(found) == count:
        return list(found)
    raise UsageError(f"the split {split!r} has not {count} prompts of this level; {len(found)} were found")


def worlds(wanted: list[Prompt], seed: int = 0) -> list[World]:
    """A scene for each prompt; each depends on its prompt and the seed alone."""
    return [sample(prompt, random.Random(f"{seed} {write(prompt)}")) for prompt in wanted]


def _things(rng: random.Random, count: int) -> list[Thing]:
    """Things of which no description fits another; nine in ten have a colour, one in four a size."""
    things: list[Thing] = []
    while len(things) < count:
        colour = rng.choice(list(COLOURS)) if rng.random() < 0.9 else None
        size = rng.choice(list(SIZES)) if rng.random() < 0.25 else None
        new = Thing(rng.choice(list(KINDS)), colour, size)
        if not any(new.admits(other) or other.admits(new) for other in things):
            things.append(new)
    return things


def _name(rng: random.Random) -> str:
    return rng.choice(list(RELATIONS))


def _second(rng: random.Random) -> Relation:
    """The third thing's relation: it is what the first or second stands to, or stands itself to the second."""
    return rng.choice([Relation(1, _name(rng), 2), Relation(0, _name(rng), 2), Relation(2, _name(rng), 1)])


def _possible(prompt: Prompt) -> bool:
    """Whether scenes are found for it so easily that `worlds` never fails."""
    try:
        sample(prompt, random.Random(0), tries=40)
    except UsageError:
        return False
    return True
