"""What a second vision-language model is asked, what counts as right, and what a constant answer earns."""

from __future__ import annotations

import math

import torch

from apps.text3d.measures.assets import read_assets
from apps.text3d.measures.questions import contrast_for, measure_questions, questions_of
from apps.text3d.pocket.world import World
from apps.text3d.prompts import parse
from apps.text3d.prompts import questions as ask
from common.models.small_vlm import make_small_vlm
from common.models.vlm import VisionLanguageModel
from tests.apps.text3d.measures.made import BLUE, RED, scene, world

PAIR = "a red cube left of a green cone"


class Oracle:
    """A model that knows the world, or always says one thing."""

    def __init__(self, shown: World, always: float | None = None) -> None:
        self.shown, self.always = shown, always
        self.known: dict[str, float] = {}

    def yes_logit(self, pictures, texts):
        return torch.tensor([self.always if self.always is not None else self.known[text] for text in texts])

    def log_prob(self, prompts, answers, end=False):
        colours = [solid.colour for solid in self.shown.solids]
        return torch.tensor([0.0 if answer == colours[0] else -5.0 for answer in answers]), []


def by_name(figures):
    return {figure.name: figure for figure in figures}


def test_left_is_asked_as_each_camera_sees_it():
    asked = questions_of(parse(PAIR), [0, 1], [0.0, 180.0], parse(BLUE))
    left = "In this picture, is the red cube to the left of the green cone? Answer Yes or No only."
    assert {one.rows: one.question.expected for one in asked if one.question.text == left} == {(0,): "Yes", (1,): "No"}
    # The whole prompt holds from its own side only; another scene's prompt is to be denied from everywhere.
    assert [one.rows for one in asked if one.fact == "prompt"] == [(0,)]
    assert [(one.rows, one.question.expected) for one in asked if one.fact == "contrast"] == [
        ((0,), "No"),
        ((1,), "No"),
    ]
    assert [one.rows for one in asked if one.fact == "consistency"] == [(0, 1), (0, 1)]
    assert not any(one.fact == "consistency" for one in questions_of(parse(PAIR), [0], [0.0]))
    unread = questions_of(parse("a torn hat"), [0, 1], [0.0, 180.0])
    assert {one.fact for one in unread} == {"prompt", "consistency"}


def test_the_prompt_to_be_denied_has_nothing_in_common():
    prompts = [parse(text) for text in (RED, PAIR, "a red torus", BLUE)]
    assert contrast_for(prompts, 0).text == BLUE
    # All others are red or hold a torus too.
    assert contrast_for(prompts, 2) is None
    assert contrast_for([parse(RED), parse(RED)], 0) is None
    assert contrast_for([parse("a torn hat"), parse("a soft sofa")], 1).text == "a torn hat"


def test_a_model_that_knows_is_right_and_a_constant_one_gets_half(tmp_path):
    scene(tmp_path / "a", RED)
    oracle = Oracle(world(RED))
    for one in questions_of(parse(RED), [0], [0.0]):
        answer = world(RED).answer(one.question) or one.question.expected
        oracle.known[one.question.text] = 4.0 if answer == ask.YES else -4.0
    found = by_name(measure_questions(oracle, read_assets(tmp_path).found, 1))
    for fact in ("prompt", "object", "colour", "count"):
        assert found[f"questions.{fact}"].value.mean == 1.0, fact
    assert found["questions.balanced"].value.mean == 1.0
    assert found["questions.relation"].value is None
    always = by_name(measure_questions(Oracle(world(RED), 9.0), read_assets(tmp_path).found, 1))
    assert always["questions.prompt"].value.mean == 1.0
    assert always["questions.balanced"].value.mean == 0.5
    mute = by_name(measure_questions(Oracle(world(RED), math.nan), read_assets(tmp_path).found, 1))
    assert mute["questions.prompt"].value is None
    undecided = by_name(measure_questions(Oracle(world(RED), 0.0), read_assets(tmp_path).found, 1))
    assert undecided["questions.balanced"].value.mean == 0.0


def test_a_real_class_of_model_answers_and_its_failure_is_no_wrong_answer(tmp_path, monkeypatch):
    scene(tmp_path / "a", RED, views=4, size=56)
    scene(tmp_path / "b", BLUE, views=4, size=56, guidance={"vlm": {"model": "me", "spatial": 1.0}})
    texts = [one.question.text for one in questions_of(parse(PAIR), [0, 1], [0.0, 90.0], parse(BLUE))]
    vlm = VisionLanguageModel.of(
        *make_small_vlm([f"{text} yes no Yes No {' '.join(ask.COLOURS)}" for text in texts] * 9)
    )
    assets = read_assets(tmp_path).found
    figures = by_name(measure_questions(vlm, assets, 2, "me"))
    assert figures["questions.balanced"].value.n == 2
    assert figures["questions.colour"].value.n == 2
    assert "NOT held out: this model guided 1 of the scenes" in figures["questions.object"].note

    def failing(*_, **__):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(VisionLanguageModel, "yes_logit", failing)
    lost = by_name(measure_questions(vlm, assets, 2))
    assert lost["questions.object"].value is None
    assert lost["questions.object"].lost == 2
    assert lost["questions.object"].wanted
    assert all(math.isnan(value) for value in lost["questions.object"].each)
