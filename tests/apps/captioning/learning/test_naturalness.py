"""The judge of naturalness: it learns, it is paid only then, it stays stable, and it is saved whole."""

from __future__ import annotations

import math
import pickle

import pytest
import torch

from apps.captioning.learning.naturalness import LIMIT, Naturalness
from apps.captioning.model_config import DiscriminatorConfig
from common.errors import UsageError
from common.rewards.check import check_reward
from common.rewards.trained.discriminator import Discriminator
from tests.apps.captioning.tiny_judge import tiny_judge_folder
from tests.apps.captioning.tiny_models import sentences

REAL = sentences(48)
FAKE = [" ".join(reversed(text.split())) for text in sentences(48, seed=1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_judge_folder(tmp_path_factory.mktemp("judge"))


def judge(folder, **settings) -> Naturalness:
    torch.manual_seed(0)
    return Naturalness(DiscriminatorConfig(str(folder), **{"learning_rate": 3e-3, **settings}), "cpu")


def taught(one: Naturalness, steps: int, size: int = 16) -> dict[str, float]:
    figures: dict[str, float] = {}
    for step in range(steps):
        rows = [(step * size + number) % 48 for number in range(size)]
        figures = one.step([REAL[row] for row in rows], [FAKE[row] for row in rows])
    return figures


def test_it_learns_to_tell_two_corpora_apart_and_its_gate_opens(folder):
    one = judge(folder)
    assert not one.trusted
    figures = taught(one, 90)
    assert one.trusted
    assert figures["discriminator/auc"] == one.auc > 0.8
    assert float((one.score(REAL) > 0).float().mean()) > 0.9
    assert float((one.score(FAKE) < 0).float().mean()) > 0.9
    assert one.reward()(completion=[REAL[0], FAKE[0]]).values.tolist() == one.score([REAL[0], FAKE[0]]).tolist()


def test_a_judge_that_tells_nothing_apart_stays_shut(folder):
    one = judge(folder)
    for _ in range(8):
        # Real and generated ones are the same sentences.
        one.step(REAL, REAL)
    assert one.auc == pytest.approx(0.5, abs=0.08)
    assert not one.trusted


def test_the_gate_is_where_the_settings_say(folder):
    assert judge(folder, gate=0.5).trusted
    one = judge(folder, gate=0.99)
    taught(one, 5)
    assert not one.trusted


def test_smoothed_labels_bound_the_loss_from_below_and_the_logits(folder):
    one = judge(folder, label_smoothing=0.2)
    figures = taught(one, 80)
    entropy = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    assert entropy <= figures["discriminator/loss"] < entropy + 0.25
    # The best answer to a label of 0.8 is a logit of log 4.
    assert float(one.score([*REAL, *FAKE]).abs().median()) == pytest.approx(math.log(4), abs=0.7)


@pytest.mark.parametrize("smoothing", [-0.1, 0.5, 0.9])
def test_labels_smoothed_over_their_middle_are_refused(folder, smoothing):
    with pytest.raises(UsageError, match=r"label_smoothing must lie in \[0, 0\.5\)"):
        judge(folder, label_smoothing=smoothing)


def test_the_gradient_penalty_is_its_formula_and_is_learnt_from(folder):
    one = judge(folder, gradient_penalty=5.0)
    assert one.model.config._attn_implementation == "eager"
    text = REAL[:2]
    found = float(one._penalty(text).detach())
    batch = one._batch(text)
    embedded = one.model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_(True)
    logits = one.model(inputs_embeds=embedded, attention_mask=batch["attention_mask"]).logits.squeeze(-1)
    norms = []
    for row in range(2):
        (gradient,) = torch.autograd.grad(logits[row], embedded, retain_graph=True)
        norms.append(float(gradient[row].square().sum()))
    assert found == pytest.approx(sum(norms) / 2, rel=1e-4)
    held, free = judge(folder, gradient_penalty=5.0), judge(folder)
    assert taught(held, 30)["discriminator/penalty"] >= 0
    taught(free, 30)
    free_penalty = float(free._penalty(REAL[:16]).detach())
    assert float(held._penalty(REAL[:16]).detach()) < free_penalty


def test_spectral_norms_bound_every_linear_layer_and_are_saved_as_a_plain_model(folder, tmp_path):
    one = judge(folder, spectral_norm=True, learning_rate=3e-4)
    taught(one, 12)
    for layer in one.model.modules():
        if isinstance(layer, torch.nn.Linear):
            # One power iteration a step follows the largest singular value closely, not exactly.
            assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) < 1.15
    one.save(tmp_path / "saved")
    told = Discriminator(tmp_path / "saved")(completion=[*REAL, *FAKE]).values
    torch.testing.assert_close(told, one.score([*REAL, *FAKE]), atol=1e-4, rtol=1e-4)
    # Saving it changed nothing, and it still learns.
    assert math.isfinite(taught(one, 1)["discriminator/loss"])


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_its_reward_keeps_the_contract(folder, spectral_norm):
    one = judge(folder, spectral_norm=spectral_norm)
    reward = one.reward()
    check_reward(reward, {"completion": [*REAL[:3], *FAKE[:3]]})
    assert reward.bounds == (-LIMIT, LIMIT)
    output = reward(completion=["", "  ", REAL[0]])
    assert output.values[:2].tolist() == [-LIMIT, -LIMIT]
    assert output.info["reason"][:2] == ["the caption is empty"] * 2
    assert reward(completion=[]).values.shape == (0,)
    torch.testing.assert_close(
        pickle.loads(pickle.dumps(reward))(completion=REAL).values, reward(completion=REAL).values, atol=1e-4, rtol=0
    )


def test_the_reward_follows_the_judge(folder):
    one = judge(folder)
    reward = one.reward()
    before = reward(completion=REAL[:4]).values
    taught(one, 3)
    assert not torch.equal(reward(completion=REAL[:4]).values, before)


def test_a_score_does_not_depend_on_its_neighbours_nor_on_dropout(folder):
    one = judge(folder)
    taught(one, 2)
    alone = torch.stack([one.score([text])[0] for text in REAL[:6]])
    torch.testing.assert_close(one.score(REAL)[:6], alone, atol=1e-5, rtol=1e-5)
    assert torch.equal(one.score(REAL), one.score(REAL))


def test_it_says_when_it_has_won(folder):
    one = judge(folder)
    assert not one.collapsed
    taught(one, 120)
    assert one.accuracy > 0.97
    assert one.collapsed
    assert not judge(folder, collapse_accuracy=0.0).collapsed  # not before twenty steps


@pytest.mark.parametrize("settings", [{}, {"spectral_norm": True}, {"gradient_penalty": 1.0}])
def test_a_restored_judge_goes_on_bit_for_bit(folder, settings):
    one = judge(folder, **settings)
    taught(one, 3)
    other = judge(folder, **settings)
    state = pickle.loads(pickle.dumps(one.state()))
    other.restore(state)
    assert (other.accuracy, other.auc, other.steps) == (one.accuracy, one.auc, 3)
    torch.manual_seed(7)
    first = taught(one, 2)
    torch.manual_seed(7)
    assert taught(other, 2) == first
    for (name, left), right in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


def test_what_is_no_number_changes_nothing(folder):
    one = judge(folder)
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    real = one.logits
    one.logits = lambda texts: real(texts) * math.inf
    figures = one.step(REAL[:4], FAKE[:4])
    assert figures["discriminator/skipped"] == 1
    assert one.auc == 0.5
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"discriminator\.path: .* cannot be loaded"):
        judge(tmp_path / "nothing")


def test_long_captions_are_read_up_to_the_models_end(folder):
    one = judge(folder)
    assert one.score(["red " * 500]).isfinite().all()
    taught_once = one.step(["red " * 500], ["blue " * 500])
    assert math.isfinite(taught_once["discriminator/loss"])
