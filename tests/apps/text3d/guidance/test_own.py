"""A reward of the catalogue as a guidance: its gradient, its weight, and what cannot guide a scene."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from apps.text3d.guidance.base import gradient_of
from apps.text3d.guidance.build import build
from apps.text3d.guidance.own import OwnReward
from apps.text3d.guidance.provenance import untrained
from apps.text3d.guidance_config import GuidanceConfig, OwnConfig
from apps.text3d.prompts.parser import parse
from common.errors import UsageError
from common.models.small_vlm import make_small_vlm, save_small_vlm
from common.rewards.base import Reward, RewardOutput
from tests.apps.text3d.guidance.tiny import cameras, pictures, views_of
from tests.common.models.tiny_clip import tiny_clip_folder

PROMPT = parse("a red sphere left of a blue cube")


def guided(weight: Any = 1.0, **reward: Any) -> Any:
    return build(GuidanceConfig(own=OwnConfig(weight, reward)), PROMPT, 0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return f"local-dir:{tiny_clip_folder(tmp_path_factory.mktemp('clip'))}"


@pytest.fixture(scope="module")
def vlm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm")
    words = ["Does this picture show {text}? Answer yes or no. yes no Yes No YES NO " + PROMPT.text] * 4
    save_small_vlm(*make_small_vlm(words), folder)
    return str(folder)


def test_its_gradient_is_that_of_minus_the_mean_score(clip):
    weighted = guided([0, 4.0, 2.0, 10], name="clip_score", clip=clip, prefix="", scale=1.0)
    rgb = pictures(2, 32).requires_grad_()
    loss, figures = weighted.loss(views_of(rgb), cameras(2), 5)
    loss.backward()
    again = pictures(2, 32).requires_grad_()
    reward = weighted.terms["own"].guidance.scored.reward
    (-3.0 * reward(images=again, completion=[PROMPT.text] * 2).values.mean()).backward()
    torch.testing.assert_close(rgb.grad, again.grad)
    assert figures["own.reward"] == pytest.approx(-figures["own"])
    assert figures["own.weight"] == 3.0


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "contrastive_goal", "positive": "a red sphere", "negative": "a blue cube", "form": "softmax"},
        {"name": "yes_no", "differentiable": True, "least": 0.0},
    ],
    ids=lambda spec: spec["name"],
)
def test_goals_and_answers_guide_too(clip, vlm, spec):
    model = {"vlm": vlm} if spec["name"] == "yes_no" else {"clip": clip}
    guidance = guided(**spec, **model).terms["own"].guidance
    rgb = pictures(2, 56).requires_grad_()
    _, gradients, figures = gradient_of(guidance, views_of(rgb), cameras(2), 0)
    assert gradients["rgb"].norm() > 0
    assert 0 < figures["reward"] < 1


class Unsure(Reward):
    """The mean colour of a view; a view that is dark cannot be scored."""

    name, needs, differentiable = "unsure", ("images",), True

    def score(self, **columns: Any) -> RewardOutput:
        mean = columns["images"].mean((1, 2, 3))
        return RewardOutput(torch.where(mean > 0.1, mean, torch.nan), info={"reason": ["dark"] * len(mean)})


def test_views_without_a_score_move_nothing():
    guidance = OwnReward(Unsure(), "a ball")
    rgb = pictures(2)
    rgb[0] = 0
    _, gradients, figures = gradient_of(guidance, views_of(rgb.requires_grad_()), cameras(2), 0)
    assert gradients["rgb"][0].abs().sum() == 0 < gradients["rgb"][1].abs().sum()
    assert figures["unscored"] == 1
    loss, gradients, figures = gradient_of(guidance, views_of(torch.zeros(2, 3, 8, 8).requires_grad_()), cameras(2), 0)
    assert (loss.item(), float(gradients["rgb"].abs().sum()), figures) == (0.0, 0.0, {"unscored": 2.0})


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"name": "yes_no", "vlm": "x"}, r"yes_no has no gradient .* `differentiable` .* --best_of N"),
        ({"name": "token_f1"}, "has no gradient"),
        ({"name": "ref_clip_score", "clip": "x"}, "needs the column 'reference', and a view has images, prompt"),
        ({"name": "clip_scor", "clip": "x"}, "did you mean 'clip_score'"),
        ({}, r"guidance\.own\.reward is empty"),
    ],
    ids=str,
)
def test_what_cannot_guide_is_refused_with_what_to_do(spec, said):
    with pytest.raises(UsageError, match=said):
        guided(**spec)


def test_untrained_weights_in_it_are_named_on_outputs(tmp_path):
    inner = {"name": "clip_score", "clip": f"local-dir:{tmp_path / 'clip-untrained'}"}
    config = GuidanceConfig(own=OwnConfig(1.0, {"name": "clip", "inner": inner, "low": 0, "high": 1}))
    assert "guidance.own.reward clip" in untrained(config)
