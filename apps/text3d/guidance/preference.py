"""DreamDPO: of two noisy versions of a view, towards the one that a judge prefers and away from the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.guidance.distillation import Prediction, ScoreDistillation, pulled
from apps.text3d.scenes.base import Views
from common.errors import UsageError

#: Scores `(B,)` of pictures `(B, 3, H, W)` in [0, 1], the higher the better; it need not be differentiable.
Judge = Callable[[Tensor, Cameras], Tensor]


class PreferenceDistillation(ScoreDistillation):
    r"""Score distillation from pairs, DreamDPO's form (arXiv 2502.04370).

    Two noises at one timestep give two pictures x₀; a judge orders them. With n the noise put in,

    .. math:: \partial L / \partial z = w(t) \bigl[(\hat\epsilon^{win} - n^{win}) -
        (\epsilon_{text}^{lose} - n^{lose})\bigr] / B

    and where the scores are less than `gap` apart only the winner's part. (The published code leaves n out there.)

    Figures: as of `ScoreDistillation`, and `gap`, mean distance of the two scores.

    Args:
        judge: of the pictures, such as a VLM's log-odds for a question or a CLIP cosine.
        gap: least distance of the scores at which the loser counts.
        given: see `ScoreDistillation`.
    """

    def __init__(self, *given: object, judge: Judge, gap: float = 0.0, **options: object) -> None:
        super().__init__(*given, **options)  # type: ignore[arg-type]
        if self.settings.form != "sds":
            raise UsageError("preferences are distilled in the form sds")
        self.judge = judge
        self.gap = gap

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Guidance.loss`."""
        clean = self.prior.encode(views.rgb)
        with torch.no_grad():
            timesteps = self.timesteps(len(clean), step, generator).to(clean.device)
            noises = [self.gaussian(clean, generator) for _ in range(2)]
            seen = [self.predict(clean.detach(), noise, timesteps, cameras) for noise in noises]
            scores = [self._score(one, cameras) for one in seen]
            first = (scores[0] >= scores[1]).view(-1, 1, 1, 1)
            guided = [one.guided - noise for one, noise in zip(seen, noises, strict=True)]
            text = [one.text - noise for one, noise in zip(seen, noises, strict=True)]
            apart = (scores[0] - scores[1]).abs()
            lost = torch.where(first, text[1], text[0]) * (apart >= self.gap).view(-1, 1, 1, 1)
            gradient = self.weight(seen[0].alpha) * (torch.where(first, guided[0], guided[1]) - lost)
        part = float(timesteps.float().mean()) / self.prior.timesteps
        return pulled(clean, gradient), {"t": part, "gap": float(apart.mean())}

    def _score(self, seen: Prediction, cameras: Cameras) -> Tensor:
        scores = self.judge(self.prior.decode(seen.clean(seen.guided)), cameras)
        if scores.shape != (len(seen.noisy),):
            raise UsageError(f"the judge gave scores {tuple(scores.shape)} for {len(seen.noisy)} pictures")
        return scores.to(seen.noisy.device)
