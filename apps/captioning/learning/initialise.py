"""Text-only initialisation: say a sentence from the sentence's own CLIP feature (CgT-GAN, CapDec, DeCap)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from apps.captioning.learning.advantages import rate
from apps.captioning.learning.descent import by_length, descend, random_state, restore_random
from apps.captioning.model import Captioner
from apps.captioning.train_config import InitConfig
from common.errors import TouchstoneError
from common.training.sampler import CyclicSampler
from common.training.workers import ALONE, Workers

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
    first, *others = text_losses(captioner, features, texts, longest, smoothing)
    return sum(others, start=first)


def text_losses(
    captioner: Captioner,
    features: Tensor,
    texts: Sequence[str],
    longest: int,
    smoothing: float = 0.0,
    micro_batch: int = 0,
    workers: Workers = ALONE,
) -> Iterator[Tensor]:
    """`text_loss` in parts that add up to that of all processes' sentences.

    Args:
        captioner: the model.
        features: `(B, D)` of this process' sentences.
        texts: `(B,)`.
        longest: tokens of a sentence, at most.
        smoothing: of the labels.
        micro_batch: sentences of a part; 0 makes one of all.
        workers: the processes.
    """
    tokens, mask = captioner.encode(list(texts), longest)
    # The mean over the whole step's tokens: a process or a part with longer sentences weighs more.
    count = workers.total(int(mask.sum()))
    features = features.to(captioner.device)
    for part, length in by_length(mask.sum(1), micro_batch):
        said, kept = tokens[part, :length], mask[part, :length]
        logits = captioner.logits(features[part], said)
        mean = nn.functional.cross_entropy(logits[kept].float(), said[kept], label_smoothing=smoothing)
        yield mean * (int(kept.sum()) / count)


class Initialiser:
    """One run of the initialisation, step by step.

    Args:
        captioner: what learns.
        config: the settings.
        corpus: `(N,)` sentences.
        features: `(N, D)` their CLIP features.
        longest: tokens of a sentence, at most.
        seed: of order and noise.
        workers: the processes; the order is the same in all, the noise is not.

    Raises:
        UsageError: the processes cannot share a step out.
    """

    def __init__(
        self,
        captioner: Captioner,
        config: InitConfig,
        corpus: Sequence[str],
        features: Tensor,
        longest: int,
        seed: int,
        workers: Workers = ALONE,
    ) -> None:
        workers.check_divides("init.batch_size", config.batch_size)
        workers.share(captioner)
        self.workers = workers
        self.captioner, self.config, self.corpus, self.features = captioner, config, corpus, features
        self.longest = longest
        self.sampler = CyclicSampler(len(corpus), config.batch_size, seed)
        self.generator = torch.Generator().manual_seed(workers.seed(seed))
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
        config, rows = self.config, self.workers.slice(self.sampler.next())
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.steps, config.learning_rate, config.warmup, config.steps, "cosine")
        features = noisy(self.features[rows], config.noise, self.generator)
        self.captioner.train()
        losses = text_losses(
            self.captioner,
            features,
            [self.corpus[row] for row in rows],
            self.longest,
            config.label_smoothing,
            config.micro_batch,
            self.workers,
        )
        loss, norm, usable = descend(losses, self.captioner, self.optimizer, not config.micro_batch, self.workers)
        skipped = not usable
        self.bad_steps = self.bad_steps + 1 if skipped else 0
        if self.bad_steps >= PATIENCE:
            raise TouchstoneError(
                f"step {self.steps}: the gradient was no number for {PATIENCE} steps in a row; "
                "lower init.learning_rate"
            )
        self.steps += 1
        return {"loss": loss, "gradient": norm, "skipped": float(skipped)}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "captioner": self.captioner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            # Of the noise, and of the decoder's dropout.
            **random_state(self.generator, self.workers),
            "step": self.steps,
            "bad_steps": self.bad_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.captioner.load_state_dict(state["captioner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        restore_random(state, self.generator, self.workers)
        self.steps, self.bad_steps = state["step"], state["bad_steps"]
