"""What a reinforcement step minimises: the paid captions' loss and the pull to the initial captioner, in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from apps.captioning.learning.advantages import (
    advantages,
    comparable,
    dico,
    kl_penalty,
    policy_gradient,
    scaled,
)
from apps.captioning.learning.descent import by_length
from apps.captioning.learning.figures import Pay
from apps.captioning.model import Captioner, Captions
from apps.captioning.train_config import RlConfig
from common.training.workers import Workers


def pass_size(config: RlConfig) -> int:
    """Captions of one forward and backward pass; 0 for all at once. DiCO's hold whole pictures."""
    size = config.micro_batch
    return max(config.samples, size - size % config.samples) if config.algorithm == "dico" and size else size


def worth(config: RlConfig, pay: Pay, weights: Mapping[str, float]) -> Tensor:
    """`(P, K)`: what moves each caption of the whole step: its advantage, or for DiCO its reward."""
    if config.algorithm == "dico":
        return pay.total(weights)
    if config.algorithm == "grpo":
        # One update a sample: the clipped ratio is 1, and its gradient is that of the log-probability.
        return scaled(advantages(pay.total(weights), "mean"), "group")
    # A baseline for each reward separately: where one could not be scored, the others still count.
    each = [
        weights[name] * advantages(values, config.baseline, pay.greedy[name] if len(pay.greedy[name]) else None)
        for name, values in pay.scores.items()
    ]
    return scaled(torch.stack(each).sum(0), config.scale)


def policy_losses(
    captioner: Captioner,
    reference: Captioner | None,
    config: RlConfig,
    seen: Tensor,
    sampled: Captions,
    whole: Tensor,
    workers: Workers,
    figures: dict[str, float],
) -> Iterator[Tensor]:
    """Parts of the loss of all processes' captions.

    Args:
        captioner: what learns.
        reference: the initial captioner, where it is pulled to it.
        config: the settings.
        seen: `(B, D)` the feature of each of this process' captions.
        sampled: `(B,)` the captions, a picture's samples side by side.
        whole: `worth` of the whole step's captions.
        workers: the processes.
        figures: gets this process' part of `kl`.
    """
    own = workers.slice(whole).flatten().to(seen.device)
    pictures = max(1, int(comparable(whole).sum()))
    tokens = 0.0 if reference is None else workers.total(int(sampled.mask.sum()))
    together = config.samples if config.algorithm == "dico" else 1
    for part, length in by_length(sampled.lengths, pass_size(config), together):
        said, mask, paid = sampled.tokens[part, :length], sampled.mask[part, :length], own[part]
        log_probs = captioner.log_probs(seen[part], said, config.temperature)
        before = log_probs.detach()
        if reference is not None:
            with torch.no_grad():
                before = reference.log_probs(seen[part], said, config.temperature)
        # Each is a mean over the part; its share in the whole step makes it a part of the step's mean.
        if config.algorithm == "dico":
            groups = paid.view(-1, config.samples)
            share = int(comparable(groups).sum()) / pictures
            loss = dico(log_probs, before, mask, groups, config.beta or 1.0, config.dico_temperature)
            yield loss * share
            continue
        loss = policy_gradient(log_probs, mask, paid, config.length_normalise) * (len(paid) / whole.numel())
        if reference is not None:
            penalty = kl_penalty(log_probs, before, mask) * (int(mask.sum()) / tokens)
            figures["kl"] = figures.get("kl", 0.0) + float(penalty.detach())
            loss = loss + config.beta * penalty
        yield loss
