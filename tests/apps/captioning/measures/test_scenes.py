"""How true a caption is of a scene: a truth table."""

from __future__ import annotations

import random

import pytest

from apps.captioning.measures.scenes import ATTRIBUTES, score_caption
from apps.captioning.pocket.grammar import write
from apps.captioning.pocket.mutations import MUTATIONS
from apps.captioning.pocket.scene import Group, Scene, sample_scene

PAIR = Scene((Group("star", "red"), Group("circle", "blue", "small", "striped", 2)), "left", "grey", 7)
ALONE = Scene((Group("heart", "pink"),), "", "white", 1)
TRUE = "A red star to the left of two small striped blue circles on grey."


def wrong(score) -> set[str]:
    return {name for name, share in score.attributes.items() if share < 1}


@pytest.mark.parametrize(
    ("caption", "scene"),
    [
        (TRUE, PAIR),
        ("Two tiny striped blue discs right of a red star on a grey background.", PAIR),
        ("On grey, two little blue circles with stripes are right of a red star.", PAIR),
        ("a pink heart", ALONE),
    ],
)
def test_exact(caption, scene):
    score = score_caption(caption, scene)
    assert score.exact
    assert score.grammatical
    assert not score.invented
    assert wrong(score) == set()
    assert set(score.attributes) == set(ATTRIBUTES) - (set() if scene.relation else {"relation"})


@pytest.mark.parametrize(
    ("caption", "attributes", "invented"),
    [
        ("A red star to the right of two small striped blue circles on grey.", {"relation"}, False),
        ("A red star above two small striped blue circles on grey.", {"relation"}, False),
        ("A green star to the left of two small striped blue circles on grey.", {"colour"}, True),
        ("A red heart to the left of two small striped blue circles on grey.", {"kind"}, True),
        ("A small red star to the left of two small striped blue circles on grey.", {"size"}, False),
        ("A red star to the left of two small dotted blue circles on grey.", {"texture"}, False),
        ("A red star to the left of three small striped blue circles on grey.", {"count"}, False),
        ("A red star to the left of two small striped blue circles.", {"background"}, False),
        # Every word stays, what it belongs to does not.
        ("A blue star to the left of two small striped red circles on grey.", {"colour"}, True),
    ],
)
def test_one_wrong_fact(caption, attributes, invented):
    score = score_caption(caption, PAIR)
    assert not score.exact
    assert score.grammatical
    assert score.invented == invented
    assert wrong(score) == attributes


def test_a_wrong_fact_costs_its_share():
    score = score_caption("A green star to the left of two small striped blue circles on grey.", PAIR)
    assert score.attributes["colour"] == 0.5
    assert score.attributes["kind"] == 1


def test_a_missing_group_costs_half_of_every_attribute_and_the_relation():
    score = score_caption("A red star on grey.", PAIR)
    assert not score.exact
    assert not score.invented
    assert score.attributes == {
        **dict.fromkeys(("kind", "colour", "size", "texture", "count"), 0.5),
        "relation": 0,
        "background": 1,
    }


def test_a_group_too_many_costs_half_and_is_invented():
    score = score_caption("A pink heart above a blue star.", ALONE)
    assert not score.exact
    assert score.invented
    assert score.attributes["kind"] == 0.5
    assert score.attributes["background"] == 1
    assert "relation" not in score.attributes


def test_groups_are_matched_from_either_end():
    score = score_caption("Two small striped blue circles to the left of a red star on grey.", PAIR)
    assert wrong(score) == {"relation"}


@pytest.mark.parametrize(
    "caption", ["", "star", "A red stars.", f"{TRUE} {TRUE}", "<pad>", TRUE.replace("red", "rad")]
)
def test_what_is_no_sentence_tells_nothing(caption):
    score = score_caption(caption, PAIR)
    assert not score.exact
    assert not score.grammatical
    assert not score.invented
    assert set(score.attributes.values()) == {0.0}
    assert set(score.attributes) == set(ATTRIBUTES)


def test_own_captions_are_exact_and_mutants_are_not():
    rng = random.Random(0)
    for _ in range(60):
        scene = sample_scene(rng)
        assert score_caption(write(scene, rng), scene).exact
        for mutation in MUTATIONS.values():
            mutant = mutation(scene, rng)
            if mutant is not None:
                score = score_caption(write(mutant, rng), scene)
                assert not score.exact
                assert wrong(score)
