"""Sampled worlds are true to their prompts, and the splits share nothing."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from apps.text3d.pocket.combinations import (
    SPLITS,
    held,
    held_pair,
    held_triple,
    meaning,
    one_way,
    pairs,
    shown_colours,
    split_of,
    triples,
)
from apps.text3d.pocket.prompts import LEVELS, draw_prompt, prompts, worlds
from apps.text3d.pocket.sampler import GAP, sample, usual_size
from apps.text3d.pocket.world import clearance, extents
from apps.text3d.prompts import Prompt, parse, write
from apps.text3d.prompts.vocabulary import COLOURS, KINDS, RELATIONS, SIZES
from common.errors import UsageError


def test_worlds_are_true_to_their_prompts() -> None:
    for world in worlds([prompt for split in SPLITS for prompt in prompts(split, 60, seed=1)], seed=5):
        told = [(at, thing) for at, thing in enumerate(world.prompt.objects) for _ in range(thing.count)]
        assert [solid.thing for solid in world.solids] == [at for at, _ in told]
        for solid, (_, thing) in zip(world.solids, told, strict=True):
            assert thing.admits(solid.described)
            nominal = usual_size(world.prompt) * SIZES.get(thing.size or "", 1.0)
            assert 0.85 * nominal < solid.size < 1.05 * nominal
            assert all(low >= -1 and high <= 1 for low, high in extents(solid))
        assert all(clearance(*two) >= GAP - 1e-9 for two in combinations(world.solids, 2))
        assert all(world.holds(relation) is True for relation in world.prompt.relations)


def test_worlds_depend_on_prompt_and_seed_alone() -> None:
    wanted = prompts("train", 6)
    assert worlds(wanted)[3:] == worlds(wanted[3:])
    assert worlds(wanted) != worlds(wanted, seed=1)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="in which all of this is true"):
        sample(parse("a cube above a ball. The ball is above the cube"), random.Random(0), tries=20)
    with pytest.raises(UsageError, match="nothing to show"):
        sample(parse("a dog"), random.Random(0))
    with pytest.raises(UsageError, match="no split"):
        prompts("test", 1)
    with pytest.raises(UsageError, match="level"):
        prompts("train", 1, level="hard")


def test_splits_are_deterministic_and_share_no_prompt() -> None:
    drawn = {split: prompts(split, 150, seed=2) for split in SPLITS}
    assert drawn["train"][:20] == prompts("train", 20, seed=2)
    assert drawn["train"] != prompts("train", 150, seed=3)
    for one, other in combinations(SPLITS, 2):
        assert not {meaning(prompt) for prompt in drawn[one]} & {meaning(prompt) for prompt in drawn[other]}
    assert all(parse(prompt.text) == prompt for split in SPLITS for prompt in drawn[split])


def test_held_out_combinations_are_never_seen_in_training() -> None:
    seen = [prompt for split in ("train", "validation", "test_seen") for prompt in prompts(split, 300, seed=7)]
    held_prompts = prompts("test_held", 150, seed=7)
    shown_pairs = {pair for prompt in seen for pair in pairs(prompt)}
    shown_triples = {one_way(triple) for prompt in seen for triple in triples(prompt)}
    for prompt in held_prompts:
        new_pairs = set(pairs(prompt)) - shown_pairs
        new_triples = {one_way(triple) for triple in triples(prompt)} - shown_triples
        assert any(held_pair(*pair) for pair in new_pairs) or any(held_triple(triple) for triple in new_triples)
    # What a prompt leaves open is not filled with a held-out pair either.
    for world in worlds([prompt for prompt in seen if any(thing.colour is None for thing in prompt.objects)][:60]):
        assert not any(held_pair(solid.colour, solid.kind) for solid in world.solids)


def test_training_knows_every_word_of_what_is_held_out() -> None:
    for kind in KINDS:
        assert len(shown_colours(kind)) == 6
    for colour in COLOURS:
        assert sum(colour in shown_colours(kind) for kind in KINDS) == 6
    for name in RELATIONS:
        for kind in KINDS:
            taken = [held_triple((kind, name, other)) for other in KINDS]
            assert sum(taken) < len(taken) / 2


def test_a_triple_and_its_mirror_image_are_one() -> None:
    for kind, name, other in [("cube", "left of", "cone"), ("torus", "beside", "cube"), ("cross", "above", "cross")]:
        assert held_triple((kind, name, other)) == held_triple((other, RELATIONS[name], kind))
    one, other = parse("a red cube left of a blue cone"), parse("a blue cone right of a red cube")
    assert meaning(one) == meaning(other)
    assert split_of(one) == split_of(other)
    assert meaning(one) != meaning(parse("a red cube right of a blue cone"))


@pytest.mark.parametrize("level", list(LEVELS))
def test_levels(level: str) -> None:
    rng = random.Random(0)
    drawn = [draw_prompt(rng, level) for _ in range(30)]
    things = {"single": {1}, "several": {1}, "pair": {2}, "related": {2}, "triple": {3}}[level]
    relations = {"related": {1}, "triple": {2}}.get(level, {0})
    assert {len(prompt.objects) for prompt in drawn} == things
    assert {len(prompt.relations) for prompt in drawn} == relations
    assert any(held(prompt) for prompt in drawn)
    assert (max(prompt.total for prompt in drawn) > len(drawn[0].objects)) == (level in ("several", "related"))


def test_the_prompt_of_a_world_is_its_text() -> None:
    prompt: Prompt = prompts("train", 1)[0]
    assert prompt.text == write(prompt)
