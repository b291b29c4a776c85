"""How much better a sampled caption is than what it is compared with, and the losses that follow from it.

Pure functions on tensors. Rewards stand as `(P, K)`: K samples for each of P pictures. A reward that could not be
scored is NaN; it counts for nothing, neither in its own advantage nor in another's baseline.
"""

from __future__ import annotations

import torch
from torch import Tensor

from common.errors import UsageError
from common.training.rate import cosine


def advantages(rewards: Tensor, baseline: str, greedy: Tensor | None = None) -> Tensor:
    """Each sample's reward minus its baseline.

    Args:
        rewards: `(P, K)`; NaN where not scored.
        baseline: `greedy`: the same picture's greedy caption (Rennie 2017, eq. 7); `leave_one_out`: the mean of the
            picture's other samples; `mean`: the mean of all of them.
        greedy: `(P,)` rewards of the greedy captions, for `greedy`.

    Returns:
        `(P, K)`; 0 where there is no reward or nothing to compare it with.

    Raises:
        UsageError: one sample has nothing to be left out of, the greedy rewards are missing, or no such baseline.
    """
    known = rewards.isfinite()
    filled = torch.where(known, rewards, 0.0)
    number = known.sum(1, keepdim=True)
    if baseline == "greedy":
        if greedy is None:
            raise UsageError("the greedy baseline needs the rewards of the greedy captions")
        compared = greedy.unsqueeze(1).expand_as(rewards)
        comparable = compared.isfinite()
    elif baseline == "leave_one_out":
        if rewards.shape[1] < 2:
            raise UsageError("rl.baseline leave_one_out needs rl.samples of 2 or more")
        compared = (filled.sum(1, keepdim=True) - filled) / (number - 1).clamp(min=1)
        comparable = (number > 1).expand_as(rewards)
    elif baseline == "mean":
        compared = filled.sum(1, keepdim=True) / number.clamp(min=1)
        compared, comparable = compared.expand_as(rewards), (number > 0).expand_as(rewards)
    else:
        raise UsageError(f"rl.baseline: there is no {baseline!r}; use greedy, leave_one_out or mean")
    return torch.where(known & comparable, filled - torch.where(comparable, compared, 0.0), 0.0)


def scaled(advantage: Tensor, scale: str) -> Tensor:
    """Advantages divided by their deviation over the step (`batch`), over each picture (`group`), or as they are.

    Where all are equal nothing is divided.
    """
    if scale == "none":
        return advantage
    if scale == "batch":
        deviation = advantage.std(correction=0)
    elif scale == "group":
        deviation = advantage.std(1, correction=0, keepdim=True)
    else:
        raise UsageError(f"rl.scale: there is no {scale!r}; use batch, group or none")
    return advantage / torch.where(deviation > 1e-8, deviation, 1.0)


def extremes(worth: Tensor, keep: int) -> Tensor:
    """`(P, keep)` columns of the samples that are worth most and least, half and half (one more of the best if odd).

    The subset of largest variance, but for ties (PODS, arXiv 2504.13818). All samples, in order, where `keep` is 0 or
    not below their number.
    """
    number = worth.shape[1]
    if not keep or keep >= number:
        return torch.arange(number).expand(len(worth), -1)
    order = worth.argsort(dim=1, descending=True, stable=True)
    best = keep - keep // 2
    return torch.cat([order[:, :best], order[:, number - keep // 2 :]], 1)


def policy_gradient(log_probs: Tensor, mask: Tensor, advantage: Tensor, length_normalise: bool = True) -> Tensor:
    r""":math:`-\frac{1}{B} \sum_i A_i \frac{1}{|c_i|} \sum_t \log p(c_{i,t})` (REINFORCE; CgT-GAN's length norm).

    Args:
        log_probs: `(B, T)` of the sampled tokens themselves.
        mask: `(B, T)`; true up to and including the end token. What follows has no gradient.
        advantage: `(B,)`.
        length_normalise: the mean over a caption's tokens, not their sum.
    """
    total = torch.where(mask, log_probs, 0.0).sum(1)
    return -(advantage * (total / mask.sum(1).clamp(min=1) if length_normalise else total)).mean()


def kl_penalty(log_probs: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Mean over tokens of `exp(d) - d - 1` with d = reference - policy: unbiased for the KL and never negative."""
    difference = torch.where(mask, reference - log_probs, 0.0)
    return (difference.exp() - difference - 1).sum() / mask.sum().clamp(min=1)


def comparable(rewards: Tensor) -> Tensor:
    """`(P,)` bool: whether one sample of the picture is paid more than another; `rewards` as for `dico`."""
    known = rewards.isfinite()
    best, worst = torch.where(known, rewards, -torch.inf).amax(1), torch.where(known, rewards, torch.inf).amin(1)
    # Where all are paid the same, the first is not better than the others.
    return best > worst


def dico(
    log_probs: Tensor, reference: Tensor, mask: Tensor, rewards: Tensor, beta: float, temperature: float
) -> Tensor:
    r"""DiCO (BMVC 2024): the best sample of a picture against the others, the worse the heavier.

    .. math:: -\log \sigma\bigl(\beta [\Delta_{best} - \sum_k \gamma_k \Delta_k]\bigr), \qquad
        \gamma = \mathrm{softmax}_k(\tau (r_{best} - r_k)), \qquad \Delta = \log \pi - \log \pi_{ref}

    Args:
        log_probs: `(P * K, T)` of the policy, a picture's samples side by side.
        reference: `(P * K, T)` of the initial captioner.
        mask: `(P * K, T)`.
        rewards: `(P, K)`; a NaN sample takes no part, nor does a picture whose samples are all paid the same.
        beta: β.
        temperature: τ.
    """
    gain = torch.where(mask, log_probs - reference, 0.0).sum(1).view(rewards.shape)
    known = rewards.isfinite()
    ranked = torch.where(known, rewards, -torch.inf)
    best = ranked.argmax(1, keepdim=True)
    others = known & (torch.arange(rewards.shape[1], device=rewards.device) != best)
    usable = comparable(rewards)
    if not usable.any():
        return gain.sum() * 0.0
    gap = temperature * (ranked.gather(1, best) - ranked)
    weights = torch.softmax(torch.where(others, gap, -torch.inf)[usable], 1)
    margin = gain.gather(1, best)[usable].squeeze(1) - (weights * gain[usable]).sum(1)
    return -torch.nn.functional.logsigmoid(beta * margin).mean()


def ramp(step: int, start: int, length: int, top: float) -> float:
    """CgT-GAN's λ: 0 for the first `start` steps, then linearly up to `top` over `length` steps, then constant."""
    if step <= start and (start or length):
        return 0.0
    return top if not length else top * min(1.0, (step - start) / length)


def rate(step: int, peak: float, warmup: int, total: int, schedule: str) -> float:
    """Learning rate at a step from 0: up over `warmup` steps, then constant, or down a cosine to a tenth."""
    return cosine(step, total, peak, warmup, lowest=1.0 if schedule == "constant" else 0.1)
