"""Distillation from pairs: which way the gradient goes, what the judge sees, and which judges a config may name."""

from __future__ import annotations

import math

import pytest
import torch

from apps.text3d.dry_run_stand_ins import stable_diffusion
from apps.text3d.guidance.build import build
from apps.text3d.guidance.distillation import DistillationSettings, ScoreDistillation
from apps.text3d.guidance.preference import PreferenceDistillation
from apps.text3d.guidance.prior import save_prior
from apps.text3d.guidance.provenance import untrained
from apps.text3d.guidance_config import GuidanceConfig, SdsConfig
from apps.text3d.prompts.parser import parse
from common.errors import GraderFailure, UsageError
from tests.apps.text3d.guidance.test_distillation import PROMPT, generator, gradient
from tests.apps.text3d.guidance.tiny import cameras, pictures, pixel_prior, views_of


def test_towards_the_winner_away_from_the_loser() -> None:
    prior = pixel_prior()
    settings = DistillationSettings(scale=7.5, weighting="uniform")
    seen: list[torch.Tensor] = []

    def first_wins(shown: torch.Tensor, step: int) -> torch.Tensor:
        seen.append(shown)
        return torch.full((2,), 1.0 if len(seen) % 2 else 0.0)

    def second_wins(shown: torch.Tensor, step: int) -> torch.Tensor:
        return 1 - first_wins(shown, step)

    found = gradient(PreferenceDistillation(prior, PROMPT, judge=first_wins, settings=settings))
    assert all(float(shown.min()) >= 0 and float(shown.max()) <= 1 for shown in seen)
    guidance = ScoreDistillation(prior, PROMPT, settings=settings)
    source, clean = generator(), 2 * pictures(2) - 1
    timesteps = guidance.timesteps(2, 0, source)
    noises = [guidance.gaussian(clean, source) for _ in range(2)]
    win, lose = (guidance.predict(clean, noise, timesteps, cameras(2)) for noise in noises)
    expected = (win.guided - noises[0]) - (lose.text - noises[1])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    swapped = gradient(PreferenceDistillation(prior, PROMPT, judge=second_wins, settings=settings))
    torch.testing.assert_close(swapped, (lose.guided - noises[1]) - (win.text - noises[0]), atol=1e-4, rtol=1e-4)
    # Too close to call: the winner alone, its noise taken away.
    alone = gradient(PreferenceDistillation(prior, PROMPT, judge=first_wins, gap=2.0, settings=settings))
    torch.testing.assert_close(alone, win.guided - noises[0], atol=1e-4, rtol=1e-4)
    # A judge that fails prefers neither: plain distillation by the first noise.
    unjudged = gradient(
        PreferenceDistillation(prior, PROMPT, judge=lambda shown, step: torch.full((2,), math.nan), settings=settings)
    )
    torch.testing.assert_close(unjudged, (win.guided - noises[0]), atol=1e-4, rtol=1e-4)


def test_a_judge_that_goes_on_failing_stops_the_run() -> None:
    guidance = PreferenceDistillation(pixel_prior(), PROMPT, judge=lambda shown, step: torch.tensor([0.5, math.nan]))
    views = views_of(pictures(2).requires_grad_())
    for step in range(4):
        assert guidance.loss(views, cameras(2), step, generator())[1]["unjudged"] == 1
    with pytest.raises(GraderFailure, match="no score for 1 of 2 views, and so 5 steps"):
        guidance.loss(views, cameras(2), 4, generator())


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_prior(stable_diffusion(["a red ball"]), tmp_path_factory.mktemp("prior") / "diffusion-untrained"))


def test_a_config_names_any_reward_as_judge(diffusion: str) -> None:
    """`length_window` has no gradient and needs none; it sees the prompt and prefers neither picture."""
    sds = SdsConfig(1.0, diffusion, judge={"name": "length_window", "low": 1, "high": 9}, gap=0.1)
    weighted = build(GuidanceConfig(sds=sds), parse("a red ball"), 0)
    _, figures = weighted.loss(views_of(pictures(2, 32).requires_grad_()), cameras(2), 0)
    assert (figures["sds.gap"], figures["sds.unjudged"]) == (0.0, 0.0)


def test_judges_that_cannot_be_are_refused(diffusion: str) -> None:
    def built(**judge: object) -> None:
        build(GuidanceConfig(sds=SdsConfig(1.0, diffusion, judge=judge)), parse("a red ball"), 0)

    with pytest.raises(UsageError, match=r"guidance\.sds\.judge: token_f1 needs the column 'reference'"):
        built(name="token_f1")
    with pytest.raises(UsageError, match="did you mean 'clip_score'"):
        built(name="clip_scor", clip="x")
    config = GuidanceConfig(sds=SdsConfig(1.0, "d", judge={"name": "clip_score", "clip": "clip-untrained"}))
    assert "guidance.sds.judge clip" in untrained(config)
