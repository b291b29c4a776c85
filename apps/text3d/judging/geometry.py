"""The independent judge: what is really where in a scene's field, which no neural reward sees.

From density and colour on a grid it finds separate things, tells their kind and colour, and compares them with what
the prompt asks for. It measures geometry, not looks: a thing painted on another's surface does not exist for it.
Limits: things of one colour that touch are one component, whose kind is then mostly unclear; solids are recognised in
the pocket world's own proportions, upright, upside down or lying.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from apps.text3d.judging.components import Component, find_components
from apps.text3d.judging.field import read_field
from apps.text3d.judging.matching import held, likeness, match, size_word
from apps.text3d.pocket.sampler import usual_size
from apps.text3d.pocket.solids import VOLUME
from apps.text3d.prompts.prompt import Prompt
from apps.text3d.prompts.vocabulary import SIZES
from apps.text3d.scenes.base import Scene
from common.errors import UsageError

#: A piece with less than this share of the least solid that the prompt could mean is debris.
_DEBRIS = 0.3


@dataclass(frozen=True)
class Verdict:
    """What a scene is worth against its prompt. Shares lie in [0, 1]; NaN where the prompt asks nothing of the sort.

    Attributes:
        object: share of the solids asked for that are there with the right kind.
        colour: share of the coloured solids asked for that are there with the right colour.
        count: share of the things that are there in the right number; a thing that belongs to none counts as one more
            that is wrong.
        relation: share of the relations that hold.
        size: share of the sized solids asked for that are there in that size; not part of `correct`.
        correct: whether the four measures that apply are all 1.
        reasons: what is wrong, in words; empty where `correct`.
        components: what was found.
        level: density per metre that counts as solid; NaN for an empty scene.
        filled: share of the solid volume that were cavities.
        debris: share of the solid volume in pieces too small to count.
    """

    object: float
    colour: float
    count: float
    relation: float
    size: float
    correct: bool
    reasons: tuple[str, ...]
    components: tuple[Component, ...]
    level: float
    filled: float
    debris: float


def judge(
    scene: Scene,
    prompt: Prompt,
    resolution: int = 64,
    level: float | None = None,
) -> Verdict:
    """Judge a scene against the prompt that it should show.

    Args:
        scene: any.
        prompt: with at least one thing.
        resolution: cells along each axis of the grid.
        level: density per metre that counts as solid; found automatically where not given.

    Raises:
        UsageError: the prompt holds no thing.
        TouchstoneError: the scene's density is not finite.
    """
    if not prompt.objects:
        raise UsageError(f"nothing to judge: no thing was understood in {prompt.text!r}")
    usual = usual_size(prompt)
    grid = read_field(scene, resolution, level)
    least = _DEBRIS * (SIZES["small"] * usual) ** 3 * min(VOLUME.values())
    parts = find_components(grid, least)
    return _Comparison(prompt, parts.found, usual).verdict(grid.level, grid.filled, parts.debris)


def unjudged() -> Verdict:
    """The verdict on a prompt of things that the judge does not know: no share is a number, and nothing is correct."""
    nothing, reason = math.nan, "not judged: the judge of geometry knows none of the prompt's things"
    return Verdict(nothing, nothing, nothing, nothing, nothing, False, (reason,), (), nothing, nothing, nothing)


class _Comparison:
    """A prompt beside what was found."""

    def __init__(self, prompt: Prompt, found: tuple[Component, ...], usual: float) -> None:
        self.prompt = prompt
        self.found = found
        self.usual = usual
        self.groups = [[found[index] for index in group] for group in match(found, prompt, usual)]
        self.reasons: list[str] = []

    def verdict(self, level: float, filled: float, debris: float) -> Verdict:
        """Measure everything."""
        measures = {
            "object": self._objects(),
            "colour": self._colours(),
            "count": self._counts(),
            "relation": self._relations(),
        }
        size = self._sizes()
        correct = all(math.isnan(value) or value == 1.0 for value in measures.values())
        return Verdict(
            **measures,
            size=size,
            correct=correct,
            reasons=tuple(self.reasons),
            components=self.found,
            level=level,
            filled=filled,
            debris=debris,
        )

    def _objects(self) -> float:
        right = 0
        for thing, group in zip(self.prompt.objects, self.groups, strict=True):
            right += sum(one.kind == thing.kind for one in group)
            if len(group) < thing.count:
                self.reasons.append(f"missing: {thing.count - len(group)} of {thing.describe()}")
            self.reasons += [
                f"wrong kind: {one.describe()} should be a {thing.kind}" for one in group if one.kind != thing.kind
            ]
        return right / self.prompt.total

    def _colours(self) -> float:
        right = total = 0
        for thing, group in zip(self.prompt.objects, self.groups, strict=True):
            if thing.colour is None:
                continue
            total += thing.count
            right += sum(one.colour == thing.colour for one in group)
            self.reasons += [
                f"wrong colour: {one.describe()} should be {thing.colour}"
                for one in group
                if one.colour != thing.colour
            ]
        return right / total if total else math.nan

    def _counts(self) -> float:
        """Each component, matched or not, counts for the thing that it is most like."""
        matched = {id(one) for group in self.groups for one in group}
        numbers = [len(group) for group in self.groups]
        strangers = 0
        for one in self.found:
            if id(one) in matched:
                continue
            scores = [likeness(one, thing, self.usual) for thing in self.prompt.objects]
            if max(scores) > 0:
                numbers[scores.index(max(scores))] += 1
            else:
                strangers = 1
            self.reasons.append(f"extra: {one.describe()}")
        right = sum(number == thing.count for number, thing in zip(numbers, self.prompt.objects, strict=True))
        return right / (len(self.prompt.objects) + strangers)

    def _relations(self) -> float:
        right = 0
        for one in self.prompt.relations:
            if held(one.name, self.groups[one.subject], self.groups[one.object]):
                right += 1
                continue
            subject, target = self.prompt.objects[one.subject], self.prompt.objects[one.object]
            self.reasons.append(f"not so: {subject.describe()} {one.name} {target.describe()}")
        return right / len(self.prompt.relations) if self.prompt.relations else math.nan

    def _sizes(self) -> float:
        right = total = 0
        for thing, group in zip(self.prompt.objects, self.groups, strict=True):
            if thing.size is not None:
                total += thing.count
                right += sum(size_word(one.size, self.usual) == thing.size for one in group)
        return right / total if total else math.nan
