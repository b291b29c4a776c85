"""Splits and corpora: what training may see, what it may not, and that seeds mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from apps.captioning.pocket.grammar import read
from apps.captioning.pocket.scene import COLOURS, HELD_PAIRS, KINDS
from apps.captioning.pocket.world import CAPTIONS_PER_PICTURE, SPLITS, load_pocket, load_pocket_corpus
from common.errors import UsageError


def pairs(examples):
    return {(group.colour, group.kind) for example in examples for group in example.scene.groups}


@pytest.mark.parametrize("split", ["train", "validation", "test_seen"])
def test_no_training_picture_shows_a_held_out_combination(split):
    examples = load_pocket(split)
    assert len(examples) == SPLITS[split][0]
    assert not pairs(examples) & HELD_PAIRS
    assert not any(example.scene.held for example in examples)


def test_every_held_out_picture_shows_one():
    examples = load_pocket("test_held")
    assert all(example.scene.held for example in examples)
    assert pairs(examples) >= HELD_PAIRS


def test_training_shows_every_other_combination():
    everything = {(colour, kind) for colour in COLOURS for kind in KINDS}
    assert pairs(load_pocket("train")) == everything - HELD_PAIRS
    # Every colour and every kind is held out once or more, and none of them altogether.
    assert {colour for colour, _ in HELD_PAIRS} == set(COLOURS)
    assert {kind for _, kind in HELD_PAIRS} == set(KINDS)


def test_test_is_half_and_half():
    for limit in (0, 11, 1):
        held = [example.scene.held for example in load_pocket("test", limit)]
        assert len(held) == (limit or 1000)
        assert sum(held) == (len(held) + 1) // 2


def test_a_limit_takes_the_first_pictures():
    assert load_pocket("train", 7) == load_pocket("train", 20)[:7]


def test_ids_and_captions():
    examples = load_pocket("test", 50)
    assert len({example.id for example in examples}) == 50
    for example in examples:
        assert len(example.captions) == CAPTIONS_PER_PICTURE
        assert all(read(caption) == example.scene.facts for caption in example.captions)


def test_a_seed_means_its_pictures():
    one, again, other = (load_pocket("train", 12, seed) for seed in (0, 0, 1))
    assert one == again
    assert [example.scene for example in one] != [example.scene for example in other]
    for left, right in zip(one, again, strict=True):
        assert np.array_equal(np.asarray(left.picture()), np.asarray(right.picture()))
    assert any(
        not np.array_equal(np.asarray(left.picture()), np.asarray(right.picture()))
        for left, right in zip(one, other, strict=True)
    )


def test_splits_are_of_different_pictures():
    drawn = {split: {example.scene for example in load_pocket(split, 300)} for split in ("train", "validation")}
    assert not drawn["train"] & drawn["validation"]


@pytest.mark.parametrize("style", ["captions", "stories"])
def test_the_corpus_tells_of_every_combination_in_words(style):
    corpus = load_pocket_corpus(style, 1500)
    told = [read(sentence) for sentence in corpus]
    assert None not in told
    found = {(group.colour, group.kind) for scene in told for group in scene.groups}
    assert found >= HELD_PAIRS
    assert load_pocket_corpus(style, 100) == corpus[:100]
    assert load_pocket_corpus(style, 100, seed=1) != corpus[:100]


def test_the_two_styles_are_worded_differently():
    captions, stories = set(load_pocket_corpus("captions", 2000)), set(load_pocket_corpus("stories", 2000))
    assert not captions & stories


def test_what_is_not_there_is_named():
    with pytest.raises(UsageError, match="no 'dev'; it has train"):
        load_pocket("dev")
    with pytest.raises(UsageError, match="captions or stories, not 'poems'"):
        load_pocket_corpus("poems")
