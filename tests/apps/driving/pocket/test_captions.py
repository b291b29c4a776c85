"""Captions say what is true, and know of which scenes they are true."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.goals import WORDINGS
from apps.driving.pocket.captions import Caption, masks_of, truths, write
from apps.driving.pocket.facts import FACTS, NAMES
from apps.driving.pocket.scenes import mirrored
from apps.driving.pocket.wordings import CLAUSES, PAIRS, UNHEARD

ANY = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in FACTS.items()})
CLEAR = {name: values[0] for name, values in FACTS.items()}
CRASH = {**CLEAR, "contact": "head-on"}


def row(facts: dict[str, str]) -> np.ndarray:
    return np.array([[FACTS[name].index(facts[name]) for name in NAMES]], np.uint8)


@given(ANY, st.integers(0, 1000))
def test_a_caption_is_true_of_the_scene_it_was_written_for(facts, seed):
    assert truths(row(facts), [write(facts, random.Random(seed))]).all()


@given(ANY, ANY, st.integers(0, 1000))
def test_a_caption_is_true_of_another_scene_only_where_all_its_clauses_are(facts, other, seed):
    caption = write(facts, random.Random(seed))
    said = [clause for clauses in CLAUSES.values() for clause in clauses if caption.masks == masks_of(clause)]
    for clause in said:  # captions of one clause
        holds = all(other[name] in values for name, values in clause.holds)
        assert truths(row(other), [caption])[0, 0] == holds


def test_clear_and_collided_never_share_a_caption_about_traffic():
    rng = random.Random(0)
    for _ in range(200):
        caption = write(CRASH, rng)
        if "colli" in caption.text or "accident" in caption.text or "hit" in caption.text:
            assert not truths(row(CLEAR), [caption]).any()
        assert "the road is clear" not in caption.text


def test_every_value_of_every_fact_is_told_by_some_caption():
    told = {
        (name, value) for clauses in CLAUSES.values() for one in clauses for name, values in one.holds
        for value in values
    }  # fmt: skip
    # That there is no gap goes with nobody being ahead.
    missing = {(name, value) for name, values in FACTS.items() for value in values} - told
    assert missing == {("gap", "none")}


def test_scenes_are_described_in_many_wordings():
    rng = random.Random(1)
    assert len({write(CRASH, rng).text for _ in range(300)}) > 100


def test_the_goals_of_the_rewards_are_trained_on_and_the_unheard_ones_are_not():
    heard = {text for pair in PAIRS for text in (*pair.positive, *pair.negative)}
    for goals in WORDINGS.values():
        assert {goals.positive, goals.negative, goals.safe} <= heard
    heard |= {text for clauses in CLAUSES.values() for clause in clauses for text in clause.texts}
    assert not heard & {text for pair in UNHEARD for text in (*pair.positive, *pair.negative)}


@given(ANY)
def test_a_mirror_swaps_left_and_right_and_a_second_one_swaps_them_back(facts):
    once = mirrored(row(facts))
    assert (mirrored(once) == row(facts)).all()
    seen = {name: FACTS[name][value] for name, value in zip(NAMES, once[0], strict=True)}
    for name in NAMES:
        swapped = facts[name].replace("left", "?").replace("right", "left").replace("?", "right")
        assert seen[name] == swapped


def test_a_caption_without_a_claim_is_true_of_all():
    everything = tuple((1 << len(values)) - 1 for values in FACTS.values())
    facts = np.concatenate([row(CLEAR), row(CRASH)])
    assert truths(facts, [Caption("", everything)]).all()


@pytest.mark.parametrize("pair", PAIRS + UNHEARD)
def test_the_two_sides_of_a_pair_share_no_text(pair):
    assert not set(pair.positive) & set(pair.negative)
