"""Questions about pictures of the pocket world, with the exact truth, for a vision-language model to learn from.

A picture is asked not only about what its own prompt says, but about what a slightly wrong prompt says and about
another scene's: while a scene takes shape, most of what the reward asks for is not there yet.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from apps.text3d.auditing.mutations import PROMPTS
from apps.text3d.pocket.world import World, related
from apps.text3d.pretraining.pictures import Pictures
from apps.text3d.prompts.prompt import Prompt
from apps.text3d.prompts.questions import NO, YES, Question, semantic, spatial, told_from, whole
from common.errors import UsageError

#: The least part of a solid's outline that must be seen where a question hangs on it.
SEEN = 0.4
#: Metres to the right of one solid from where on another counts as standing right of it.
APART = 0.1
DESCRIBE = "What stands in this picture, from left to right?"
#: Where a picture's questions come from, and how often.
SOURCES = {"own": 0.4, "changed": 0.35, "other": 0.25}


@dataclass(frozen=True)
class Row:
    """A question about a picture.

    Attributes:
        picture: its number.
        text: the question, with the form of the answer.
        answer: the truth.
        fact: of `prompts.questions.FACTS`.
    """

    picture: int
    text: str
    answer: str
    fact: str


def asked(pictures: Pictures, each: int, seed: int) -> list[Row]:
    """`each` questions about every picture, fewer where no more can be answered from what is seen.

    Of what a picture can be asked, that fact and answer are taken which were taken least before: most relations do not
    hold between most things, and "No" would be a good guess.

    Args:
        pictures: with `shares`.
        each: questions to a picture.
        seed: of the choice.

    Raises:
        UsageError: nobody looked how much of the solids is seen.
    """
    _needs_shares(pictures)
    rng = random.Random(f"questions {seed}")
    rows: list[Row] = []
    given: Counter[tuple[str, str]] = Counter()
    for picture, world in enumerate(pictures.worlds):
        other = pictures.worlds[rng.randrange(len(pictures))].prompt
        found = candidates(world, pictures.shares[picture], pictures.azimuths[picture], other, rng)
        rows += [Row(picture, one.text, answer, one.fact) for one, answer in _balanced(found, each, given, rng)]
    return rows


def described(pictures: Pictures) -> list[Row]:
    """What each picture shows, from left to right as the camera sees it: solid after solid, or that there is none.

    Yes and no say little of what was missed: asked alone, so small a model guesses for thousands of steps. Left out
    are pictures with something hidden, or with solids too near to each other's line to say which comes first.

    Args:
        pictures: with `shares`.

    Raises:
        UsageError: nobody looked how much of the solids is seen.
    """
    _needs_shares(pictures)
    rows: list[Row] = []
    for picture, world in enumerate(pictures.worlds):
        angle = math.radians(pictures.azimuths[picture])
        places = [one.position[1] * math.cos(angle) - one.position[0] * math.sin(angle) for one in world.solids]
        order = sorted(range(len(places)), key=places.__getitem__)
        apart = all(places[after] - places[before] > APART for before, after in pairwise(order))
        if apart and all(share >= SEEN for share in pictures.shares[picture]):
            solids = (world.solids[at] for at in order)
            told = ", ".join(f"{one.colour} {one.kind}" for one in solids) or "nothing"
            rows.append(Row(picture, DESCRIBE, told, "description"))
    return rows


def candidates(
    world: World, shares: Sequence[float], azimuth: float, other: Prompt, rng: random.Random
) -> list[tuple[Question, str]]:
    """Questions that a picture of this world answers, with the answer; each text once.

    Args:
        world: what is shown.
        shares: how much of each solid is seen.
        azimuth: of the camera, in degrees.
        other: another scene's prompt.
        rng: draws the wrong prompt.
    """
    source = rng.choices(list(SOURCES), list(SOURCES.values()))[0]
    prompt: Prompt | None = world.prompt
    if source == "changed":
        prompt = PROMPTS[rng.choice(list(PROMPTS))](world.prompt, rng)
    elif source == "other":
        prompt = other
    prompt = prompt or world.prompt
    found: dict[str, tuple[Question, str]] = {}
    entire = [whole(prompt)] if told_from(prompt, azimuth) else []
    for one in [*entire, *semantic(prompt, contrasts=True), *spatial(prompt, azimuth, undecided=True)]:
        answer = shows(world, prompt) if one.fact == "prompt" else world.answer(one)
        if answer is not None and _visible(one, world, shares):
            found[one.text] = (one, answer)
    return list(found.values())


def _needs_shares(pictures: Pictures) -> None:
    if len(pictures.shares) != len(pictures):
        raise UsageError("questions need to know what is hidden: load the pictures with hidden=True")


def shows(world: World, prompt: Prompt) -> str | None:
    """Whether a world shows a prompt and nothing else; None where it shows more, or a relation is too near to call."""
    shown = [len(world.answering(thing)) for thing in prompt.objects]
    if any(number < thing.count for number, thing in zip(shown, prompt.objects, strict=True)):
        return NO
    ends = [(one.name, prompt.objects[one.subject], prompt.objects[one.object]) for one in prompt.relations]
    held = [related(name, world.answering(first), world.answering(second)) for name, first, second in ends]
    if False in held:
        return NO
    exact = shown == [thing.count for thing in prompt.objects] and prompt.total == len(world.solids)
    return YES if exact and all(held) else None


def _visible(question: Question, world: World, shares: Sequence[float]) -> bool:
    """Whether what decides the answer is seen: all solids that the question's words, whatever the number, could mean.

    The whole prompt and a count hang on every solid, since one that is hidden could be one more.
    """
    if question.fact in ("prompt", "count"):
        return all(share >= SEEN for share in shares)
    meant = [
        share
        for solid, share in zip(world.solids, shares, strict=True)
        if any(thing.admits(solid.described) for thing in question.things)
    ]
    return all(share >= SEEN for share in meant)


def _balanced(
    found: list[tuple[Question, str]], each: int, given: Counter[tuple[str, str]], rng: random.Random
) -> list[tuple[Question, str]]:
    """Up to `each` of them, always of the fact and answer that were `given` least so far, which is counted on."""
    left = rng.sample(found, len(found))
    chosen: list[tuple[Question, str]] = []
    while left and len(chosen) < each:
        # A colour is one of eight answers, yes one of two: facts come equally often where answers do as often as that.
        at = min(
            range(len(left)), key=lambda place: given[left[place][0].fact, left[place][1]] * _answers(left[place])
        )
        one, answer = left.pop(at)
        given[one.fact, answer] += 1
        chosen.append((one, answer))
    return chosen


def _answers(asked: tuple[Question, str]) -> int:
    """How many answers its question offers."""
    return len(asked[0].choices)
