"""Pictures: the same for the same scene, another where a fact is another, and nothing cut off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.captioning.pocket import render
from apps.captioning.pocket.render import RADII, SIDE, draw
from apps.captioning.pocket.scene import COLOURS, KINDS, Group, Scene, sample_scene
from tests.apps.captioning.pocket.strategies import scenes


def pixels(scene: Scene) -> np.ndarray:
    return np.asarray(draw(scene), dtype=int)


@given(scenes())
@settings(max_examples=30, deadline=None)
def test_a_scene_is_drawn_the_same_every_time(scene):
    picture = draw(scene)
    assert picture.size == (SIDE, SIDE)
    assert picture.mode == "RGB"
    assert np.array_equal(pixels(scene), pixels(scene))


@given(scenes(), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_another_seed_moves_the_drawing_only(scene, seed):
    if seed != scene.seed:
        assert not np.array_equal(pixels(scene), pixels(replace(scene, seed=seed)))


@given(scenes(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_changed_fact_changes_the_picture(scene, rng):
    from apps.captioning.pocket.mutations import mutate

    other = mutate(scene, rng)
    # Noise and shades move a pixel by 16 at most.
    assert (np.abs(pixels(scene) - pixels(other)).max(2) > 20).sum() > 8


@given(scenes())
@settings(max_examples=50, deadline=None)
def test_objects_lie_inside_the_picture(scene):
    import random

    layout = render._layout(scene, random.Random(scene.seed))
    assert [len(places) for places in layout] == [group.count for group in scene.groups]
    for group, places in zip(scene.groups, layout, strict=True):
        for x, y in places:
            # A pixel at most is cut off, of the largest objects.
            assert RADII[group.size] - 1 <= x <= SIDE - RADII[group.size] + 1
            assert RADII[group.size] - 1 <= y <= SIDE - RADII[group.size] + 1


@given(scenes(size=2))
@settings(max_examples=50, deadline=None)
def test_the_relation_is_true_of_the_drawing_and_the_other_axis_tells_nothing(scene):
    import random

    first, second = render._layout(scene, random.Random(scene.seed))
    axis = 0 if scene.relation == "left" else 1
    assert max(place[axis] for place in first) < min(place[axis] for place in second)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_every_object_can_be_seen_on_every_background(kind, colour):
    for background in render.BACKGROUND_RGB:
        empty = np.array(render.BACKGROUND_RGB[background])
        picture = pixels(Scene((Group(kind, colour),), "", background, 3))
        assert (np.abs(picture - empty).max(2) > 40).sum() > 60


def test_drawing_is_fast_enough_for_training():
    import random
    import time

    rng = random.Random(0)
    drawn = [sample_scene(rng) for _ in range(50)]
    start = time.process_time()
    for scene in drawn:
        draw(scene)
    assert (time.process_time() - start) / 50 < 0.05
