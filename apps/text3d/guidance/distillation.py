"""Score distillation: a diffusion model pulls the views towards pictures that it believes in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.guidance.prior import DiffusionPrior
from apps.text3d.guidance.prompts import Negatives, Texts, guided, perp_neg, texts_for
from apps.text3d.scenes.base import Views
from common.errors import UsageError
from common.schedule import Schedule, constant

log = logging.getLogger(__name__)

#: w(t) from ᾱ_t. DreamFusion's is σ² = 1 − ᾱ; Fantasia3D's is √ᾱ (1 − ᾱ), small at both ends.
WEIGHTINGS = ("sigma2", "uniform", "fantasia3d")


@dataclass(frozen=True)
class DistillationSettings:
    """How the noise that a model predicts becomes a gradient.

    Args:
        form: "sds", DreamFusion's, or "x0", the reconstruction that MVDream and VLM3D use.
        scale: of classifier-free guidance, s in ε_u + s (ε_t − ε_u). threestudio's scale is one less.
        t_min: earliest timestep, as a part of all; annealed by a schedule.
        t_max: latest. VLM3D: [0, 0.98, 0.02, 8000] and [0, 0.98, 0.5, 8000].
        weighting: w(t) of "sds": "sigma2", "uniform" or "fantasia3d".
        rescale: part of "x0" that gets the spread of what is predicted for the text alone; VLM3D 0.5, none 0.
        same_timestep: one timestep for all views of a batch, instead of one each.
        rows_at_once: most pictures in one pass of the UNet; 0 is no bound.
        seed: of the guidance's own generator.
    """

    form: Literal["sds", "x0"] = "sds"
    scale: float = 100.0
    t_min: Schedule = field(default_factory=lambda: constant(0.02))
    t_max: Schedule = field(default_factory=lambda: constant(0.98))
    weighting: Literal["sigma2", "uniform", "fantasia3d"] = "sigma2"
    rescale: float = 0.5
    same_timestep: bool = False
    rows_at_once: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in ("sds", "x0"):
            raise UsageError(f"form {self.form!r}: use sds or x0")
        if self.weighting not in WEIGHTINGS:
            raise UsageError(f"weighting {self.weighting!r}: use {', '.join(WEIGHTINGS)}")
        if not 0 <= self.rescale <= 1:
            raise UsageError(f"rescale {self.rescale}: use 0 to 1")
        bounds = (*self.t_min.bounds, *self.t_max.bounds)
        steps = [step for step, _ in (*self.t_min.points, *self.t_max.points)]
        if min(bounds) < 0 or max(bounds) > 1 or any(self.t_min(step) > self.t_max(step) for step in steps):
            raise UsageError("t_min and t_max are parts of all timesteps: 0 <= t_min <= t_max <= 1 at every step")


@dataclass(frozen=True)
class Prediction:
    """What a model sees in noisy pictures.

    Attributes:
        noisy: `(B, C, h, w)` z_t.
        alpha: `(B, 1, 1, 1)` ᾱ_t.
        text: `(B, C, h, w)` noise for the text alone.
        guided: with guidance.
    """

    noisy: Tensor
    alpha: Tensor
    text: Tensor
    guided: Tensor

    def clean(self, noise: Tensor) -> Tensor:
        """The picture that is left once a noise is taken away: (z_t − √(1 − ᾱ) ε) / √ᾱ."""
        return (self.noisy - (1 - self.alpha).sqrt() * noise) / self.alpha.sqrt()


class ScoreDistillation:
    r"""Score distillation sampling and its reconstruction form.

    With z what the UNet works on (pixels, or latents by way of the VAE's encoder, through which the gradient goes),
    :math:`z_t = \sqrt{\bar\alpha}\, z + \sqrt{1 - \bar\alpha}\, \epsilon`, nothing differentiated through the UNet:

    * "sds" (DreamFusion, arXiv 2209.14988, 3): :math:`\partial L / \partial z = w(t)(\hat\epsilon - \epsilon) / B`;
    * "x0" (MVDream, VLM3D): :math:`L = \tfrac12 \|z - \mathrm{sg}(x_0')\|^2 / B`, :math:`x_0' = r\, x_0
      \frac{\mathrm{std}(x_0^{text})}{\mathrm{std}(x_0)} + (1 - r)\, x_0`. With r = 0 that is "sds" with
      :math:`w = \sqrt{(1 - \bar\alpha) / \bar\alpha}`.

    The value is half the squared length of the gradient, mean over the views: it shows how far the model is from
    content, but a lower one does not mean a better scene, since it changes with t.

    Figures: `t`, mean timestep as a part of all; `guidance`, length of the change that the text makes, per view.

    Args:
        prior: the diffusion model.
        prompt: one text, or a function of the cameras such as `view_dependent`.
        negative: what should not be seen, in place of no text; empty is plain guidance.
        perpendicular: negatives taken by Perp-Neg instead, such as `other_directions`; then `negative` must be empty.
        settings: the rest.
    """

    def __init__(
        self,
        prior: DiffusionPrior,
        prompt: Texts,
        negative: Texts = "",
        perpendicular: Negatives | None = None,
        settings: DistillationSettings | None = None,
    ) -> None:
        if perpendicular is not None and negative != "":
            raise UsageError("give either a negative prompt or Perp-Neg's, not both")
        if not prior.takes_text:
            log.warning("%s takes no text, so the prompt has no part in score distillation", prior.name)
        self.prior = prior
        self.prompt = prompt
        self.negative = negative
        self.perpendicular = perpendicular
        self.settings = settings or DistillationSettings()
        self.generator = torch.Generator().manual_seed(self.settings.seed)

    @property
    def device(self) -> torch.device:
        """Where the views must be."""
        return torch.device(self.prior.unet.device)

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Guidance.loss`."""
        clean = self.prior.encode(views.rgb)
        with torch.no_grad():
            timesteps = self.timesteps(len(clean), step, generator).to(clean.device)
            noise = self.gaussian(clean, generator)
            seen = self.predict(clean.detach(), noise, timesteps, cameras)
            if self.settings.form == "sds":
                gradient = self.weight(seen.alpha) * (seen.guided - noise)
            else:
                gradient = clean - self._target(seen)
            figures = {
                "t": float(timesteps.float().mean()) / self.prior.timesteps,
                "guidance": float((seen.guided - seen.text).flatten(1).norm(dim=1).mean()),
            }
        return pulled(clean, gradient), figures

    def timesteps(self, count: int, step: int, generator: torch.Generator | None = None) -> Tensor:
        """`(count,)` drawn evenly from the range of this step, both ends included."""
        source = self.generator if generator is None else generator
        low, high = self.range(step)
        drawn = 1 if self.settings.same_timestep else count
        return torch.randint(low, high + 1, (drawn,), generator=source, device=source.device).expand(count)

    def range(self, step: int) -> tuple[int, int]:
        """Earliest and latest timestep at a step of the run."""
        last = self.prior.timesteps - 1
        high = min(round(self.settings.t_max(step) * self.prior.timesteps), last)
        return min(round(self.settings.t_min(step) * self.prior.timesteps), high), high

    def gaussian(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise of this shape, drawn where the generator is: the private one is on the CPU, whatever the device."""
        source = self.generator if generator is None else generator
        return torch.randn(like.shape, generator=source, device=source.device).to(like)

    def weight(self, alpha: Tensor) -> Tensor:
        """w(t)."""
        if self.settings.weighting == "uniform":
            return torch.ones_like(alpha)
        return (1 - alpha) * (alpha.sqrt() if self.settings.weighting == "fantasia3d" else 1)

    @torch.no_grad()
    def predict(self, clean: Tensor, noise: Tensor, timesteps: Tensor, cameras: Cameras) -> Prediction:
        """What the model sees in `clean` under this noise."""
        alpha = self.prior.alphas(timesteps)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        if not self.prior.takes_text:
            said = self._noise(noisy, timesteps, None)
            return Prediction(noisy, alpha, said, said)
        texts = [texts_for(self.prompt, cameras), texts_for(self.negative, cameras)]
        weights = None
        if self.perpendicular is not None:
            rows = self.perpendicular(cameras)
            texts += [list(column) for column in zip(*[[text for text, _ in row] for row in rows], strict=True)]
            weights = clean.new_tensor([[weight for _, weight in row] for row in rows])
        times = len(texts)
        embeddings = self.prior.embed([text for column in texts for text in column])
        said = self._noise(noisy.repeat(times, 1, 1, 1), timesteps.repeat(times), embeddings)
        text, base, *negatives = said.chunk(times)
        if weights is None or not negatives:
            return Prediction(noisy, alpha, text, guided(text, base, self.settings.scale))
        across = perp_neg(text, base, torch.stack(negatives, 1), weights, self.settings.scale)
        return Prediction(noisy, alpha, text, across)

    def state_dict(self) -> dict[str, Any]:
        """The private generator's state."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.generator.set_state(state["generator"])

    def _noise(self, noisy: Tensor, timesteps: Tensor, embeddings: Tensor | None) -> Tensor:
        size = self.settings.rows_at_once or len(noisy)
        parts = [slice(start, start + size) for start in range(0, len(noisy), size)]
        each = (None if embeddings is None else embeddings[part] for part in parts)
        return torch.cat(
            [self.prior.noise(noisy[part], timesteps[part], texts) for part, texts in zip(parts, each, strict=True)]
        )

    def _target(self, seen: Prediction) -> Tensor:
        found, share = seen.clean(seen.guided), self.settings.rescale
        if share == 0:
            return found
        wanted, spread = (each.std((1, 2, 3), keepdim=True) for each in (seen.clean(seen.text), found))
        return share * found * (wanted / spread.clamp_min(1e-8)) + (1 - share) * found


def pulled(clean: Tensor, gradient: Tensor) -> Tensor:
    """A scalar ½‖g‖² / B whose gradient with respect to `clean` is g / B, whatever g was computed from."""
    gradient = gradient.detach()
    value = 0.5 * (gradient**2).sum() / len(clean)
    return value + (gradient * (clean - clean.detach())).sum() / len(clean)
