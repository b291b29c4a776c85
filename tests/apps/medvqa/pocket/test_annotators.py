"""Careless annotators turn the side round, and nothing else."""

from __future__ import annotations

import re

import pytest

from apps.medvqa.pocket import is_right, load_pocket
from apps.medvqa.pocket.annotators import TURNED, annotated, viewers_side

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


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_so_many_annotators_are_careless_and_always_the_same_ones(share):
    found = [annotated(one, share).answer != one.answer for one in SIDED]
    assert sum(found) / len(found) == pytest.approx(share, abs=0.13)
    assert found == [annotated(one, share).answer != one.answer for one in SIDED]
