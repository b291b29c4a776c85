"""A mutation changes a fact, and says so where it cannot."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.captioning.pocket.grammar import read, write
from apps.captioning.pocket.mutations import MUTATIONS, mutate
from apps.captioning.pocket.scene import Group, Scene
from tests.apps.captioning.pocket.strategies import scenes

ALONE = Scene((Group("star", "red"),))
PAIR = Scene((Group("star", "red"), Group("circle", "blue", "small", "plain", 2)), "left", "grey", 5)
TWINS = Scene((Group("star", "red"), Group("circle", "red")), "above")
ALWAYS = ("size", "texture", "count", "background")


@given(scenes(), st.randoms(use_true_random=False), st.sampled_from(sorted(MUTATIONS)))
@settings(max_examples=100, deadline=None)
def test_a_mutant_tells_another_fact(scene, rng, name):
    mutant = MUTATIONS[name](scene, rng)
    if mutant is None:
        assert name not in ALWAYS
        return
    assert mutant.facts != scene.facts
    looks = [(group.kind, group.colour) for group in mutant.groups]
    assert len(set(looks)) == len(looks)
    assert bool(mutant.relation) == (len(mutant.groups) == 2)
    assert mutant.seed == scene.seed
    # It is a scene of the same world: it can be told, and that is another sentence.
    assert read(write(mutant, random.Random(0))) == mutant.facts
    assert write(mutant, random.Random(1)) != write(scene, random.Random(1))


@given(scenes(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_some_mutation_always_applies(scene, rng):
    assert mutate(scene, rng).facts != scene.facts


@given(scenes(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_one_attribute_is_changed_and_no_other(scene, rng):
    for name in ("colour", "kind", "size", "texture", "count"):
        mutant = MUTATIONS[name](scene, rng)
        if mutant is None:
            continue
        fields = ("kind", "colour", "size", "texture", "count")
        pairs = list(zip(scene.groups, mutant.groups, strict=True))
        changed = [field for one, two in pairs for field in fields if getattr(one, field) != getattr(two, field)]
        assert changed == [name]
        assert (mutant.relation, mutant.background) == (scene.relation, scene.background)


def test_which_mutations_apply():
    def applying(scene: Scene) -> set[str]:
        return {name for name, mutation in MUTATIONS.items() if mutation(scene, random.Random(0)) is not None}

    relational = {"relation inverted", "relation other"}
    # They differ in kind alone, so there is nothing else to swap.
    assert applying(TWINS) == set(MUTATIONS) - {"colours swapped", "attributes swapped"}
    assert applying(PAIR) == set(MUTATIONS)
    assert not applying(ALONE) & {*relational, "colours swapped", "attributes swapped"}
    assert applying(ALONE) >= set(ALWAYS)


def test_relations():
    rng = random.Random(0)
    inverted = MUTATIONS["relation inverted"](PAIR, rng)
    assert inverted.groups == PAIR.groups[::-1]
    assert inverted.relation == "left"
    assert MUTATIONS["relation other"](PAIR, rng).relation == "above"
    assert MUTATIONS["relation other"](TWINS, rng).relation == "left"


def test_the_names_choose():
    for seed in range(20):
        assert mutate(PAIR, random.Random(seed), ("background",)).groups == PAIR.groups
    with pytest.raises(ValueError, match="none of relation inverted applies"):
        mutate(ALONE, random.Random(0), ("relation inverted",))
