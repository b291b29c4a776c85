"""Questions that the pocket vision-language model learns from: true, visible, and no give-away."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from apps.text3d.pocket.prompts import prompts, worlds
from apps.text3d.pocket.solids import Solid
from apps.text3d.pocket.world import World
from apps.text3d.pretraining.pictures import Pictures, load
from apps.text3d.pretraining.questions import SEEN, asked, candidates, described
from apps.text3d.prompts.parser import parse
from apps.text3d.prompts.questions import NO, YES
from common.errors import UsageError

SCENES = 150


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return load("train", SCENES, 16, 0, hidden=True)


def _world(text: str, *solids: Solid) -> World:
    return World(parse(text), solids)


#: A red cube left of a blue sphere, for whoever stands at azimuth 0: left is −y.
CUBE = Solid("cube", "red", 0.3, (0.0, -0.4, 0.0), 0.0, 0, None)
SPHERE = Solid("sphere", "blue", 0.3, (0.0, 0.4, 0.0), 0.0, 1, None)
TRUE = "a red cube left of a blue sphere"


def _answers(text: str, azimuth: float = 0.0, shares: tuple[float, ...] = (1.0, 1.0)) -> dict[str, str]:
    """What is asked about the world of `TRUE` where a question is about `text`, and the answers."""
    world, found = _world(TRUE, CUBE, SPHERE), {}
    for seed in range(60):
        for one, answer in candidates(world, shares, azimuth, parse(text), random.Random(seed)):
            found[one.text] = answer
    return found


def _entire(found: dict[str, str], text: str) -> str | None:
    return next((answer for question, answer in found.items() if f'"{text}"' in question), None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (TRUE, YES),
        ("a blue sphere right of a red cube", YES),
        ("a red cube right of a blue sphere", NO),
        ("a red cube above a blue sphere", NO),
        ("a green cube left of a blue sphere", NO),
        ("two red cubes left of a blue sphere", NO),
        ("a red cone left of a blue sphere", NO),
        ("a red cube", None),  # true, and less than is there
        ("a cube beside a sphere", YES),
    ],
)
def test_the_whole_prompt_is_answered_by_what_stands_there(text: str, answer: str | None) -> None:
    assert _entire(_answers(text), text) == answer


def test_left_and_right_are_asked_as_the_camera_sees_them() -> None:
    question = "In this picture, is the red cube to the left of the blue sphere? Answer Yes or No only."
    assert _answers(TRUE)[question] == YES
    assert _answers(TRUE, azimuth=180)[question] == NO


def test_the_whole_prompt_is_not_asked_from_where_left_is_right() -> None:
    assert _entire(_answers(TRUE, azimuth=180), TRUE) is None
    assert _entire(_answers("a red cube beside a blue sphere", azimuth=180), "a red cube beside a blue sphere") == YES


def test_nothing_is_asked_that_hangs_on_what_is_hidden() -> None:
    found = _answers(TRUE, shares=(1.0, SEEN / 2))
    assert found
    assert not any("exactly" in question or "description" in question for question in found)
    # A blue sphere could be meant, and cannot be seen.
    assert not any("a blue sphere?" in question for question in found)


def test_every_answer_is_true_of_the_world(pictures: Pictures) -> None:
    """The world's own answers, found again from the question alone."""
    for seed, (world, shares) in enumerate(zip(pictures.worlds, pictures.shares, strict=True)):
        other = pictures.worlds[seed - 1].prompt
        for one, answer in candidates(world, shares, pictures.azimuths[seed], other, random.Random(seed)):
            if one.fact == "object":
                assert (answer == YES) == any(one.things[0].admits(solid.described) for solid in world.solids)
            if one.fact == "count":
                number = sum(one.things[0].admits(solid.described) for solid in world.solids)
                assert (answer == YES) == (number == one.things[0].count)


def test_kinds_and_answers_take_turns(pictures: Pictures) -> None:
    rows = asked(pictures, 4, 0)
    kinds = Counter(row.fact for row in rows)
    assert set(kinds) == {"prompt", "object", "colour", "count", "relation"}
    assert max(kinds.values()) < 1.6 * min(kinds.values())
    for fact in ("prompt", "object", "count", "relation"):
        yes = sum(row.answer == YES for row in rows if row.fact == fact) / kinds[fact]
        assert 0.3 < yes < 0.7, fact
    assert max(Counter(row.picture for row in rows).values()) <= 4


def test_the_same_seed_asks_the_same(pictures: Pictures) -> None:
    assert asked(pictures, 3, 1) == asked(pictures, 3, 1)
    assert asked(pictures, 3, 1) != asked(pictures, 3, 2)


def test_no_picture_is_asked_about_a_held_out_prompt_by_its_own_words(pictures: Pictures) -> None:
    """True answers never tell of a combination that training keeps back."""
    kept = {prompt.text for prompt in prompts("test_held", 40, 0)}
    rows = asked(pictures, 4, 0)
    assert not any(row.answer == YES and any(f'"{text}"' in row.text for text in kept) for row in rows)


def test_pictures_that_nobody_looked_behind_are_refused() -> None:
    with pytest.raises(UsageError, match="hidden=True"):
        asked(load("train", 2, 16, 0), 2, 0)


def test_worlds_keep_their_prompts() -> None:
    made = prompts("train", 4, 0)
    assert [world.prompt for world in worlds(made)] == made


def test_what_stands_there_is_told_from_the_cameras_left_to_its_right(pictures: Pictures) -> None:
    world, n = _world(TRUE, CUBE, SPHERE), 5
    angles, shares = [0.0, 180.0, 90.0, 0.0, 0.0], [[1.0, 1.0]] * 3 + [[1.0, 0.1], []]
    many = [world] * 4 + [World(world.prompt, ())]
    rows = described(Pictures(many, pictures.colours[:n], pictures.opacity[:n], angles, [0.0] * n, shares))
    # From the side both stand in one line, and what is hidden cannot be told.
    assert {row.picture: row.answer for row in rows} == {
        0: "red cube, blue sphere",
        1: "blue sphere, red cube",
        4: "nothing",
    }


def test_descriptions_need_to_know_what_is_hidden(pictures: Pictures) -> None:
    bare = Pictures(pictures.worlds, pictures.colours, pictures.opacity, pictures.azimuths, pictures.elevations)
    with pytest.raises(UsageError, match="hidden=True"):
        described(bare)
