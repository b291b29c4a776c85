"""What the grammar writes it reads back, and it reads nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.captioning.pocket.grammar import OPPOSITE, STYLES, read, says, write
from apps.captioning.pocket.scene import Group, Scene, sample_scene
from tests.apps.captioning.pocket.strategies import scenes

STAR, CIRCLE = Group("star", "red"), Group("circle", "orange", count=2)
BESIDE = Scene((STAR, CIRCLE), "left", "grey")


@given(scenes(), st.randoms(use_true_random=False), st.sampled_from(sorted(STYLES)))
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back(scene, rng, style):
    sentence = write(scene, rng, style)
    assert read(sentence) == scene.facts, sentence
    assert says(sentence, scene)
    assert sentence[0].isupper()
    assert sentence.endswith(".")


def test_every_wording_of_a_scene_is_read_back():
    rng, told = random.Random(0), set()
    for _ in range(600):
        for style in STYLES:
            sentence = write(BESIDE, rng, style)
            told.add(sentence)
            assert read(sentence) == BESIDE.facts, sentence
    # Many phrasings: patterns, both ends of the relation, synonyms.
    assert len(told) > 200


def test_case_and_the_last_stop_do_not_matter():
    assert read("A RED STAR ON A GREY BACKGROUND") == Scene((STAR,), "", "grey")
    assert read("  a red   star. ") == Scene((STAR,))


@pytest.mark.parametrize(
    ("sentence", "scene"),
    [
        ("A red star to the left of two orange circles on grey.", BESIDE),
        ("Two orange circles right of a red star on grey.", BESIDE),
        ("Two orange circles are to the right of a red star against a grey background.", BESIDE),
        ("A red star with a pair of orange discs to its right on grey.", BESIDE),
        ("Two orange circles with a red star on their left on grey.", BESIDE),
        ("On grey, there is a red star.", Scene((STAR,), "", "grey")),
        ("In front of a grey wall, twin orange discs appeared.", Scene((CIRCLE,), "", "grey")),
        ("We saw a lone scarlet star high above a couple of orange discs.", Scene((STAR, CIRCLE), "above")),
        (
            "I remember a couple of orange discs, and a single red star high above them.",
            Scene((STAR, CIRCLE), "above"),
        ),
    ],
)
def test_either_end_of_a_relation_tells_the_same(sentence, scene):
    assert says(sentence, scene), read(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "A red star to the right of two orange circles on grey.",
        "Two orange circles left of a red star on grey.",
        "A red star above two orange circles on grey.",
        "A red star to the left of two orange circles.",
        "A red star to the left of an orange circle on grey.",
        "A red star on grey.",
        "An orange star to the left of two red circles on grey.",
    ],
)
def test_a_sentence_with_a_false_fact_does_not_tell_the_scene(sentence):
    assert read(sentence) is not None
    assert not says(sentence, BESIDE)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        ".",
        "star",
        "Red star.",
        "A red stars.",
        "Two red star.",
        "A orange circle.",
        "An red star.",
        "An small orange circle.",
        "There are a red star.",
        "There is two red stars.",
        "A red star sit left of two orange circles.",
        "Two orange circles is shown.",
        "Two orange circles with a red star to its left.",
        "A red star with two orange circles to their left.",
        "A red star left of a red star.",
        "A red red star.",
        "A star red.",
        "A striped red star with stripes.",
        "A red star. A red star.",
        "A red star a red star.",
        "A red star..",
        "A red star on a white background.",
        "A red star on a grey background on a grey background.",
        "A red star left of.",
        "A red star and two orange circles.",
        "On grey, a red star.",
        "We saw a red star.",  # the stories' frame around the captions' number
        "A scarlet star.",
        "A red star <|endoftext|>",
        "The quick brown fox jumps over the lazy dog.",
        "A red stár.",
        "A red star\x00.",
    ],
)
def test_nonsense_is_no_sentence(sentence):
    assert read(sentence) is None


@given(scenes(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_caption_said_twice_is_no_sentence(scene, rng):
    sentence = write(scene, rng)
    assert read(f"{sentence} {sentence}") is None
    assert read(f"{sentence.rstrip('.')} {sentence}") is None


@given(scenes(), st.randoms(use_true_random=False), st.data())
@settings(max_examples=50, deadline=None)
def test_a_sentence_without_a_word_is_none_or_tells_other_facts_or_the_same_ones_shorter(scene, rng, data):
    words = write(scene, rng).split()
    place = data.draw(st.integers(0, len(words) - 1))
    found = read(" ".join(words[:place] + words[place + 1 :]))
    # "to the left of" without "to the" is not one word; nothing else says the same with one word less but frames.
    if found is not None and found == scene.facts:
        assert words[place].lower() in {"shown", "to", "on", "is", "are", "sits", "sit"}, words


def test_equal_states_word_two_scenes_alike():
    other = Scene((Group("star", "blue"), CIRCLE), "left", "grey")
    for seed in range(50):
        one, two = write(BESIDE, random.Random(seed)), write(other, random.Random(seed))
        differing = [pair for pair in zip(one.lower().split(), two.lower().split(), strict=True) if len(set(pair)) > 1]
        assert differing == [("red", "blue")]


def test_what_is_usual_goes_without_saying():
    rng = random.Random(0)
    for _ in range(200):
        text = write(Scene((STAR,)), rng).lower()
        assert not any(word in text for word in ("white", "plain", "usual", "background"))


def test_opposites_are_opposites():
    assert all(OPPOSITE[OPPOSITE[name]] == name for name in OPPOSITE)


def test_reading_is_fast_enough_for_a_measure():
    import time

    rng = random.Random(0)
    texts = [write(sample_scene(rng), rng) for _ in range(200)]
    texts += [text.replace("a ", "the ") for text in texts]
    start = time.process_time()
    for text in texts:
        read(text)
    assert time.process_time() - start < 2
