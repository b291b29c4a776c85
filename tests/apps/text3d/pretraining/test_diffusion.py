"""The pocket diffusion model: what it is shown, that it learns, that it resumes, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apps.text3d.config import Text3dConfig
from apps.text3d.guidance.prior import load_prior
from apps.text3d.pocket.combinations import held
from apps.text3d.pretrain import run_pretrain
from apps.text3d.pretrain_config import DiffusionConfig, PretrainConfig
from apps.text3d.pretraining.diffusion import DiffusionLearner, make_prior
from apps.text3d.pretraining.figures import discrimination
from apps.text3d.pretraining.pictures import Pictures, load
from apps.text3d.pretraining.text import TextLearner, token_table
from common.errors import UsageError

TINY = DiffusionConfig(
    size=16,
    fold=1,
    channels=[16, 16, 16],
    text_width=32,
    text_layers=1,
    text_steps=2,
    text_batch_size=16,
    scenes=96,
    steps=60,
    batch_size=8,
    learning_rate=1e-2,
    heldout=4,
)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return load("train", TINY.scenes, TINY.size, 0)


def test_training_shows_no_held_out_combination(pictures: Pictures) -> None:
    assert not any(held(world.prompt) for world in pictures.worlds)
    assert all(held(world.prompt) for world in load("test_held", 8, 16, 0).worlds)


def test_the_background_shows_where_nothing_stands_and_nowhere_else(pictures: Pictures) -> None:
    rows = list(range(8))
    white, black = pictures.on(rows, torch.ones(3)), pictures.on(rows, torch.zeros(3))
    clear = 1 - pictures.opacity[rows].float() / 255
    assert float((white - black - clear).abs().max()) < 1e-2
    assert 0.02 < float(1 - clear.mean()) < 0.9


def test_a_third_of_the_pictures_is_seen_from_the_prompts_own_side(pictures: Pictures) -> None:
    front = [azimuth for azimuth in pictures.azimuths if min(azimuth, 360 - azimuth) < 1e-3]
    assert 0.2 < len(front) / len(pictures) < 0.52
    assert {pictures.view(row) for row in range(len(pictures))} == {"front view", "side view", "back view"}


def test_more_scenes_than_prompts_are_other_scenes_of_the_same_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.text3d.pretraining.pictures.DISTINCT", 8)
    found = load("train", 16, 16, 0).worlds
    assert len({world.prompt for world in found}) == 8
    assert len({world.solids for world in found}) == 16


def test_it_learns_to_take_noise_away(pictures: Pictures) -> None:
    """At a learning rate of 0 it stays where it begins, above 0.7."""
    learner = _learner(pictures, 0)
    losses = [learner.step()["loss"] for _ in range(TINY.steps)]
    assert sum(losses[:5]) / 5 > 0.7
    assert sum(losses[-20:]) / 20 < 0.52


def test_the_encoder_learns_to_read_and_goes_on_bit_for_bit(pictures: Pictures) -> None:
    config = replace(TINY, text_steps=120)
    texts = [pictures.text(row) for row in range(len(pictures))]

    def learner() -> TextLearner:
        prior = make_prior(config, texts, 0)
        return TextLearner(config, pictures, prior.text_encoder, token_table(pictures, prior.tokenizer, 40), 0)

    whole, first, second = learner(), learner(), learner()
    figures = [whole.step() for _ in range(120)]
    assert figures[-1]["right/kind"] > 0.85 > figures[0]["right/kind"]
    assert figures[-1]["right/view"] > 0.9
    for one in (first, second):
        one.step()
    first.step()
    second.restore(second.state())
    second.step()
    states = [one.model.state_dict() for one in (first, second)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_folded_pixels_come_back_as_they_were(pictures: Pictures) -> None:
    prior = make_prior(replace(TINY, fold=2), ["a cube"], 0)
    shown = pictures.on([0, 1], torch.ones(3))
    assert prior.encode(shown).shape == (2, 12, 8, 8)
    assert torch.allclose(prior.decode(prior.encode(shown)), shown, atol=1e-6)


def test_a_resumed_training_equals_the_uninterrupted_one(pictures: Pictures) -> None:
    whole, first, second = (_learner(pictures, 3) for _ in range(3))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.restore(first.state())
    for _ in range(2):
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(_weights(whole), _weights(second), strict=True))


def test_the_running_mean_is_what_is_written(pictures: Pictures) -> None:
    learner = _learner(pictures, 0)
    for _ in range(3):
        learner.step()
    prior = learner.averaged()
    assert torch.equal(next(prior.unet.parameters()), next(learner.mean["unet"].parameters()))
    assert not torch.equal(next(prior.unet.parameters()), next(learner.model["unet"].parameters()))
    assert not any(weight.requires_grad for weight in prior.unet.parameters())


def test_a_model_that_is_deaf_to_text_tells_no_true_one_from_a_false_one(pictures: Pictures) -> None:
    prior = _learner(pictures, 0).averaged()
    prior.embed = lambda texts: torch.zeros(len(texts), TINY.tokens, TINY.text_width)  # type: ignore[method-assign]
    shares = discrimination(prior, load("test_seen", 6, TINY.size, 0))
    assert {share.mean for share in shares.values()} == {0.0}


def test_a_model_that_knows_the_true_text_is_right_throughout(pictures: Pictures) -> None:
    prior = _learner(pictures, 0).averaged()
    true = {f"{world.prompt.text}, {pictures.view(row)}" for row, world in enumerate(pictures.worlds)}

    def embed(texts: list[str]) -> torch.Tensor:
        return torch.tensor([float(text in true) for text in texts]).view(-1, 1, 1)

    def noise(noisy: torch.Tensor, timesteps: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        return noisy * torch.where(known.view(-1, 1, 1, 1) > 0, 0.9, 10.0)

    prior.embed, prior.noise = embed, noise  # type: ignore[method-assign,assignment]
    few = Pictures(
        pictures.worlds[:6], pictures.colours[:6], pictures.opacity[:6], pictures.azimuths[:6], pictures.elevations[:6]
    )
    assert {share.mean for share in discrimination(prior, few).values()} == {1.0}


def test_pretrain_writes_a_model_with_figures_and_a_card(tmp_path: Path) -> None:
    config = _config(tmp_path)
    assert run_pretrain(config, "diffusion") == 0
    folder = tmp_path / "out" / "diffusion"
    prior = load_prior(folder)
    assert prior.size == (16, 16)
    assert prior.prediction == "v_prediction"
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size < 1_000_000
    figures: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    assert set(figures["discrimination"]) == {"test_seen", "test_held"}
    assert "python -m apps.text3d" in (folder / "README.md").read_text()


def test_an_interrupted_training_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    config = _config(tmp_path)
    run_pretrain(config, "diffusion")
    config.pretrain.diffusion = replace(config.pretrain.diffusion, batch_size=4)
    with pytest.raises(UsageError, match="other settings"):
        run_pretrain(config, "diffusion")


@pytest.mark.parametrize("wrong", [{"size": 36, "fold": 2}, {"channels": [8, 8]}, {"channels": [8, 8, 12]}])
def test_sizes_that_do_not_go_together_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"pretrain\.diffusion"):
        DiffusionConfig(**wrong)


def _config(folder: Path) -> Text3dConfig:
    tiny = replace(TINY, scenes=16, steps=2)
    return Text3dConfig(pretrain=PretrainConfig(out=str(folder / "out"), diffusion=tiny), runs=str(folder / "runs"))


def _learner(pictures: Pictures, seed: int) -> DiffusionLearner:
    texts = [pictures.text(row) for row in range(len(pictures))]
    return DiffusionLearner(TINY, pictures, make_prior(TINY, texts, seed), seed)


def _weights(learner: DiffusionLearner) -> list[torch.Tensor]:
    return [*learner.model.parameters(), *learner.mean.parameters()]
