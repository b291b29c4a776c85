"""Scenes of solids with exact ground truth, and the answers that are true of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from apps.text3d.pocket.solids import ACROSS, UPWARD, Solid
from apps.text3d.prompts.prompt import Prompt, Relation, Thing
from apps.text3d.prompts.questions import NO, YES, Question
from apps.text3d.prompts.relations import truth
from apps.text3d.scenes.base import BOUND


@dataclass(frozen=True)
class World:
    """A scene and the prompt that it shows.

    Attributes:
        prompt: that it was made for; a mutated world keeps the prompt and no longer shows it.
        solids: in the prompt's order.
    """

    prompt: Prompt
    solids: tuple[Solid, ...]

    def distance(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance in metres `(N,)` at points `(N, 3)`, and which solid is nearest `(N,)`."""
        if not self.solids:
            return points.new_full(points.shape[:-1], 4 * BOUND), torch.zeros(points.shape[:-1], dtype=torch.long)
        table = torch.stack([solid.distance(points) for solid in self.solids])
        found = table.min(0)
        return found.values, found.indices

    def answering(self, thing: Thing) -> list[Solid]:
        """The solids that a description is true of, whatever its count."""
        return [solid for solid in self.solids if thing.admits(solid.described)]

    def holds(self, relation: Relation) -> bool | None:
        """Whether a relation of the prompt is true, for the prompt's viewer, of all solids of both things."""
        first = [solid for solid in self.solids if solid.thing == relation.subject]
        second = [solid for solid in self.solids if solid.thing == relation.object]
        return related(relation.name, first, second)

    def answer(self, question: Question) -> str | None:
        """The true answer to a question about a picture of this world that hides nothing; None where undecided.

        Questions about the whole prompt and about several views have no answer here.
        """
        if question.fact == "object":
            return YES if self.answering(question.things[0]) else NO
        if question.fact == "count":
            return YES if len(self.answering(question.things[0])) == question.things[0].count else NO
        if question.fact == "colour":
            colours = {solid.colour for solid in self.answering(question.things[0])}
            return colours.pop() if len(colours) == 1 else None
        if question.fact == "relation" and question.relation is not None:
            first, second = (self.answering(thing) for thing in question.things)
            if not first or not second:
                return NO
            held = related(question.relation, first, second, question.azimuth or 0.0)
            return None if held is None else YES if held else NO
        return None


def related(name: str, first: list[Solid], second: list[Solid], azimuth: float = 0.0) -> bool | None:
    """Whether a relation is true of all pairs: False where it is of one pair not, or where there is no pair."""
    offsets = (
        tuple(a - b for a, b in zip(one.position, other.position, strict=True))
        for one, other in product(first, second)
    )
    answers = [truth(name, offset, azimuth) for offset in offsets]
    if not answers or any(answer is False for answer in answers):
        return False
    return True if all(answers) else None


def clearance(one: Solid, other: Solid) -> float:
    """Metres between the upright cylinders around two solids; negative where these overlap."""
    across = math.dist(one.position[:2], other.position[:2])
    level = across - one.size * ACROSS[one.kind] - other.size * ACROSS[other.kind]
    high = abs(one.position[2] - other.position[2]) - one.size * UPWARD[one.kind] - other.size * UPWARD[other.kind]
    return max(level, high)


def extents(solid: Solid) -> Iterator[tuple[float, float]]:
    """Its least and greatest x, y and z, over all rotations."""
    for axis, reach in enumerate((ACROSS[solid.kind], ACROSS[solid.kind], UPWARD[solid.kind])):
        yield solid.position[axis] - reach * solid.size, solid.position[axis] + reach * solid.size
