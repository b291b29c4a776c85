from __future__ import annotations

import math

import pytest

from apps.captioning.measures.diversity import diversity, ends


def figures(captions: list[str], **options: list[bool]) -> dict[str, float]:
    return {result.name: result.value.mean for result in diversity(captions, **options) if result.value is not None}


def test_figures() -> None:
    found = figures(["A dog runs.", "a dog runs", "a cat, a cat, a cat sits on", ""])
    assert found["distinct_captions"] == 0.75
    assert found["vocabulary"] == 6
    assert found["distinct_1"] == pytest.approx(6 / 14)
    assert found["length"] == pytest.approx(14 / 4)
    # "a cat a" and "cat a cat" come twice among six trigrams.
    assert found["repeated"] == pytest.approx((0 + 0 + 2 / 6) / 3)
    assert found["unterminated"] == 0.75
    assert found["empty"] == 0.25


def test_the_captioner_may_say_whether_it_ended() -> None:
    assert figures(["a", "b"], terminated=[True, False])["unterminated"] == 0.5


def test_figures_of_the_set_have_no_interval() -> None:
    value = diversity(["a dog", "a cat"])[0].value
    assert value is not None
    assert math.isnan(value.low)


@pytest.mark.parametrize("text", ["a dog.", 'it says "hi."', "a dog! ", "犬。", "(a dog.)"])
def test_ended(text: str) -> None:
    assert ends(text)


@pytest.mark.parametrize("text", ["a dog", "a dog and", "", '"a dog"'])
def test_cut_off(text: str) -> None:
    assert not ends(text)
