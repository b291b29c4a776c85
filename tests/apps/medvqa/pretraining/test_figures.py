"""The figures tell a model that looks from one that guesses, by the phantoms' own truth."""

from __future__ import annotations

import numpy as np
import pytest

from apps.medvqa.pocket import draw, load_pocket, study_of
from apps.medvqa.pretraining.figures import BLANK, looking, spread, swapped
from apps.medvqa.prompts import target
from common.pictures import load_picture


@pytest.fixture(scope="module")
def heldout():
    return load_pocket("heldout", 60, 2)


class Knowing:
    """Answers right where it is shown the example's own picture, else "yes"; a share of the samples is wrong."""

    def __init__(self, examples, wrong_of=0):
        self.known = {np.asarray(load_picture(one.pictures[0])).tobytes(): target(one) for one in examples}
        self.wrong_of = wrong_of
        self.asked = []

    def generate(self, prompts, max_new_tokens, temperature, n, generator, progress):
        self.asked.append((max_new_tokens, temperature, n))
        progress(len(prompts))
        answers = []
        for place, prompt in enumerate(prompts):
            said = self.known.get(np.asarray(load_picture(prompt.pictures[0])).tobytes(), "<answer>yes</answer>")
            wrong = n - 1 if self.wrong_of and place % self.wrong_of == 0 else 0
            answers.append([said] * (n - wrong) + ["<answer>zebra</answer>"] * wrong)
        return answers


def test_a_model_that_looks_is_right_with_the_true_picture_only(heldout):
    found = looking(Knowing(heldout), heldout)
    assert found["all"]["true"].mean == 1.0
    assert found["all"]["true"].n == 60
    assert found["open"]["blank"].mean == 0.0
    # Another's answer is right by chance only.
    assert found["open"]["swapped"].mean < 0.4
    assert {name for name in found if "combinations" not in name} >= {"all", "open", "closed", "size", "zone"}
    for pair in (("open", "closed"), ("seen combinations", "held-out combinations")):
        assert sum(found[name]["true"].n for name in pair) == 60


def test_a_model_that_does_not_look_is_as_good_without_the_picture(heldout):
    found = looking(Knowing([]), heldout)
    assert found["all"]["true"] == found["all"]["blank"] == found["all"]["swapped"]
    yes = sum(example.answer == "yes" for example in heldout)
    assert found["closed"]["true"].mean == pytest.approx(yes / found["closed"]["true"].n)


def test_mixed_groups_are_counted(heldout):
    model = Knowing(heldout, wrong_of=4)
    found = spread(model, heldout, group=8)
    assert model.asked == [(64, 1.0, 8)]
    assert found["mixed"].mean == pytest.approx(0.25)
    assert found["right"].mean == pytest.approx(0.75 + 0.25 / 8)
    assert spread(Knowing(heldout), heldout)["mixed"].mean == 0.0


def test_swapped_pictures_are_all_there_of_the_same_organ_and_never_the_own_one(heldout):
    pictures = swapped(heldout)
    places = {id(example.pictures[0]): example for example in heldout}
    for example, picture in zip(heldout, pictures, strict=True):
        assert picture is not example.pictures[0]
        assert places[id(picture)].tags["organ"] == example.tags["organ"]
    assert {id(picture) for picture in pictures} == set(places)


def test_the_blank_is_as_bright_as_phantoms_are(heldout):
    mean = np.mean([np.asarray(draw(study_of(example))) for example in heldout])
    assert mean == pytest.approx(BLANK, abs=5)
