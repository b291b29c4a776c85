"""Score distillation against its formulas, written out here from the UNet's own output."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from apps.text3d.guidance.distillation import DistillationSettings, ScoreDistillation
from apps.text3d.guidance.prior import DiffusionPrior
from apps.text3d.guidance.prompts import other_directions, view_dependent
from common.errors import UsageError
from common.schedule import read_schedule
from tests.apps.text3d.guidance.tiny import (
    cameras,
    pictures,
    pixel_prior,
    scheduler,
    views_of,
)

PROMPT, OTHER = "a red cube left of a blue sphere", "two small green cones"


@pytest.fixture(scope="module")
def prior() -> DiffusionPrior:
    return pixel_prior()


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradient(guidance: ScoreDistillation, count: int = 2, step: int = 0, seed: int = 5) -> torch.Tensor:
    """Of the loss with respect to the pictures."""
    rgb = pictures(count).requires_grad_()
    loss, _ = guidance.loss(views_of(rgb), cameras(count), step, generator(seed))
    return torch.autograd.grad(loss, rgb)[0]


def drawn(guidance: ScoreDistillation, count: int = 2, step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Timesteps and noise that `gradient` draws."""
    source = generator()
    timesteps = guidance.timesteps(count, step, source)
    return timesteps, guidance.gaussian(2 * pictures(count) - 1, source)


def by_hand(prior: DiffusionPrior, guidance: ScoreDistillation, scale: float, negative: str = "") -> Any:
    """z, ᾱ, ε, ε_text and ε with guidance, one picture and one text at a time."""
    timesteps, noise = drawn(guidance)
    clean = 2 * pictures(2) - 1
    alpha = prior.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    rows = []
    with torch.no_grad():
        for text in (PROMPT, negative):
            ids = prior.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
            states = prior.text_encoder(ids)[0]
            rows.append(
                torch.cat(
                    [
                        prior.unet(noisy[[row]], timesteps[[row]], encoder_hidden_states=states).sample
                        for row in range(2)
                    ]
                )
            )
    return clean, alpha, noise, rows[0], rows[1] + scale * (rows[0] - rows[1]), noisy


@pytest.mark.parametrize("weighting", ["sigma2", "uniform", "fantasia3d"])
@pytest.mark.parametrize("negative", ["", OTHER])
def test_the_gradient_is_dreamfusions_over_b(prior: DiffusionPrior, weighting: Any, negative: str) -> None:
    guidance = ScoreDistillation(
        prior, PROMPT, negative, settings=DistillationSettings(scale=7.5, weighting=weighting)
    )
    _, alpha, noise, _, guided, _ = by_hand(prior, guidance, 7.5, negative)
    weight = {"sigma2": 1 - alpha, "uniform": torch.ones_like(alpha), "fantasia3d": alpha.sqrt() * (1 - alpha)}
    # z = 2 rgb − 1, so a step in rgb counts twice.
    expected = 2 * weight[weighting] * (guided - noise) / 2
    torch.testing.assert_close(gradient(guidance), expected, atol=1e-4, rtol=1e-4)


def test_the_value_is_half_the_squared_gradient(prior: DiffusionPrior) -> None:
    guidance = ScoreDistillation(prior, PROMPT)
    found = gradient(guidance)  # 2 g / B, with B = 2
    loss, _ = guidance.loss(views_of(pictures(2)), cameras(2), 0, generator())
    assert float(loss) == pytest.approx(float(0.5 * (found**2).sum() / 2), rel=1e-5)


def test_the_reconstruction_form(prior: DiffusionPrior) -> None:
    guidance = ScoreDistillation(prior, PROMPT, settings=DistillationSettings("x0", 7.5))
    clean, alpha, _, text, guided, noisy = by_hand(prior, guidance, 7.5)
    plain, wanted = ((noisy - (1 - alpha).sqrt() * each) / alpha.sqrt() for each in (guided, text))
    ratio = torch.stack([wanted[row].std() / plain[row].std() for row in range(2)]).view(-1, 1, 1, 1)
    target = 0.5 * plain * ratio + 0.5 * plain
    torch.testing.assert_close(gradient(guidance), 2 * (clean - target) / 2, atol=1e-4, rtol=1e-4)


def test_without_rescaling_it_is_the_other_form_with_another_weight(prior: DiffusionPrior) -> None:
    same = {"scale": 7.5, "t_min": read_schedule(0.3), "t_max": read_schedule(0.3)}
    reconstructed = gradient(ScoreDistillation(prior, PROMPT, settings=DistillationSettings("x0", rescale=0, **same)))
    sampled = gradient(ScoreDistillation(prior, PROMPT, settings=DistillationSettings(weighting="uniform", **same)))
    alpha = prior.scheduler.alphas_cumprod[30]
    torch.testing.assert_close(reconstructed, sampled * ((1 - alpha) / alpha).sqrt(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_other_predictions_of_the_same_model_give_the_same(prior: DiffusionPrior, prediction: str) -> None:
    class Expressed(torch.nn.Module):
        """The model's noise, told as v or as the clean picture."""

        config, dtype = prior.unet.config, torch.float32

        def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, encoder_hidden_states: torch.Tensor) -> Any:
            said = prior.unet(noisy, timesteps, encoder_hidden_states=encoder_hidden_states)
            alpha = prior.alphas(timesteps)
            clean = (noisy - (1 - alpha).sqrt() * said.sample) / alpha.sqrt()
            v = alpha.sqrt() * said.sample - (1 - alpha).sqrt() * clean
            said.sample = v if prediction == "v_prediction" else clean
            return said

    other = DiffusionPrior(Expressed(), scheduler(prediction), None, prior.text_encoder, prior.tokenizer)
    expected = gradient(ScoreDistillation(prior, PROMPT))
    torch.testing.assert_close(gradient(ScoreDistillation(other, PROMPT)), expected, atol=2e-3, rtol=1e-3)


class TestNegatives:
    """Case 23."""

    def test_empty_is_unconditional(self, prior: DiffusionPrior) -> None:
        plain = ScoreDistillation(prior, PROMPT)
        for same in (ScoreDistillation(prior, PROMPT, ""), ScoreDistillation(prior, PROMPT, lambda views: [""] * 2)):
            assert torch.equal(gradient(plain), gradient(same))
        assert not torch.allclose(gradient(plain), gradient(ScoreDistillation(prior, PROMPT, OTHER)))

    def test_equal_to_the_positive_leaves_nothing_to_guide(self, prior: DiffusionPrior) -> None:
        alone = gradient(ScoreDistillation(prior, PROMPT, settings=DistillationSettings(scale=1.0)))
        guidance = ScoreDistillation(prior, PROMPT, PROMPT, settings=DistillationSettings(scale=100.0))
        torch.testing.assert_close(gradient(guidance), alone, atol=1e-4, rtol=1e-4)
        _, figures = guidance.loss(views_of(pictures(2)), cameras(2), 0)
        assert figures["guidance"] < 1e-3

    def test_perp_neg_of_the_positive_or_nothing_is_plain_guidance(self, prior: DiffusionPrior) -> None:
        plain = gradient(ScoreDistillation(prior, PROMPT, settings=DistillationSettings(scale=7.5)))
        for text, weight in ((PROMPT, 1.0), ("", 1.0), (OTHER, 0.0)):
            perpendicular = ScoreDistillation(
                prior,
                PROMPT,
                perpendicular=lambda views, text=text, weight=weight: [[(text, weight)]] * 2,
                settings=DistillationSettings(scale=7.5),
            )
            torch.testing.assert_close(gradient(perpendicular), plain, atol=1e-4, rtol=1e-4)

    def test_perp_neg_leaves_the_positive_direction_alone(self, prior: DiffusionPrior) -> None:
        guidance = ScoreDistillation(
            prior,
            PROMPT,
            perpendicular=lambda views: [[(OTHER, 2.0), ("a torus", 1.0)]] * 2,
            settings=DistillationSettings(scale=1.0),
        )
        timesteps, noise = drawn(guidance)
        clean = 2 * pictures(2) - 1
        seen = guidance.predict(clean, noise, timesteps, cameras(2))
        base = ScoreDistillation(prior, "", settings=DistillationSettings(scale=1.0))
        towards = seen.text - base.predict(clean, noise, timesteps, cameras(2)).guided
        change = seen.guided - seen.text
        assert float(change.norm()) > 1e-3
        for row in range(2):
            cosine = torch.nn.functional.cosine_similarity(change[row].flatten(), towards[row].flatten(), 0)
            assert abs(float(cosine)) < 1e-3

    def test_not_both(self, prior: DiffusionPrior) -> None:
        with pytest.raises(UsageError, match="not both"):
            ScoreDistillation(prior, PROMPT, OTHER, other_directions(PROMPT))


class TestViews:
    def test_each_camera_has_its_text(self) -> None:
        from apps.text3d.cameras import orbit

        seen = orbit([0.0, 44.0, 46.0, 90.0, 136.0, 180.0, 270.0, 330.0, 0.0], [15.0] * 8 + [75.0])
        found = [text.rsplit(", ", 1)[1] for text in view_dependent("a cat")(seen)]
        assert found == [
            f"{side} view" for side in ("front", "front", "side", "side", "back", "back", "side", "front", "overhead")
        ]

    def test_the_back_is_held_against_the_front(self) -> None:
        rows = [dict(row) for row in other_directions("a cat")(cameras(4))]
        front, back = (rows[row] for row in (0, 2))
        assert front == pytest.approx({"a cat, front view": 0, "a cat, side view": 0.5, "a cat, back view": 1})
        assert back == pytest.approx({"a cat, front view": 1, "a cat, side view": 0.5, "a cat, back view": 0})

    def test_as_many_texts_as_cameras(self, prior: DiffusionPrior) -> None:
        with pytest.raises(UsageError, match="2 cameras and 1 texts"):
            gradient(ScoreDistillation(prior, lambda views: [PROMPT]))

    def test_perp_neg_of_directions_runs(self, prior: DiffusionPrior) -> None:
        guidance = ScoreDistillation(prior, view_dependent("a cat"), perpendicular=other_directions("a cat"))
        assert gradient(guidance, 4).isfinite().all()


class TestChance:
    def test_timesteps_are_annealed(self, prior: DiffusionPrior) -> None:
        settings = DistillationSettings(
            t_min=read_schedule([0, 0.98, 0.02, 8000]), t_max=read_schedule([0, 0.98, 0.5, 8000])
        )
        guidance = ScoreDistillation(prior, PROMPT, settings=settings)
        assert [guidance.range(step) for step in (0, 4000, 8000, 10**6)] == [(98, 98), (50, 74), (2, 50), (2, 50)]
        found = guidance.timesteps(5000, 8000)
        assert (int(found.min()), int(found.max())) == (2, 50)
        assert set(guidance.timesteps(100, 0).tolist()) == {98}

    def test_all_timesteps_can_be_asked_for(self, prior: DiffusionPrior) -> None:
        settings = DistillationSettings(t_min=read_schedule(0), t_max=read_schedule(1), same_timestep=True)
        guidance = ScoreDistillation(prior, PROMPT, settings=settings)
        assert guidance.range(0) == (0, 99)
        assert len(set(guidance.timesteps(50, 0).tolist())) == 1
        assert gradient(guidance).isfinite().all()

    def test_crossing_ranges_are_refused(self) -> None:
        with pytest.raises(UsageError, match="t_min <= t_max"):
            DistillationSettings(t_min=read_schedule(0.5), t_max=read_schedule([0, 0.98, 0.1, 100]))

    def test_same_generator_same_gradient_and_nobody_elses_chance_is_used(self, prior: DiffusionPrior) -> None:
        before = torch.random.get_rng_state()
        first, second = (ScoreDistillation(prior, PROMPT) for _ in range(2))
        results = []
        for guidance in (first, second):
            rgb = pictures(2).requires_grad_()
            results.append(torch.autograd.grad(guidance.loss(views_of(rgb), cameras(2), 0)[0], rgb)[0])
        assert torch.equal(*results)
        assert torch.equal(gradient(first), gradient(second))
        assert not torch.equal(gradient(first), gradient(first, seed=6))
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_parts_of_a_batch_give_the_same(self, prior: DiffusionPrior) -> None:
        whole = gradient(ScoreDistillation(prior, PROMPT))
        parts = gradient(ScoreDistillation(prior, PROMPT, settings=DistillationSettings(rows_at_once=3)))
        torch.testing.assert_close(whole, parts, atol=1e-4, rtol=1e-4)
