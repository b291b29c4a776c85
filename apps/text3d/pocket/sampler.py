"""Draws scenes that are true to a prompt."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from apps.text3d.pocket.combinations import shown_colours
from apps.text3d.pocket.solids import ACROSS, UPWARD, Solid
from apps.text3d.pocket.world import World, clearance, extents
from apps.text3d.prompts.prompt import Prompt, Thing
from apps.text3d.prompts.relations import BESIDE, TRUE_TO_PROMPT, Vector, direction
from apps.text3d.prompts.vocabulary import RELATIONS, SIZES
from apps.text3d.prompts.writer import write
from apps.text3d.scenes.base import BOUND
from common.errors import UsageError

#: Metres of air between any two solids, at the least.
GAP = 0.09
#: More air than `GAP` between related solids: at the most, mostly; and sometimes, so that a third fits between.
AIR, FAR = 0.3, 0.9
#: Metres by which a scene is moved off the middle, at the most, along each axis.
SHIFT = 0.12
#: The bounds of a size drawn at random, as factors of its nominal size.
SPREAD = (0.88, 1.04)
#: Places that are tried for a solid before the scene is begun anew.
_PLACES = 25


def usual_size(prompt: Prompt) -> float:
    """Half the extent in metres of a thing without a size word: all that a prompt asks for must fit side by side."""
    weight = sum(thing.count * SIZES.get(thing.size or "", 1.0) for thing in prompt.objects)
    return min(0.5, 0.8 / max(weight, 1.0))


def sample(prompt: Prompt, rng: random.Random, tries: int = 500) -> World:
    """A scene that shows a prompt: everything it asks for and nothing else.

    Relations hold within 20° of their ideal direction, solids keep `GAP` apart and lie within ±`BOUND`. What the
    prompt leaves open is drawn at random; a colour only among those that training shows with that kind.

    Args:
        prompt: with at least one thing.
        rng: source of all chance.
        tries: scenes that are begun before it gives up.

    Raises:
        UsageError: the prompt is empty, or no scene was found that satisfies all its relations.
    """
    if not prompt.objects:
        raise UsageError(f"nothing to show: no thing was understood in {prompt.text!r}")
    for _ in range(tries):
        solids = _Attempt(prompt, rng).place()
        if solids is not None:
            return World(prompt, tuple(solids))
    raise UsageError(f"no scene was found in which all of this is true: {write(prompt)!r}")


@dataclass(frozen=True)
class _Bond:
    """A placed solid and the relation in which the new one stands to it."""

    name: str
    other: Solid


class _Attempt:
    """One scene, placed thing by thing."""

    def __init__(self, prompt: Prompt, rng: random.Random) -> None:
        self.prompt = prompt
        self.rng = rng
        self.usual = usual_size(prompt)
        self.placed: list[Solid] = []

    def place(self) -> list[Solid] | None:
        """All solids in the prompt's order, None where this attempt failed."""
        for index in self._order():
            thing = self.prompt.objects[index]
            colour = thing.colour or self.rng.choice(shown_colours(thing.kind))
            for _ in range(thing.count):
                if not self._add(index, thing, colour):
                    return None
        return self._centred()

    def _order(self) -> list[int]:
        """Things so that each is related to one before it where that can be."""
        left, order = list(range(len(self.prompt.objects))), list[int]()
        while left:
            known = set(order)
            tied = [
                index
                for index in left
                if any({index} < {one.subject, one.object} <= known | {index} for one in self.prompt.relations)
            ]
            order.append((tied or left)[0])
            left.remove(order[-1])
        return order

    def _add(self, index: int, thing: Thing, colour: str) -> bool:
        size = self.usual * SIZES.get(thing.size or "", 1.0) * self.rng.uniform(*SPREAD)
        solid = Solid(thing.kind, colour, size, (0.0, 0.0, 0.0), self.rng.uniform(0, 360), index, thing.size)
        bonds = self._bonds(index)
        for _ in range(_PLACES):
            solid = replace(solid, position=self._propose(solid, bonds))
            if all(clearance(solid, other) >= GAP for other in self.placed) and all(
                _true(bond, solid.position) for bond in bonds
            ):
                self.placed.append(solid)
                return True
        return False

    def _bonds(self, index: int) -> list[_Bond]:
        bonds = []
        for relation in self.prompt.relations:
            for solid in self.placed:
                if relation.subject == index and relation.object == solid.thing:
                    bonds.append(_Bond(relation.name, solid))
                elif relation.object == index and relation.subject == solid.thing:
                    bonds.append(_Bond(RELATIONS[relation.name], solid))
        return bonds

    def _propose(self, solid: Solid, bonds: list[_Bond]) -> Vector:
        """A place near one of the bonds, or anywhere."""
        draw = self.rng.uniform
        if not bonds:
            room = 0.0 if not self.placed else 1.4
            return (draw(-room, room) / 2, draw(-room, room) / 2, draw(-room, room) / 4)
        bond = self.rng.choice(bonds)
        if bond.name == "beside":
            angle = draw(0, 2 * math.pi)
            toward: Vector = (math.cos(angle), math.sin(angle), 0.0)
        else:
            toward = direction(bond.name)
        reach = UPWARD if toward[2] else ACROSS
        far = solid.size * reach[solid.kind] + bond.other.size * reach[bond.other.kind] + GAP
        far += draw(0, AIR if self.rng.random() < 0.7 else FAR)
        aside = 0.0 if bond.name == "beside" else far * math.tan(math.acos(TRUE_TO_PROMPT)) / 1.5
        x, y, z = (
            base + far * axis + draw(-aside, aside) * (1 - abs(axis))
            for base, axis in zip(bond.other.position, toward, strict=True)
        )
        return (x, y, z)

    def _centred(self) -> list[Solid] | None:
        """Move the scene to the middle and a little off it; None where it is too big."""
        bounds = list(zip(*(list(extents(solid)) for solid in self.placed), strict=True))
        shift = []
        for axis in bounds:
            low, high = min(pair[0] for pair in axis), max(pair[1] for pair in axis)
            slack = BOUND - (high - low) / 2
            if slack < 0:
                return None
            slack = min(slack, SHIFT)
            shift.append(self.rng.uniform(-slack, slack) - (low + high) / 2)
        moved = [
            replace(solid, position=(x + shift[0], y + shift[1], z + shift[2]))
            for solid in self.placed
            for x, y, z in [solid.position]
        ]
        return sorted(moved, key=lambda solid: solid.thing)


def _true(bond: _Bond, position: Vector) -> bool:
    """Whether the bond holds with the sampler's margin."""
    offset = [a - b for a, b in zip(position, bond.other.position, strict=True)]
    length = math.sqrt(sum(part * part for part in offset))
    if bond.name == "beside":
        return abs(offset[2]) <= 0.17 * length and length <= 0.95 * BESIDE
    toward = direction(bond.name)
    return sum(a * b for a, b in zip(offset, toward, strict=True)) >= TRUE_TO_PROMPT * length
