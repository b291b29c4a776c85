"""Hands a reward to OpenRLHF as `reward_func`; nothing of it is imported, only its calling convention followed.

Read at OpenRLHF 0.11.2: the file given as `--reward.remote_url` is loaded by its path, and its `reward_func` called
from threads with lists of one row. `rewards` make the advantages, where NaN spoils the group. `scores` decide in
dynamic filtering, which drops a group whose mean is not inside its range, and so one with a NaN. An error is only
logged there; the run then stops where it misses the reward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards.adapters.filling import FillingScorer, Missing
from common.rewards.base import Reward

ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")


class RewardFunc:
    """OpenRLHF's `reward_func`; see `to_openrlhf`."""

    def __init__(self, scorer: FillingScorer, ends: tuple[str, ...]) -> None:
        self.scorer, self.ends = scorer, ends

    def __call__(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **_: Any
    ) -> dict[str, Any]:
        """Three entries, of `(B,)` each; see `FillingScorer` for what it raises.

        `rewards` are finite; `scores` lie in [0, 1] where the bounds are finite and are NaN where the grader failed;
        `extra_logs` holds `failed` and the parts.
        """
        said = [self._answer(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
        given = {"completion": said, "prompt": list(prompts), "reference": list(labels), "label": list(labels)}
        filled = self.scorer(given, list(prompts))
        rewards, failed = torch.tensor(filled.values), torch.tensor(filled.failed)
        low, high = self.scorer.reward.bounds
        scores = (rewards - low) / (high - low) if math.isfinite(high - low) else rewards
        logs = {name: torch.tensor(part) for name, part in filled.parts.items()}
        scores = scores.masked_fill(failed, math.nan)
        return {"rewards": rewards, "scores": scores, "extra_logs": {**logs, "failed": failed.float()}}

    def _answer(self, query: str, prompt: str) -> str:
        start = query.find(prompt)
        if start < 0:
            raise RewardError(f"a query does not hold its prompt, which begins {prompt[:60]!r}: was it cut short?")
        answer = query[start + len(prompt) :]
        while end := next((end for end in self.ends if answer.endswith(end)), ""):
            answer = answer.removesuffix(end)
        return answer


def to_openrlhf(
    reward: Reward, ends: Sequence[str] = ENDS, missing: Missing = "group", concurrent: bool = False
) -> RewardFunc:
    """A `reward_func` whose reward finds the answer in `completion` and the label in `reference`; it pickles.

    `ends` are special tokens, which a query keeps, to be cut from the answer's end. Rows of one prompt are a group; a
    row alone has none, so there a failure of the grader raises unless `missing` is a number. With a number and dynamic
    filtering the whole group is left out. Other arguments: see `FillingScorer`.
    """
    return RewardFunc(FillingScorer(reward, missing=missing, concurrent=concurrent), tuple(filter(None, ends)))
