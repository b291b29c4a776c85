"""Text-only initialisation: say a sentence from the sentence's own CLIP feature (CgT-GAN, CapDec, DeCap)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from apps.captioning.learning.advantages import rate
from apps.captioning.model import Captioner
from apps.captioning.train_config import InitConfig
from common.errors import TouchstoneError
from common.training.sampler import CyclicSampler

# Steps in a row without a usable gradient before a run stops.
PATIENCE = 5


def noisy(features: Tensor, variance: float, generator: torch.Generator | None = None) -> Tensor:
    """CapDec's noise: features of length 1 plus a Gaussian of this variance in every dimension, scaled to length 1."""
    if variance <= 0:
        return features
    noise = torch.randn(features.shape, generator=generator).to(features.device)
    return nn.functional.normalize(features + variance**0.5 * noise, dim=-1)


def text_loss(
    captioner: Captioner, features: Tensor, texts: Sequence[str], longest: int, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of sentences after their features: every token counts, the end token too, padding does not.

    Args:
        captioner: the model.
        features: `(B, D)`.
        texts: `(B,)`.
        longest: tokens of a sentence, at most.
        smoothing: of the labels.
    """
    tokens, mask = captioner.encode(list(texts), longest)
    logits = captioner.logits(features.to(captioner.device), tokens)
    return nn.functional.cross_entropy(logits[mask].float(), tokens[mask], label_smoothing=smoothing)


class Initialiser:
    """One run of the initialisation, step by step.

    Args:
        captioner: what learns.
        config: the settings.
        corpus: `(N,)` sentences.
        features: `(N, D)` their CLIP features.
        longest: tokens of a sentence, at most.
        seed: of order and noise.
    """

    def __init__(
        self,
        captioner: Captioner,
        config: InitConfig,
        corpus: Sequence[str],
        features: Tensor,
        longest: int,
        seed: int,
    ) -> None:
        self.captioner, self.config, self.corpus, self.features = captioner, config, corpus, features
        self.longest = longest
        self.sampler = CyclicSampler(len(corpus), config.batch_size, seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            captioner.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.steps = 0
        self.bad_steps = 0

    def step(self) -> dict[str, float]:
        """One optimiser step; returns its figures.

        Raises:
            TouchstoneError: no usable gradient for five steps in a row.
        """
        rows = self.sampler.next()
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.steps, self.config.learning_rate, self.config.warmup, self.config.steps, "cosine")
        features = noisy(self.features[rows], self.config.noise, self.generator)
        self.captioner.train()
        loss = text_loss(
            self.captioner, features, [self.corpus[row] for row in rows], self.longest, self.config.label_smoothing
        )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.captioner.parameters(), 1.0)
        skipped = not bool(norm.isfinite())
        if not skipped:
            self.optimizer.step()
        self.bad_steps = self.bad_steps + 1 if skipped else 0
        if self.bad_steps >= PATIENCE:
            raise TouchstoneError(
                f"step {self.steps}: the gradient was no number for {PATIENCE} steps in a row; "
                "lower init.learning_rate"
            )
        self.steps += 1
        return {"loss": float(loss.detach()), "gradient": float(norm), "skipped": float(skipped)}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "captioner": self.captioner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "generator": self.generator.get_state(),
            # The decoder's dropout draws from it.
            "torch": torch.get_rng_state(),
            "step": self.steps,
            "bad_steps": self.bad_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.captioner.load_state_dict(state["captioner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        self.steps, self.bad_steps = state["step"], state["bad_steps"]
