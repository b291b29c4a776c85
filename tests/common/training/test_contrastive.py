"""What the contrastive trainings of small CLIP models share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from common.models.clip_folder import compact_tokenizer
from common.training.contrastive import ContrastiveLearner, to_input, to_tokens
from common.training.scheduled import WARMUP

open_clip = pytest.importorskip("open_clip")

TEXT = {"context_length": 8, "vocab_size": 300, "width": 32, "heads": 2, "layers": 1}


class Matching(ContrastiveLearner):
    """Pictures of one colour each, with a text of their own."""

    def __init__(self, steps: int = 6, learning_rate: float = 1e-3) -> None:
        torch.manual_seed(0)
        model = open_clip.CLIP(16, {"image_size": 32, "layers": [1, 1, 1, 1], "width": 4}, TEXT)
        super().__init__(model, 10, steps, 4, learning_rate, seed=3)

    def loss(self, rows: list[int]) -> torch.Tensor:
        pictures = np.stack([np.full((32, 32, 3), 20 * row, np.uint8) for row in rows])
        texts = torch.tensor([[1, 2 + row, 299, 0, 0, 0, 0, 0] for row in rows])
        seen = functional.normalize(self.model.encode_image(to_input(pictures, (0.5,) * 3, (0.3,) * 3)), dim=-1)
        told = functional.normalize(self.model.encode_text(texts), dim=-1)
        return functional.cross_entropy(self.model.logit_scale.exp() * seen @ told.T, torch.arange(len(rows)))


def test_a_resumed_training_equals_an_uninterrupted_one():
    whole, first, second = Matching(), Matching(), Matching()
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.step()  # so that there is something to put back
    second.restore(first.state())
    for _ in range(2):
        second.step()
    assert second.steps == 4
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_the_learning_rate_rises_then_falls_to_nothing():
    learner = Matching(steps=1000, learning_rate=2e-3)
    rates = []
    for learner.steps in range(1001):
        rates.append(learner.rate())
    assert rates[0] == pytest.approx(2e-3 / WARMUP, rel=0.01)
    assert max(rates) == pytest.approx(2e-3, rel=0.05)
    assert int(np.argmax(rates)) == pytest.approx(WARMUP, abs=2)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


def test_the_logits_are_never_multiplied_by_more_than_a_hundred():
    learner = Matching()
    with torch.no_grad():
        learner.model.logit_scale.fill_(9.0)
    assert learner.step()["scale"] == pytest.approx(100.0)


def test_inputs_are_normalised_and_channels_first():
    picture = np.zeros((1, 2, 4, 3), np.uint8)
    picture[0, 1, 2] = (255, 0, 51)
    found = to_input(picture, (0.5, 0.1, 0.2), (0.25, 0.1, 0.4))
    assert found.shape == (1, 3, 2, 4)
    assert found[0, :, 1, 2].tolist() == pytest.approx([2.0, -1.0, 0.0])


def test_a_text_that_is_too_long_keeps_its_end_token():
    tokenizer = compact_tokenizer(["red blue"] * 3, 300, 12)
    ids = to_tokens(tokenizer, ["red " * 50, "red"], 12)
    assert ids.shape == (2, 12)
    assert ids.max(1).values.tolist() == [tokenizer.eos_token_id] * 2
