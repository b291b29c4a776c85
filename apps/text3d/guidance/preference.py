"""DreamDPO: of two noisy versions of a view, towards the one that a judge prefers and away from the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.guidance.distillation import Prediction, ScoreDistillation, pulled
from apps.text3d.guidance.own import check_columns
from apps.text3d.scenes.base import Views
from common.errors import GraderFailure, UsageError
from common.rewards.adapters.loss import FAILED_SHARE, PATIENCE
from common.rewards.base import Reward

#: Scores `(B,)` of pictures `(B, 3, H, W)` in [0, 1] at a step, the higher the better, NaN where there is none.
Judge = Callable[[Tensor, int], Tensor]


class RewardJudge:
    """A reward of the catalogue as a judge: `images` are the pictures, `prompt` and `completion` the prompt of each.

    Args:
        reward: with a gradient or without.
        prompt: one text.

    Raises:
        UsageError: the reward needs a column that a view has not.
    """

    def __init__(self, reward: Reward, prompt: str) -> None:
        check_columns(reward, "guidance.sds.judge")
        self.reward = reward
        self.prompt = prompt

    def __call__(self, shown: Tensor, step: int) -> Tensor:
        """Its scores; see `Judge`."""
        texts = [self.prompt] * len(shown)
        return self.reward(images=shown, prompt=texts, completion=texts, step=step).values


class PreferenceDistillation(ScoreDistillation):
    r"""Score distillation from pairs, DreamDPO's form (arXiv 2502.04370).

    Two noises at one timestep give two pictures x₀; a judge orders them. With n the noise put in,

    .. math:: \partial L / \partial z = w(t) \bigl[(\hat\epsilon^{win} - n^{win}) -
        (\epsilon_{text}^{lose} - n^{lose})\bigr] / B

    and where the scores are less than `gap` apart only the winner's part. (The published code leaves n out there.)
    So too where the judge has no score for one of the two: the first noise's part alone, which is plain distillation.

    Figures: as of `ScoreDistillation`, `gap`, mean distance of the two scores, and `unjudged`, views without them.

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
        self.failed_steps = 0

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Guidance.loss`.

        Raises:
            GraderFailure: the judge had no score for more than 20 % of the views in five steps in a row.
        """
        clean = self.prior.encode(views.rgb)
        with torch.no_grad():
            timesteps = self.timesteps(len(clean), step, generator).to(clean.device)
            noises = [self.gaussian(clean, generator) for _ in range(2)]
            seen = [self.predict(clean.detach(), noise, timesteps, cameras) for noise in noises]
            scores = [self._score(one, step) for one in seen]
            apart = (scores[0] - scores[1]).abs()
            known = apart.isfinite()
            self._count(int((~known).sum()), len(clean))
            first = ((scores[0] >= scores[1]) | ~known).view(-1, 1, 1, 1)
            guided = [one.guided - noise for one, noise in zip(seen, noises, strict=True)]
            text = [one.text - noise for one, noise in zip(seen, noises, strict=True)]
            lost = torch.where(first, text[1], text[0]) * (known & (apart >= self.gap)).view(-1, 1, 1, 1)
            gradient = self.weight(seen[0].alpha) * (torch.where(first, guided[0], guided[1]) - lost)
        part = float(timesteps.float().mean()) / self.prior.timesteps
        figures = {"t": part, "unjudged": float((~known).sum())}
        return pulled(clean, gradient), figures | ({"gap": float(apart[known].mean())} if known.any() else {})

    def _count(self, unjudged: int, views: int) -> None:
        self.failed_steps = self.failed_steps + 1 if unjudged > FAILED_SHARE * views else 0
        if self.failed_steps >= PATIENCE:
            raise GraderFailure(
                f"guidance.sds.judge had no score for {unjudged} of {views} views, and so {PATIENCE} steps in a row"
            )

    def _score(self, seen: Prediction, step: int) -> Tensor:
        scores = self.judge(self.prior.decode(seen.clean(seen.guided)), step)
        if scores.shape != (len(seen.noisy),):
            raise UsageError(f"the judge gave scores {tuple(scores.shape)} for {len(seen.noisy)} pictures")
        return scores.to(seen.noisy.device)
