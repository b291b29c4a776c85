"""The two dear parts of a GRPO step, without reading the same thing twice.

Sampling reads each prompt once (trl's public `rollout_func`), and so does the pass that gives the completions' log
probabilities. That pass also reads a completion once that was sampled several times, and keeps nothing for a gradient
where the advantage is zero. Same numbers and same gradient, up to the order of summation.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import trl.trainer.utils
from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

from common.models.decoding import cache_argument, sample
from common.models.language import evaluating, prompt_ids
from common.models.vlm_batch import positions, see
from common.models.vlm_prompt import Encoded, Patches
from common.training.recorder import Recorder
from common.training.vision.models import tokenizer_of

# Completions in one forward pass: fewer waste the matrix units, more waste padding.
CHUNK = 32
# trl 1.15 brought a head that never holds all logits at once. Before it (Python 3.10 knows no newer trl) all are held,
# so that only so many may come together here.
FUSED = hasattr(trl.trainer.utils, "add_fused_lm_head")
MOST_LOGITS = 2**27


@dataclass(frozen=True)
class Sights:
    """What a batch looks at.

    Attributes:
        prompts: the prompts, with their pictures.
        of_row: `(B,)`, which of them each row of the batch has.
    """

    prompts: Sequence[Encoded]
    of_row: Tensor

    @property
    def patches(self) -> list[Patches]:
        """The pictures of all rows, row by row."""
        return [one for prompt in self.of_row.tolist() for one in self.prompts[prompt].patches]


def rollout(
    recorder: Recorder, temperature: float, max_new_tokens: int, spread: bool
) -> Callable[..., dict[str, Any]]:
    """A sampler for trl's `rollout_func`; it fills the recorder's generation time.

    Only plain sampling by temperature is done here: other settings go through trl's own generation.
    """

    def roll(prompts: list[Any], trainer: SharedPromptTrainer) -> dict[str, Any]:
        began = time.perf_counter()
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        # Dropout and gradient checkpointing are for the loss; checkpointing would also switch the cache off.
        with evaluating(model):
            ids, of_row, more = trainer.look(model, prompts)
            counts = Counter(of_row)
            answers = sample(
                model,
                ids,
                n=[counts[prompt] for prompt in range(len(ids))],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                eos_ids=trainer.eos_token_ids,
                pad_id=tokenizer_of(trainer.processing_class).pad_token_id,
                spread=spread,
                **more,
            )
        left = [iter(group) for group in answers]
        recorder.seconds["generation"] += time.perf_counter() - began
        return {
            "prompt_ids": [ids[prompt] for prompt in of_row],
            "completion_ids": [next(left[prompt]) for prompt in of_row],
            "logprobs": None,
        }

    return roll


class SharedPromptTrainer(GRPOTrainer):
    """trl's GRPOTrainer with `shared_prompt_log_probs` in place of its own pass, where the model allows that."""

    _name = "GRPO"
    #: Rows of the loss at hand that have no gradient: those of groups in which every completion earned the same.
    _flat: Tensor | None = None

    def look(self, model: Any, prompts: list[Any]) -> tuple[list[list[int]], list[int], dict[str, Any]]:
        """Read the distinct prompts of a batch, in which equal ones are neighbours.

        Returns:
            Their token ids, which of them each row has, and what else `common.models.decoding.sample` is to be given.
        """
        distinct: list[Any] = []
        of_row = []
        for prompt in prompts:
            if not distinct or distinct[-1] != prompt:
                distinct.append(prompt)
            of_row.append(len(distinct) - 1)
        tokenizer: Any = self.processing_class
        return prompt_ids(tokenizer, distinct), of_row, {}

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        flat = inputs["advantages"] == 0
        by_advantage_alone = self.beta == 0 and not getattr(self, "_entropy_bonus_enabled", False)
        if by_advantage_alone and flat.dim() == 1 and 0 < flat.sum() < len(flat):
            self._flat = flat
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._flat = None

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **images: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        shareable = (
            self._shares(model, len(input_ids) * logits_to_keep)
            and not compute_aux_loss
            and all(value is None for value in images.values())
        )
        if not shareable:
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size=batch_size,
                compute_entropy=compute_entropy,
                compute_aux_loss=compute_aux_loss,
                **images,
            )

        def read(rows: Tensor | slice) -> tuple[Tensor, Tensor | None]:
            return shared_prompt_log_probs(
                self.accelerator.unwrap_model(model),
                input_ids[rows],
                attention_mask[rows],
                logits_to_keep,
                compute_entropy,
                None if FUSED else self.temperature,
                self._sights(rows),
            )

        if self._flat is None:
            return *read(slice(None)), None
        log_probs, entropy = read(~self._flat)
        with torch.no_grad():
            flat_log_probs, flat_entropy = read(self._flat)
        back = torch.argsort(torch.argsort(self._flat.int(), stable=True))
        if entropy is not None and flat_entropy is not None:
            entropy = torch.cat([entropy, flat_entropy])[back]
        return torch.cat([log_probs, flat_log_probs])[back], entropy, None

    def _shares(self, model: Any, tokens: int) -> bool:
        """Whether the pass below can be done for a batch with this many tokens of completions."""
        return (
            self.accelerator.num_processes == 1
            # Below, the model's parts are called outside the wrapper that would cast them.
            and self.accelerator.mixed_precision == "no"
            and not self.args.gradient_checkpointing
            and only_full_attention(model)
            and (FUSED or tokens * model.config.get_text_config().vocab_size <= MOST_LOGITS)
        )

    def _sights(self, rows: Tensor | slice) -> Sights | None:
        """The pictures of some rows of the batch at hand."""
        return None


def only_full_attention(model: Any) -> bool:
    """Whether the model's cache is plain keys and values, of which rows can be picked."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def shared_prompt_log_probs(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    completion_length: int,
    with_entropy: bool,
    temperature: float | None = None,
    sights: Sights | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Log probabilities of completions; equal prompts, and equal completions of one prompt, are read once.

    Args:
        model: a causal language model, possibly with adapters.
        input_ids: `(B, P + C)`, prompts padded on the left, completions on the right.
        attention_mask: the same shape.
        completion_length: C.
        with_entropy: compute the entropies too.
        temperature: divides the logits; None where trl's fused head (`add_fused_lm_head`) does so.
        sights: the prompts' pictures, of a model that sees.

    Returns:
        `(B, C)` log probabilities, and `(B, C)` entropies in nats or None; 0 at padding.
    """
    from transformers import DynamicCache

    # Prompts of the same words are not the same where their pictures differ.
    number = sights.of_row.unsqueeze(1) if sights is not None else input_ids[:, :0]
    distinct, of_answer = first_of_each(torch.cat([number, input_ids, attention_mask], dim=1))
    number, input_ids, attention_mask = number[distinct], input_ids[distinct], attention_mask[distinct]
    # The prompt's last token is read with the completion, whose first token it predicts.
    split = input_ids.shape[1] - completion_length - 1
    first, of_row = first_of_each(torch.cat([number, input_ids[:, : split + 1]], dim=1))
    prompt_mask = attention_mask[first][:, :split]
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    name = cache_argument(inner)

    read = DynamicCache(config=inner.config)
    ahead = attention_mask.new_zeros(len(first), 1)
    if split > 0:
        here = Sights(sights.prompts, number[first, 0]) if sights is not None else None
        ahead = _fill(inner, name, read, input_ids[first][:, :split], prompt_mask, here)
    ids, mask = input_ids[:, split:], attention_mask[:, split:]
    lengths = mask[:, 1:].sum(-1)
    order = torch.argsort(lengths, stable=True)
    parts, entropies = [], []
    for part in order.split(CHUNK):
        width = max(int(lengths[part].max()), 1)
        shared = of_row[part]
        cache = DynamicCache(config=inner.config)
        if split > 0:
            for layer, filled in zip(cast(Any, cache.layers), cast(Any, read.layers), strict=True):
                layer.update(filled.keys[shared], filled.values[shared])
        whole = torch.cat([prompt_mask[shared], mask[part, :width]], dim=1)
        targets = ids[part, 1 : width + 1].masked_fill(mask[part, 1 : width + 1] == 0, -100)
        inputs = {
            "input_ids": ids[part, :width],
            "attention_mask": whole,
            "position_ids": (whole.cumsum(-1) - 1).clamp(min=0)[:, -width:] + ahead[shared],
            name: cache,
        }
        if temperature is None:
            output = model(**inputs, shift_labels=targets, fused_lm_head=True)
            log_probs, entropy = output.log_probs, output.entropy
        else:
            log_probs, entropy = of_logits(model(**inputs).logits / temperature, targets)
        pad = (0, completion_length - width)
        parts.append(torch.nn.functional.pad(log_probs, pad))
        if with_entropy:  # the fused head of a reference model has none
            entropies.append(torch.nn.functional.pad(entropy, pad))
    back = torch.argsort(order)[of_answer]
    return torch.cat(parts)[back], torch.cat(entropies)[back] if with_entropy else None


def _fill(inner: Any, name: str, cache: Any, ids: Tensor, mask: Tensor, sights: Sights | None) -> Tensor:
    """Read prompts into a cache; returns `(B, 1)` how far later tokens' positions are ahead of their places."""
    places, ahead, seen = (mask.cumsum(-1) - 1).clamp(min=0), mask.new_zeros(len(mask), 1), {}
    if sights is not None:
        places, ahead = positions(inner.base_model, ids, mask, sights.patches)
        seen = see(inner.base_model, sights.patches)
    given = {"input_ids": ids, "attention_mask": mask, "position_ids": places, name: cache}
    inner.base_model(**given, **seen, use_cache=True)
    return ahead


def of_logits(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities of `(B, T)` targets under `(B, T, V)` logits, and entropies in nats; 0 where they are -100."""
    shares = torch.log_softmax(logits.float(), dim=-1)
    padding = targets == -100
    chosen = shares.gather(-1, targets.masked_fill(padding, 0).unsqueeze(-1)).squeeze(-1).masked_fill(padding, 0.0)
    with torch.no_grad():
        entropy = -(shares.exp() * shares).sum(-1).masked_fill(padding, 0.0)
    return chosen, entropy


def first_of_each(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Where each distinct row of `(B, N)` stands first, `(D,)`, and which of them each row is, `(B,)`."""
    _, which = torch.unique(rows, dim=0, return_inverse=True)
    places = torch.arange(len(rows), device=rows.device)
    first = places.new_full((int(which.max()) + 1,), len(rows)).scatter_reduce_(0, which, places, "amin")
    return first, which
