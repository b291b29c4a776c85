"""Careless annotators turn the side round or leave out detail, and nothing else."""

from __future__ import annotations

import re

import pytest

from apps.medvqa.pocket import is_right, load_pocket
from apps.medvqa.pocket.annotators import TURNED, annotated, terse, viewers_side
from tests.apps.medvqa.scripted import score_answer

EXAMPLES = load_pocket("demonstrations", 600, pictures=False)
SIDED = [one for one in EXAMPLES if viewers_side(one) is not one]


def test_the_viewers_side_is_wrong_and_all_else_is_kept():
    assert len(SIDED) > 60
    for example in SIDED:
        other = viewers_side(example)
        assert not is_right(example, other.answer)
        assert re.sub("left|right", "*", other.answer) == re.sub("left|right", "*", example.answer)
        assert (other.question, other.tags["phantom"]) == (example.question, example.tags["phantom"])
        assert other.tags["annotator"] == "viewer"
        assert "patient's" not in other.reasoning


def test_answers_without_a_side_and_pictures_with_a_marker_are_left_alone():
    for example in EXAMPLES:
        if (
            example.tags["organ"] not in TURNED
            or example.kind == "closed"
            or not re.search("left|right", example.answer)
        ):
            assert viewers_side(example) is example


def test_a_terse_answer_is_a_part_of_the_true_one_and_earns_part_of_the_reward():
    short = [(one, terse(one)) for one in EXAMPLES if terse(one) is not one]
    assert len(short) > 60
    for example, other in short:
        left = iter(example.answer.split())
        assert other.answer
        assert all(word in left for word in other.answer.split()), (example.answer, other.answer)
        assert not is_right(example, other.answer)
        assert 0 < score_answer(other.answer, example.answer, example.question).score < 0.8
        assert other.reasoning == example.reasoning


def test_short_answers_are_left_alone():
    for example in EXAMPLES:
        if example.kind == "closed" or example.question_type in ("side", "size", "count", "modality", "organ"):
            assert terse(example) is example


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("flaw", [viewers_side, terse])
def test_so_many_annotators_are_careless_and_always_the_same_ones(flaw, share):
    flawed = [one for one in EXAMPLES if flaw(one) is not one]
    chances = {"viewers": 0.0, "hurried": 0.0, "viewers" if flaw is viewers_side else "hurried": share}
    found = [annotated(one, **chances).answer for one in flawed]
    changed = [answer != one.answer for answer, one in zip(found, flawed, strict=True)]
    assert sum(changed) / len(changed) == pytest.approx(share, abs=0.13)
    assert found == [annotated(one, **chances).answer for one in flawed]
