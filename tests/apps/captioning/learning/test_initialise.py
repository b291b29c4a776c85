"""Text-only initialisation: every token is learnt, noise keeps features on the sphere, the loss falls."""

from __future__ import annotations

import math

import pytest
import torch

from apps.captioning.learning.initialise import Initialiser, noisy, text_loss
from apps.captioning.train_config import InitConfig
from common.errors import TouchstoneError
from tests.apps.captioning.tiny import new_tiny_captioner
from tests.apps.captioning.tiny_models import sentences

CORPUS = sentences(24)
LONGEST = 40


def features(count: int = 24, seed: int = 0) -> torch.Tensor:
    values = torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


def learner(corpus=CORPUS, seed: int = 0, dropout: float = 0.0, **settings) -> Initialiser:
    captioner = new_tiny_captioner()
    for module in captioner.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    config = InitConfig(**{"steps": 60, "batch_size": 8, "learning_rate": 3e-3, "warmup": 2, **settings})
    return Initialiser(captioner, config, corpus, features(len(corpus)), LONGEST, seed)


def test_every_token_id_gets_gradient():
    captioner = new_tiny_captioner()
    size = len(captioner.tokenizer)
    # A corpus of one sentence of each token id would do; here all ids stand in made-up rows.
    for start in range(0, size, 40):
        ids = torch.arange(start, min(start + 40, size))
        captioner.zero_grad()
        logits = captioner.logits(features(1), ids[None])
        torch.nn.functional.cross_entropy(logits[0], ids).backward()
        assert (captioner.decoder.lm_head.weight.grad[ids].norm(dim=1) > 0).all()


def test_the_end_token_and_the_first_token_are_learnt_and_padding_is_not():
    captioner = new_tiny_captioner()
    rows = []
    for text in ("A red star.", "A red star to the left of two blue circles."):
        tokens, _ = captioner.encode([text], LONGEST)
        chances = captioner.log_probs(features(1), tokens)
        rows.append((float(chances.sum()), tokens.shape[1]))
    expected = -sum(total for total, _ in rows) / sum(length for _, length in rows)
    texts = ["A red star.", "A red star to the left of two blue circles."]
    found = text_loss(captioner, features(1).expand(2, -1), texts, LONGEST)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


def test_smoothing_is_that_of_the_cross_entropy():
    captioner = new_tiny_captioner()
    plain, smooth = (float(text_loss(captioner, features(4), CORPUS[:4], LONGEST, by).detach()) for by in (0.0, 0.1))
    tokens, mask = captioner.encode(CORPUS[:4], LONGEST)
    uniform = -captioner.logits(features(4), tokens).log_softmax(-1)[mask].mean(-1).mean()
    assert smooth == pytest.approx(0.9 * plain + 0.1 * float(uniform.detach()), rel=1e-5)


def test_noise_keeps_length_one_and_has_the_variance_asked_for():
    seen = features(400)
    assert noisy(seen, 0.0) is seen
    found = noisy(seen, 0.016, torch.Generator().manual_seed(5))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(400))
    # cos of x and x + n, n of variance v in each of D dimensions, is about 1 / sqrt(1 + D v).
    assert float((found * seen).sum(1).mean()) == pytest.approx(1 / math.sqrt(1 + 32 * 0.016), abs=0.02)
    assert torch.equal(found, noisy(seen, 0.016, torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_the_loss_falls_and_the_sentence_is_said_from_its_feature(noise):
    one = learner(CORPUS[:6], batch_size=6, steps=120, learning_rate=5e-3, noise=noise)
    losses = [one.step()["loss"] for _ in range(120)]
    assert sum(losses[-5:]) / 5 < 0.35 * losses[0]
    said = one.captioner.eval().generate(one.features, LONGEST).texts
    assert sum(a == b for a, b in zip(said, one.corpus, strict=True)) >= 4, said


def test_the_learning_rate_follows_its_schedule():
    one = learner(steps=20, warmup=4)
    rates = []
    for _ in range(20):
        one.step()
        rates.append(one.optimizer.param_groups[0]["lr"])
    assert rates[0] < rates[3] == max(rates)
    assert rates[-1] < 0.2 * max(rates)


def test_a_corpus_smaller_than_a_batch_is_gone_round():
    one = learner(CORPUS[:3], batch_size=8)
    assert math.isfinite(one.step()["loss"])


@pytest.mark.parametrize("settings", [{}, {"noise": 0.01}, {"dropout": 0.2}])
def test_a_restored_initialisation_goes_on_bit_for_bit(settings):
    torch.manual_seed(0)
    whole = learner(**settings)
    figures = [whole.step() for _ in range(6)]
    torch.manual_seed(0)
    first = learner(**settings)
    for _ in range(3):
        first.step()
    state = first.state()
    torch.manual_seed(99)
    second = learner(**settings)
    second.restore(state)
    assert [second.step() for _ in range(3)] == figures[3:]
    for (name, one), two in zip(
        whole.captioner.state_dict().items(), second.captioner.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name


def test_what_is_no_number_is_skipped_and_ends_the_run_after_five_steps():
    one = learner()
    one.features = one.features * math.nan
    before = {name: value.clone() for name, value in one.captioner.state_dict().items()}
    assert [one.step()["skipped"] for _ in range(4)] == [1.0] * 4
    for name, value in one.captioner.state_dict().items():
        assert torch.equal(value, before[name])
    with pytest.raises(TouchstoneError, match=r"step 4: .* 5 steps in a row; lower init\.learning_rate"):
        one.step()
