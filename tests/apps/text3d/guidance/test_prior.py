"""Diffusion models from folders: what they read, what they cut, and what is said where one is missing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from apps.text3d.guidance.distillation import ScoreDistillation
from apps.text3d.guidance.prior import DiffusionPrior, load_prior, save_prior
from common.errors import UsageError
from tests.apps.text3d.guidance.test_distillation import OTHER, PROMPT, generator, gradient
from tests.apps.text3d.guidance.tiny import (
    cameras,
    pictures,
    pixel_prior,
    stable_diffusion_folder,
    unconditional_prior,
    views_of,
)


@pytest.fixture(scope="module")
def prior() -> DiffusionPrior:
    return pixel_prior()


class TestLongTexts:
    """Case 21."""

    def test_the_lost_words_are_named_once(self, caplog: pytest.LogCaptureFixture) -> None:
        prior = pixel_prior(tokens=24)
        text = "a red cube left of a blue sphere, front view, zebra quagga"
        with caplog.at_level(logging.WARNING):
            found = prior.embed([text, text])
        assert found is not None
        assert found.shape == (2, 24, 16)
        assert len(caplog.records) == 1
        assert "quagga" in caplog.text
        assert "red cube" not in caplog.text
        prior.embed([text, "a red cube"])
        assert len(caplog.records) == 1
        guidance = ScoreDistillation(prior, text)
        assert gradient(guidance).isfinite().all()

    def test_special_tokens_in_a_prompt_are_words(self, prior: DiffusionPrior) -> None:
        attack, plain = prior.embed(["a cube <end_of_text> a sphere", "a cube"])  # type: ignore[misc]
        assert not torch.allclose(attack, plain)
        assert prior.embed(["", " ", '\n"quoted"', "赤い立方体"]).isfinite().all()  # type: ignore[union-attr]


class TestFolders:
    def test_stable_diffusion_saved_by_diffusers(self, tmp_path: Path) -> None:
        prior = load_prior(stable_diffusion_folder(tmp_path))
        assert prior.size == (32, 32)
        rgb = pictures(2, 20).requires_grad_()  # resized to the 32 pixels that it was made for
        loss, figures = ScoreDistillation(prior, PROMPT).loss(views_of(rgb), cameras(2), 0, generator())
        loss.backward()
        assert rgb.grad is not None
        assert rgb.grad.isfinite().all()
        assert float(rgb.grad.norm()) > 0
        assert 0 < figures["t"] < 1
        # The latents' gradient is w(t)(ε − ε̂) / B here too; the VAE's encoder carries it to the pixels.
        latents = prior.encode(rgb)
        seen = ScoreDistillation(prior, PROMPT)
        source = generator()
        timesteps, noise = seen.timesteps(2, 0, source), seen.gaussian(latents, source)
        guess = seen.predict(latents.detach(), noise, timesteps, cameras(2))
        expected = torch.autograd.grad(latents, rgb, (1 - guess.alpha) * (guess.guided - noise) / 2)[0]
        torch.testing.assert_close(rgb.grad, expected, atol=1e-6, rtol=1e-4)
        assert prior.decode(latents).shape == (2, 3, 32, 32)

    def test_saved_and_opened_again(self, prior: DiffusionPrior, tmp_path: Path) -> None:
        opened = load_prior(save_prior(prior, tmp_path))
        expected = gradient(ScoreDistillation(prior, PROMPT))
        torch.testing.assert_close(gradient(ScoreDistillation(opened, PROMPT)), expected, atol=1e-5, rtol=1e-4)
        assert not any(weight.requires_grad for weight in opened.unet.parameters())
        assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 10**6

    def test_without_text(self, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        prior = load_prior(save_prior(unconditional_prior(), tmp_path))
        found = gradient(ScoreDistillation(prior, PROMPT))
        assert "takes no text" in caplog.text
        assert torch.equal(found, gradient(ScoreDistillation(prior, OTHER)))

    @pytest.mark.parametrize("harm", ["nowhere", "hub", "weights", "json", "library"])
    def test_what_is_missing_is_one_clear_error(
        self, prior: DiffusionPrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
    ) -> None:
        """Case 24: never a random model in place of missing weights, and never foreign code."""
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        folder = save_prior(prior, tmp_path)
        index = folder / "model_index.json"
        if harm == "weights":
            (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        elif harm == "json":
            index.write_text("{")
        elif harm == "library":
            index.write_text(index.read_text().replace('"diffusers"', '"mine"'))
        path = {"nowhere": tmp_path / "nothing", "hub": "no-such-owner/no-such-model"}.get(harm, folder)
        with pytest.raises(UsageError, match=r"(?s)sds\.model: .*cannot be opened.*Name a folder"):
            load_prior(path)

    def test_a_prediction_that_nobody_knows(self, prior: DiffusionPrior) -> None:
        prior.scheduler.register_to_config(prediction_type="score")
        try:
            with pytest.raises(UsageError, match="predicts 'score'"):
                DiffusionPrior(prior.unet, prior.scheduler, None, prior.text_encoder, prior.tokenizer)
        finally:
            prior.scheduler.register_to_config(prediction_type="epsilon")
