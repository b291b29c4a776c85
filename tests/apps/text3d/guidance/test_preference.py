"""Distillation from pairs: which way the gradient goes, and what the judge sees."""

from __future__ import annotations

from typing import Any

import torch

from apps.text3d.guidance.distillation import DistillationSettings, ScoreDistillation
from apps.text3d.guidance.preference import PreferenceDistillation
from tests.apps.text3d.guidance.test_distillation import PROMPT, generator, gradient
from tests.apps.text3d.guidance.tiny import cameras, pictures, pixel_prior


def test_towards_the_winner_away_from_the_loser() -> None:
    prior = pixel_prior()
    settings = DistillationSettings(scale=7.5, weighting="uniform")
    seen: list[torch.Tensor] = []

    def first_wins(shown: torch.Tensor, cameras: Any) -> torch.Tensor:
        seen.append(shown)
        return torch.full((2,), 1.0 if len(seen) % 2 else 0.0)

    def second_wins(shown: torch.Tensor, cameras: Any) -> torch.Tensor:
        return 1 - first_wins(shown, cameras)

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
