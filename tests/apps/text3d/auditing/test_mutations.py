"""Mutants are wrong, differ in what they say they differ in, and are made only where there is something to change."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
import torch

from apps.text3d.auditing.mutations import PICTURES, PROMPTS, WORLDS, written
from apps.text3d.cameras import orbit
from apps.text3d.pocket.prompts import draw_prompt, prompts, worlds
from apps.text3d.pocket.render import render
from apps.text3d.pocket.world import World, clearance, extents
from apps.text3d.prompts import Prompt, parse
from apps.text3d.prompts.questions import semantic, spatial

DRAWN = [draw_prompt(random.Random(seed)) for seed in range(60)]


def says(prompt: Prompt, world: World) -> bool:
    """Whether a world answers all of a prompt's questions as the prompt expects.

    Of colours only Yes and No are asked: "the cube" of a prompt that drops the other cube is not one of two.
    """
    asked = [one for one in (*semantic(prompt), *spatial(prompt, 0.0)) if one.fact != "colour"]
    return all(world.answer(one) == one.expected for one in asked)


@pytest.mark.parametrize("name", list(PROMPTS))
def test_mutated_prompts_are_false_of_the_true_world(name: str) -> None:
    made = 0
    for prompt, world in zip(DRAWN, worlds(DRAWN), strict=True):
        mutant = PROMPTS[name](prompt, random.Random(7))
        if mutant is None:
            continue
        made += 1
        assert mutant != prompt
        assert parse(mutant.text) == mutant
        assert says(prompt, world)
        assert says(mutant, world) == (name == "dropped_object"), (prompt.text, mutant.text)
    assert made >= 15


@pytest.mark.parametrize("name", list(WORLDS))
def test_mutated_worlds_no_longer_show_their_prompt(name: str) -> None:
    made = 0
    for world in worlds(prompts("train", 40, seed=3)):
        mutant = WORLDS[name](world, random.Random(7))
        if mutant is None:
            continue
        made += 1
        assert mutant.prompt is world.prompt
        if name == "extra_object":
            assert says(world.prompt, mutant)  # nothing that is asked for is missing
            assert len(mutant.solids) == len(world.solids) + 1
        else:
            assert not says(world.prompt, mutant)
        assert all(low >= -1 and high <= 1 for solid in mutant.solids for low, high in extents(solid))
        if name != "reshaped":
            assert all(clearance(*two) > 0 for two in combinations(mutant.solids, 2))
    assert made >= 15


def test_nothing_to_change() -> None:
    bare = parse("a cube")
    rng = random.Random(0)
    assert PROMPTS["other_colour"](bare, rng) is None
    assert PROMPTS["swapped_relation"](parse("a cube beside a ball"), rng) is None
    assert PROMPTS["dropped_object"](bare, rng) is None
    assert PROMPTS["added_object"](parse("a cube, a ball and a cone"), rng) is None
    assert WORLDS["turned_round"](worlds([bare])[0], rng) is None
    assert WORLDS["recoloured"](worlds([bare])[0], rng) is None
    assert all(change(World(bare, ()), rng) is None for name, change in WORLDS.items() if name != "extra_object")
    assert PICTURES["mirrored"](torch.rand(1, 3, 8, 8), parse("a cube above a ball"), rng) is None


def test_pictures() -> None:
    prompt = parse("a red cube left of a blue sphere")
    true = render(worlds([prompt]), orbit([0.0], size=56)).rgb
    made = {name: change(true, prompt, random.Random(1)) for name, change in PICTURES.items()}
    assert all(picture is not None and picture.shape == true.shape for picture in made.values())
    red = (true[0, 0] - true[0, 2]).clamp_min(0).sum(0)
    turned = (made["mirrored"][0, 0] - made["mirrored"][0, 2]).clamp_min(0).sum(0)
    assert red[:28].sum() > red[28:].sum()
    assert turned[:28].sum() < turned[28:].sum()
    assert (made["blank"] == 1).all()
    assert 0.45 < made["noise"].mean() < 0.55
    assert torch.equal(made["noise"], PICTURES["noise"](true, prompt, random.Random(1)))


@pytest.mark.parametrize("size", [28, 56, 112])
def test_text_is_drawn_within_the_picture(size: int) -> None:
    ink = 1 - written(torch.ones(1, 3, size, size), "ANSWER\nYES")[0, 0]
    assert ink.max() > 0.8
    assert 0.05 < (ink > 0.5).float().mean() < 0.5
    rows = (ink > 0.5).any(1).nonzero()
    columns = (ink > 0.5).any(0).nonzero()
    assert int(rows.max() - rows.min()) > size / 4
    assert int(columns.min()) > 0
    assert int(columns.max()) < size - 1
    assert torch.equal(written(torch.full((1, 3, size, size), 0.5), ""), torch.full((1, 3, size, size), 0.5))
