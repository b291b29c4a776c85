"""Leaves that ask a model for probabilities: Likelihood and YesNo, against models whose answers are known."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from common.errors import RewardError
from common.rewards.judges import YesNo
from common.rewards.text.likelihood import Likelihood, mean_log_prob

NAN = math.nan


class Successor:
    """A model of 8 tokens that expects the next number, with odds of e² to 1 for each other."""

    device = torch.device("cpu")
    config = SimpleNamespace(max_position_embeddings=6)

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, 8).scatter_(2, ((input_ids + 1) % 8)[:, :, None], 2.0)
        return SimpleNamespace(logits=logits)


RIGHT = 2 - math.log(math.exp(2) + 7)
WRONG = -math.log(math.exp(2) + 7)


def digits(text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
    return {"input_ids": [int(char) for char in text if char.isdigit()]}


def likelihood(**settings: Any) -> Likelihood:
    reward = Likelihood("absent", template="{prompt}{completion}", **settings)
    tokenizer: Any = digits
    tokenizer.pad_token_id, tokenizer.eos_token_id = 0, 7
    reward._opened = (Successor(), tokenizer)
    return reward


def test_mean_log_prob_of_rows_of_any_length() -> None:
    found = mean_log_prob(Successor(), [[0], [0, 1, 2]], [[1, 2, 3], [4]], 0)
    assert found.tolist() == pytest.approx([RIGHT, WRONG])
    mixed = mean_log_prob(Successor(), [[1]], [[2, 5]], 0)
    assert mixed.item() == pytest.approx((RIGHT + WRONG) / 2)


def test_likelihood_of_the_right_answer() -> None:
    output = likelihood()(
        completion=["1", "5", "", "1", "1"], prompt=["0"] * 5, reference=["2", "2", "2", "", ["7", "2"]]
    )
    assert output.values.tolist() == pytest.approx([RIGHT, WRONG, -10.0, NAN, RIGHT], nan_ok=True)
    asked = [{"role": "user", "content": "0"}]
    assert likelihood()(completion=["1"], prompt=[asked], reference=["2"]).values.item() == pytest.approx(RIGHT)
    assert likelihood(floor=-0.9)(completion=["5"], prompt=["0"], reference=["2"]).values.item() == pytest.approx(-0.9)


def test_a_batch_is_as_its_rows() -> None:
    rows = {"completion": ["1", "12345", "3"], "prompt": ["0"] * 3, "reference": ["2", "6", "456"]}
    whole = likelihood(at_once=3)(**rows).values
    assert torch.allclose(whole, likelihood(at_once=1)(**rows).values)


def test_a_long_context_loses_its_beginning_and_is_counted() -> None:
    reward = likelihood()
    assert reward(completion=["1234567"], prompt=["0"], reference=["0"]).values.item() == pytest.approx(RIGHT)
    assert reward.truncated == 1


def test_braces_of_a_text_are_no_fields() -> None:
    assert (
        likelihood()(completion=["{0} {prompt} 1"], prompt=["{completion}"], reference=["2"]).values.isfinite().all()
    )


@pytest.mark.parametrize("wrong", [{"floor": 0.0}, {"floor": -math.inf}])
def test_a_floor_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(RewardError):
        Likelihood("m", **wrong)


def test_a_template_without_the_completion() -> None:
    with pytest.raises(RewardError, match=r"holds no .completion"):
        Likelihood("m", template="{prompt}")


class Eye:
    """Says yes as far as a picture is red."""

    def __init__(self, mass: float = 1.0, error: bool = False) -> None:
        self.mass = mass
        self.error = error
        self.asked: list[str] = []

    def yes_probability(self, pictures: Any, questions: list[str], opening: str = "") -> torch.Tensor:
        if self.error:
            raise RuntimeError("out of memory")
        self.asked += questions
        if isinstance(pictures, torch.Tensor):
            return pictures[:, 0].mean((1, 2))
        return torch.tensor([picture.getpixel((0, 0))[0] / 255 for picture in pictures])

    def yes_mass(self, pictures: Any, questions: list[str], opening: str = "") -> torch.Tensor:
        return torch.full((len(questions),), self.mass)


RED, BLUE = Image.new("RGB", (2, 2), "red"), Image.new("RGB", (2, 2), "blue")


def test_yes_no_by_whose_fault_it_is() -> None:
    eye = Eye()
    rows = {"images": [RED, BLUE, None, RED, b"no picture"], "completion": ["red", "red", "red", " ", "red"]}
    output = YesNo(eye)(**rows)
    assert output.values.tolist() == pytest.approx([1.0, 0.0, NAN, 0.0, NAN], nan_ok=True)
    assert eye.asked == ["Does this picture show red? Answer yes or no."] * 2, "only what can be answered is asked"
    assert output.info["reason"][3] == "the text is empty"
    assert "cannot be read" in output.info["reason"][4]


@pytest.mark.parametrize("eye", [Eye(mass=1e-4), Eye(error=True)])
def test_a_model_that_says_neither_or_fails_is_nan(eye: Eye) -> None:
    output = YesNo(eye)(images=[RED], completion=["red"])
    assert output.values.isnan().all()


def test_gradient_reaches_a_tensor_of_pictures_where_it_is_asked_for() -> None:
    pictures = torch.rand(2, 3, 4, 4, requires_grad=True)
    YesNo(Eye(), differentiable=True)(images=pictures, completion=["a", "b"]).values.sum().backward()
    assert pictures.grad is not None
    assert pictures.grad.any()
    assert not YesNo(Eye())(images=pictures, completion=["a", "b"]).values.requires_grad


def test_it_pickles_with_a_name_and_needs_the_texts_place() -> None:
    assert pickle.loads(pickle.dumps(YesNo("some/folder"))).vlm == "some/folder"
    with pytest.raises(RewardError, match="the question needs"):
        YesNo(Eye(), question="Is it red?")
