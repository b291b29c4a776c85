"""Credit for single tokens from a model that rewards itself, after T-REG (arXiv 2412.02685).

Functions, not rewards: a trainer of trl takes one number a completion, so that token credit needs a loss of its own (a
regulariser beside DPO in T-REG). Nothing here uses them by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from common.errors import RewardError


def contrastive_token_rewards(
    model: Any,
    ids: Tensor,
    better: Sequence[Sequence[int]],
    worse: Sequence[Sequence[int]],
    mask: Tensor | None = None,
) -> Tensor:
    r""":math:`\hat r_t = \sigma\bigl(\log \pi(y_t | x_b, y_{<t}) - \log \pi(y_t | x_w, y_{<t})\bigr) - 1/2`.

    How much more likely each token is after a prompt that asks for a better answer than after one that asks for a
    worse one. Range [−1/2, 1/2], higher is better; 0 where the prompts make no difference. Two forwards without
    gradient.

    Args:
        model: a causal language model of transformers' kind: `model(input_ids=, attention_mask=).logits`. It is used
            as it is; T-REG freezes it.
        ids: `(B, T)` long, the completions, padded on the right.
        better: token ids of each row's prompt that asks for a better answer.
        worse: of the one that asks for a worse one.
        mask: `(B, T)`, true for a completion's own tokens; all of them where not given.

    Returns:
        `(B, T)` float32; 0 behind a completion's end.

    Raises:
        RewardError: shapes that do not belong together, or a row without a prompt.
    """
    if ids.ndim != 2 or not len(ids) == len(better) == len(worse):
        raise RewardError(
            f"ids {tuple(ids.shape)}, {len(better)} better and {len(worse)} worse prompts are not one a row"
        )
    mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    if mask.shape != ids.shape:
        raise RewardError(f"the mask has shape {tuple(mask.shape)}, the ids {tuple(ids.shape)}")
    gap = _log_probs(model, ids, better, mask) - _log_probs(model, ids, worse, mask)
    return torch.where(mask, torch.sigmoid(gap) - 0.5, 0.0)


def spread(
    sequence_reward: Tensor,
    token_reward: Tensor,
    mask: Tensor | None = None,
    mode: Literal["share", "add"] = "share",
) -> Tensor:
    r"""A completion's reward over its tokens: :math:`r_t = r\,T\,\mathrm{softmax}(\hat r)_t`, or :math:`r + \hat r_t`.

    With "share" the mean over the tokens is r, whatever the tokens' rewards; a negative r weighs most on the tokens
    with the highest ones, so move r to 0 or above first. With "add" the mean is r plus the mean token reward.

    Args:
        sequence_reward: `(B,)`; a NaN stays NaN on every token.
        token_reward: `(B, T)`.
        mask: `(B, T)`, true for a completion's own tokens.
        mode: see above.

    Returns:
        `(B, T)`; 0 behind a completion's end.

    Raises:
        RewardError: an unknown mode.
    """
    mask = torch.ones_like(token_reward, dtype=torch.bool) if mask is None else mask.bool()
    each = sequence_reward.unsqueeze(1)
    if mode == "share":
        # A row without tokens has no share to give; the mask takes its NaN out below.
        shares = torch.softmax(torch.where(mask, token_reward, -torch.inf), 1)
        paid = each * shares * mask.sum(1, keepdim=True)
    elif mode == "add":
        paid = each + token_reward
    else:
        raise RewardError(f"a reward is spread by share or by add, not by {mode!r}")
    return torch.where(mask, paid, 0.0)


@torch.no_grad()
def _log_probs(model: Any, ids: Tensor, prompts: Sequence[Sequence[int]], mask: Tensor) -> Tensor:
    """`(B, T)` log-probabilities of `ids`, each row after its own prompt."""
    lengths = [len(prompt) for prompt in prompts]
    if min(lengths, default=1) < 1:
        raise RewardError(f"row {lengths.index(0)} has an empty prompt; the first token would have nothing before it")
    size, width = ids.shape
    # Padded on the right: in a causal model what follows changes nothing, and positions count from 0 in every row.
    rows = ids.new_zeros((size, max(lengths, default=0) + width))
    seen = torch.zeros_like(rows)
    at = torch.tensor(lengths, device=ids.device).unsqueeze(1) + torch.arange(width, device=ids.device)
    for row, prompt in enumerate(prompts):
        rows[row, : lengths[row]] = torch.as_tensor(list(prompt)).to(rows)
        seen[row, : lengths[row]] = 1
    rows.scatter_(1, at, torch.where(mask, ids, 0))
    seen.scatter_(1, at, mask.long())
    logits = model(input_ids=rows, attention_mask=seen).logits.float()
    picked = logits.gather(1, (at - 1).unsqueeze(2).expand(-1, -1, logits.shape[2]))
    return picked.log_softmax(2).gather(2, ids.clamp(min=0).unsqueeze(2)).squeeze(2)
