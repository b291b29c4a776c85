"""How likely the right answer becomes: a language model as a judge that is never asked for words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from common.errors import RewardError
from common.models.language import prompt_text
from common.rewards.base import Reward, RewardOutput, nan_like
from common.rewards.text.matching import EMPTY, NO_REFERENCE, references_of


def mean_log_prob(model: Any, contexts: Sequence[list[int]], targets: Sequence[list[int]], pad: int) -> Tensor:
    r""":math:`\frac1T \sum_t \log p(y_t | x, y_{<t})` of each target behind its context, `(B,)` in nats.

    Rows are padded on the right, where a causal model does not see it.

    Args:
        model: a causal language model.
        contexts: token ids, one or more each.
        targets: token ids, one or more each.
        pad: a token id.
    """
    longest = max(len(context) + len(target) for context, target in zip(contexts, targets, strict=True))
    rows = [context + target for context, target in zip(contexts, targets, strict=True)]
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits.float().log_softmax(-1)
    found = []
    for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        before = logits[row, len(context) - 1 : len(context) + len(target) - 1]
        found.append(before.gather(1, torch.tensor(target, device=model.device)[:, None]).mean())
    return torch.stack(found).cpu()


class Likelihood(Reward):
    r"""Mean log-probability of the right answer behind prompt and completion, cut at `floor`.

    .. math:: \max\Bigl(\tfrac1T \sum_t \log p(y^*_t | x, \hat y, y^*_{<t}),\ floor\Bigr)

    Range [floor, 0] nats, higher is better. Inspired by LLM-Embedder (Retrieve Anything, 2023): a retrieved text is
    worth how likely it makes the right answer. Sound for a retriever or a rewriter; a policy that may write the answer
    into its completion is paid for that, as it should be for an answer and should not for a document.

    An empty completion scores `floor` with a reason (the policy's fault); an empty reference is NaN (the data's); so
    is a row of which the model returns no number. A context that is too long for the model loses its beginning, and
    `truncated` counts it.

    Args:
        model: folder or hub id of a causal language model; opened on first use, frozen, float32.
        template: makes the context of `{prompt}` and `{completion}`.
        prompt: column of prompts.
        reference: column of right answers; of a list the likeliest counts.
        floor: least value, below 0.
        device: torch device.
        at_once: texts in one forward pass.
        name: the part's name.

    Raises:
        RewardError: `floor` is not below 0, or the template does not hold the completion.
    """

    def __init__(
        self,
        model: str,
        template: str = "{completion}\n{prompt}\n",
        prompt: str = "prompt",
        reference: str = "reference",
        floor: float = -10.0,
        device: str = "cpu",
        at_once: int = 8,
        name: str = "likelihood",
    ) -> None:
        if not -math.inf < floor < 0:
            raise RewardError(f"reward {name!r}: floor {floor} must be below 0")
        if "{completion}" not in template:
            raise RewardError(f"reward {name!r}: the template holds no {{completion}}: {template!r}")
        self.model, self.template, self.device, self.at_once = model, template, device, at_once
        self.prompt, self.reference = prompt, reference
        self.floor = floor
        self.name = name
        self.needs = ("completion", prompt, reference)
        self.bounds = (floor, 0.0)
        self.truncated = 0
        self._opened: tuple[Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def score(self, **columns: Any) -> RewardOutput:
        """Score each row's references; see `Reward.score`."""
        said = columns["completion"]
        values, reasons = nan_like(len(said)), [""] * len(said)
        asked: list[tuple[int, str, str]] = []
        for row, text in enumerate(said):
            references = references_of(columns[self.reference][row])
            if not references:
                reasons[row] = NO_REFERENCE
            elif not text.strip():
                values[row], reasons[row] = self.floor, EMPTY
            else:
                # Replaced one by one: braces of a text are no fields.
                context = self.template.replace("{prompt}", prompt_text(columns[self.prompt][row]))
                asked += [(row, context.replace("{completion}", text), one) for one in references]
        for start in range(0, len(asked), self.at_once):
            part = asked[start : start + self.at_once]
            for (row, _, _), value in zip(part, self._scores(part).tolist(), strict=True):
                if not math.isfinite(value):
                    reasons[row] = "the model returned no number"
                elif math.isnan(values[row]) or value > values[row]:
                    values[row] = max(self.floor, min(0.0, value))
        return RewardOutput(values, info={"reason": reasons})

    def _scores(self, rows: Sequence[tuple[int, str, str]]) -> Tensor:
        model, tokenizer = self._open()
        longest = int(getattr(model.config, "max_position_embeddings", None) or 2**20)
        contexts, targets = [], []
        for _, context, reference in rows:
            target = tokenizer(reference, add_special_tokens=False)["input_ids"][: longest - 1]
            ids = tokenizer(context)["input_ids"] or [tokenizer.eos_token_id]
            room = longest - len(target)
            self.truncated += len(ids) > room
            contexts.append(ids[-room:])
            targets.append(target)
        return mean_log_prob(model, contexts, targets, tokenizer.pad_token_id)

    def _open(self) -> tuple[Any, Any]:
        if self._opened is None:
            from common.config import LanguageModelConfig
            from common.models.language import load_language_model

            config = LanguageModelConfig(path=self.model, dtype="float32", device=self.device)
            model, tokenizer = load_language_model(config)
            self._opened = (model.eval().requires_grad_(False), tokenizer)
        return self._opened
