"""The pure functions behind the transforms and aggregations: tensors in, tensors out, NaN where nothing is known."""

from __future__ import annotations

import torch
from torch import Tensor

from common.rewards import functional


def confidence_mix(confidence: Tensor, rule: Tensor, model: Tensor) -> Tensor:
    r""":math:`c\,r_{rule} + (1 - c)\,r_{model}`, `(B,)`; c lies in [0, 1].

    What has no weight may be missing: at c = 1 the model's value, at c = 0 the rule's. Everything else that is missing
    makes the row NaN, c itself too.
    """
    mixed = confidence * rule + (1 - confidence) * model
    return torch.where(confidence >= 1, rule, torch.where(confidence <= 0, model, mixed))


def soft_gate(values: Tensor, gate: Tensor, threshold: float, temperature: float) -> Tensor:
    r""":math:`r\,\sigma((g - \tau) / T)`, `(B,)`; NaN where either is missing, unless r is 0."""
    return functional.product(torch.stack([values, torch.sigmoid((gate - threshold) / temperature)]))


def ensemble(values: Tensor, kappa: float = 0.0, least: int = 1) -> Tensor:
    r"""Mean of the members less κ of their deviation: :math:`\bar r - \kappa\,s`, s with K in its denominator.

    Args:
        values: `(K, B)`, NaN where a member could not score.
        kappa: κ, 0 or more.
        least: members that must have scored a row.

    Returns:
        `(B,)`; NaN where fewer than `least` members scored. Never a sum that takes a missing member for 0.
    """
    known = ~values.isnan()
    count = known.sum(0)
    mean = torch.where(known, values, 0.0).sum(0) / count.clamp(min=1)
    square = torch.where(known, values - mean, 0.0).square().sum(0) / count.clamp(min=1)
    # The root has no gradient at 0, where all members agree.
    spread = torch.where(square > 0, square.clamp(min=torch.finfo(values.dtype).tiny).sqrt(), 0.0)
    return torch.where(count >= max(1, least), mean - kappa * spread, torch.nan)


def z_scores(values: Tensor, noise: float = 0.0) -> Tensor:
    r""":math:`(r - \bar r) / \max(s, d)` of one group, `(G,)`, s with G − 1 in its denominator as in trl.

    Without a floor d = `noise`, cosines of .860 to .863 become ±1.1. All 0 where the values are equal, or one alone.
    """
    if len(values) < 2:
        return torch.zeros_like(values)
    width = max(float(values.std()), noise)
    # Equal values have a deviation of rounding errors.
    flat = not bool((values != values[0]).any()) or width <= 0
    return torch.zeros_like(values) if flat else (values - values.mean()) / width


def rank_shares(values: Tensor) -> Tensor:
    r""":math:`(\mathrm{rank} - 1) / (G - 1)` of one group, `(G,)` in [0, 1]; ties share their mean rank.

    One alone is 1/2.
    """
    if len(values) < 2:
        return torch.full_like(values, 0.5)
    below = (values.unsqueeze(0) < values.unsqueeze(1)).sum(1)
    tied = (values.unsqueeze(0) == values.unsqueeze(1)).sum(1) - 1
    return (below + tied / 2).to(values) / (len(values) - 1)


def group_length_penalty(lengths: Tensor, correct: Tensor, most: float, tolerance: float) -> Tensor:
    r""":math:`-P_{max}\,\mathrm{clip}\bigl((n - \bar n_c) / (\tau\,\bar n_c), 0, 1\bigr)` on the correct rows of a
    group.

    Args:
        lengths: `(G,)` n.
        correct: `(G,)` bool; their mean length is n̄_c. Without a correct row nothing is longer than it should be.
        most: P_max.
        tolerance: τ.

    Returns:
        `(G,)` in [−P_max, 0]; 0 on the other rows.
    """
    if not correct.any():
        return torch.zeros_like(lengths)
    mean = lengths[correct].mean()
    over = ((lengths - mean) / (tolerance * mean).clamp(min=1e-9)).clamp(0, 1)
    return torch.where(correct, -most * over, 0.0)


def potential_shaping(before: Tensor, after: Tensor, gamma: float, terminal: Tensor | None = None) -> Tensor:
    r""":math:`F = \gamma\,\Phi(s') - \Phi(s)` (Ng et al. 1999), `(B,)`, with Φ = 0 in a terminal s'.

    Over an episode :math:`\sum_t \gamma^t F_t = \gamma^T \Phi(s_T) - \Phi(s_0)`; where s_T is terminal nothing that
    the policy does after s_0 changes it.

    Args:
        before: Φ(s).
        after: Φ(s').
        gamma: γ, the trainer's discount.
        terminal: `(B,)` bool, s' ends the episode for good (no time limit); None keeps Φ(s_T).
    """
    if terminal is not None:
        after = torch.where(terminal, 0.0, after)
    return gamma * after - before


def discounted_credit(total: Tensor | float, length: int, gamma: float) -> Tensor:
    r"""`(T,)` :math:`r_t = \gamma^{T - 1 - t} R`: what came at the end, for every step that led there."""
    ages = torch.arange(length - 1, -1, -1, dtype=torch.float64)
    return total * gamma**ages


def step_penalty(steps: Tensor, each: float, free: float = 0.0, most: float = 1.0) -> Tensor:
    r""":math:`-\min(c \max(n - n_0, 0), c_{max})`, `(B,)`."""
    return -(each * (steps - free).clamp(min=0)).clamp(max=most)


def count_decay(values: Tensor, counts: Tensor, beta: float) -> Tensor:
    r""":math:`r\,N^{-\beta}`, `(B,)`, N at least 1."""
    return values * counts.to(values) ** -beta


def length_incentive(length: int, unit: float, cap: float) -> float:
    """`min(length / unit, cap)`."""
    return min(length / unit, cap)


def above(values: Tensor, threshold: float) -> Tensor:
    r""":math:`r \cdot 1[r > \epsilon]`; NaN stays NaN."""
    return torch.where(values <= threshold, 0.0, values)


def dead_band(values: Tensor, band: float, at: float) -> Tensor:
    """`at` within `band` of `at`, nearer to it by `band` beyond; monotone and without a jump; NaN stays NaN."""
    return at + functional.shrink(values - at, band)
