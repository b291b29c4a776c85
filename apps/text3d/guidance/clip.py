"""CLIP guidance of Dream Fields: views whose vectors point where the prompt's does, and little of anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from apps.text3d.guidance.prompts import Texts, texts_for
from apps.text3d.scenes.base import Views
from common.errors import UsageError
from common.schedule import Schedule

if TYPE_CHECKING:
    from common.models.clip import Clip

#: Dream Fields' aim for the part of a picture that stays empty: 40 % to 88 % over 500 steps.
TRANSMITTANCE = Schedule(((0.0, 0.4), (500.0, 0.88)))


class ClipGuidance:
    r"""Dream Fields (arXiv 2112.01455, eq. 3 and 4).

    .. math:: L = -\frac1B \sum_b \cos\bigl(g(I_b), h(y_b)\bigr) - \lambda \min\bigl(\tau, \mathrm{mean}(1 -
        \mathrm{opacity})\bigr)

    Range [−1 − λ, 1], lower is better. The paper paints a random background behind the object in every step, without
    which fog fits any prompt: that is the renderer's part.

    Figures: `cosine`, mean over the views, and `transmittance`.

    Args:
        clip: a CLIP.
        prompt: one text, or a function of the cameras.
        sparsity: λ; 0.5 in the paper, 0 leaves the second term away.
        transmittance: τ by the step.

    Raises:
        UsageError: λ is negative, or the prompt is empty.
    """

    def __init__(
        self, clip: Clip, prompt: Texts, sparsity: float = 0.5, transmittance: Schedule = TRANSMITTANCE
    ) -> None:
        if sparsity < 0:
            raise UsageError(f"sparsity {sparsity}: use 0 or more")
        if isinstance(prompt, str) and not prompt.strip():
            raise UsageError("CLIP guidance needs a prompt that is not empty")
        self.clip = clip
        self.prompt = prompt
        self.sparsity = sparsity
        self.transmittance = transmittance
        self._texts: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the views must be."""
        return torch.device(self.clip.device)

    def loss(
        self, views: Views, cameras: Cameras, step: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Guidance.loss`; nothing is drawn here."""
        texts = texts_for(self.prompt, cameras)
        if new := [text for text in dict.fromkeys(texts) if text not in self._texts]:
            with torch.no_grad():
                self._texts.update(zip(new, self.clip.text(new), strict=True))
        wanted = torch.stack([self._texts[text] for text in texts])
        cosine = (self.clip.image(views.rgb) * wanted).sum(1).mean()
        empty = (1 - views.opacity).mean()
        loss = -cosine
        if self.sparsity:
            loss = loss - self.sparsity * empty.clamp(max=self.transmittance(step))
        return loss, {"cosine": float(cosine.detach()), "transmittance": float(empty.detach())}
