"""Prompts of a Qwen-VL put together for one forward pass, a few at a time."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from common.models.decoding import cache_argument, pad_left
from common.models.language import evaluating
from common.models.vlm_prompt import Encoded, Patches, PromptReader, VisualPrompt


@dataclass(frozen=True, eq=False)
class Batch:
    """Encoded prompts together, padded on the left.

    Attributes:
        ids: `(B, L)`.
        mask: `(B, L)`, 0 where there is padding.
        positions: `(3, B, L)`, of each token in time, height and width.
        ahead: `(B, 1)`, how far later tokens are ahead of their places in the text.
        patches: of all pictures, row by row.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    ahead: Tensor
    patches: list[Patches]

    @classmethod
    def of(cls, rows: Sequence[Encoded], model: Any, pad_id: int) -> Batch:
        """Put encoded prompts together for a model, on its device."""
        ids, mask = pad_left([row.ids for row in rows], pad_id, model.device)
        patches = [entry for row in rows for entry in row.patches]
        return cls(ids, mask, *positions(inner_model(model), ids, mask, patches), patches)

    def logits(self, model: Any, keep: int) -> Tensor:
        """`(B, keep, V)` logits after each of the last `keep` tokens, float32 (float64 for a float64 model)."""
        logits: Tensor = model(**self._arguments(model), logits_to_keep=keep, use_cache=False).logits
        return logits if logits.dtype == torch.float64 else logits.float()

    def scores(self, model: Any, tokens: Sequence[int]) -> Tensor:
        """`(B, N)` logits of N tokens after the last one, float32 (float64 for a float64 model).

        Logits of half precision are coarse: near 20, bfloat16 has steps of 0.125. There the last hidden state and the
        N rows of the head are multiplied in float32, which also spares the rest of the vocabulary.
        """
        head = model.get_output_embeddings()
        if type(head) is not nn.Linear or head.weight.dtype not in (torch.bfloat16, torch.float16):
            return self.logits(model, 1)[:, -1, list(tokens)]
        found = self.states(model)[:, -1]
        with torch.autocast(found.device.type, enabled=False):
            bias = None if head.bias is None else head.bias[list(tokens)].float()
            return nn.functional.linear(found.float(), head.weight[list(tokens)].float(), bias)

    def states(self, model: Any) -> Tensor:
        """`(B, L, width)` states after the last layer, in the model's type."""
        states: Tensor = inner_model(model)(**self._arguments(model), use_cache=False).last_hidden_state
        return states

    def read(self, model: Any, cache: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Read the prompts into a cache, as `common.models.decoding.sample` wants it."""
        more = {cache_argument(model): cache, "use_cache": True, "logits_to_keep": 1}
        return model(**self._arguments(model), **more).logits[:, -1], self.mask, self.ahead

    def _arguments(self, model: Any) -> dict[str, Any]:
        """What the model's `forward` takes. Positions are given, so that none are left over from another batch."""
        given = {"input_ids": self.ids, "attention_mask": self.mask, "position_ids": self.positions}
        return given | see(inner_model(model), self.patches)


def inner_model(model: Any) -> Any:
    """The model that takes tokens and pictures, below adapters and the head."""
    return (model.get_base_model() if hasattr(model, "get_base_model") else model).base_model


def forbidden_tokens(model: Any) -> list[int]:
    """Tokens that stand for pictures and videos: one that was sampled would ask for a picture that is not there."""
    return [model.config.image_token_id, model.config.video_token_id]


def takes_encoded(inner: Any) -> bool:
    """Whether this version of transformers takes pictures that are encoded already."""
    return "mm_encoder_outputs" in inspect.signature(inner.forward).parameters


def tensors(patches: Sequence[Patches], device: Any = None) -> dict[str, Tensor]:
    """`pixel_values` and `image_grid_thw` of pictures, as a processor returns them; nothing where there are none."""
    if not patches:
        return {}
    return {
        "pixel_values": torch.cat([each.pixels.to(device) for each in patches]),
        "image_grid_thw": torch.tensor([each.grid for each in patches], device=device),
    }


def see(inner: Any, patches: Sequence[Patches]) -> dict[str, Any]:
    """What a model's `forward` takes to see pictures; each distinct one is encoded once, with gradient."""
    if not patches or not takes_encoded(inner):
        return tensors(patches, inner.device)
    distinct = {id(each): each for each in patches}
    found = inner.get_image_features(**tensors([*distinct.values()], inner.device), return_dict=True)
    places = {number: place for place, number in enumerate(distinct)}
    order = [places[id(each)] for each in patches]
    found.pooler_output = [found.pooler_output[place] for place in order]
    if getattr(found, "deepstack_features", None) is not None:  # Qwen3-VL's, which enter further layers
        found.deepstack_features = [[layer[place] for place in order] for layer in found.deepstack_features]
    return {"mm_encoder_outputs": {"image": found}}


def positions(inner: Any, ids: Tensor, mask: Tensor, patches: Sequence[Patches]) -> tuple[Tensor, Tensor]:
    """Where tokens stand for the model.

    A picture takes as many positions as it has tokens on its longer side, so that later tokens are behind, not ahead,
    of their place in the text.

    Args:
        inner: see `inner_model`.
        ids: `(B, L)`.
        mask: `(B, L)`, 0 where there is padding.
        patches: of all pictures, row by row.

    Returns:
        `(3, B, L)` positions in time, height and width, and `(B, 1)` how far later tokens are ahead of their places.
    """
    kinds = ((ids == inner.config.image_token_id) & mask.bool()).int()
    grids = torch.tensor([each.grid for each in patches], device=ids.device) if patches else None
    found: tuple[Tensor, Tensor] = inner.get_rope_index(
        input_ids=ids, mm_token_type_ids=kinds, image_grid_thw=grids, attention_mask=mask
    )
    return found


def batches(
    reader: PromptReader,
    prompts: Sequence[VisualPrompt],
    size: int,
    endings: Sequence[Sequence[int]] | None = None,
) -> Iterator[tuple[list[int], list[Encoded]]]:
    """Indices of at most `size` prompts, and the prompts with their endings; those of like length together.

    A batch's pictures are read when it is its turn, so that any number of prompts fits into memory.
    """
    # A token is about four characters.
    added = [4 * len(ending) for ending in endings] if endings is not None else [0] * len(prompts)
    lengths = [
        (len(prompt.pictures), len(str(prompt.messages)) + more) for prompt, more in zip(prompts, added, strict=True)
    ]
    order = sorted(range(len(prompts)), key=lengths.__getitem__)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        encoded = reader.encode([prompts[row] for row in rows])
        yield rows, [one.then(endings[row]) if endings else one for row, one in zip(rows, encoded, strict=True)]


@contextlib.contextmanager
def scoring(model: Any, prompts: Sequence[VisualPrompt]) -> Iterator[None]:
    """Evaluation mode, with gradient only where a picture wants it."""
    pictures = (picture for prompt in prompts for picture in prompt.pictures)
    leaves = (picture.pixels if isinstance(picture, Patches) else picture for picture in pictures)
    wanted = any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves)
    with evaluating(model), torch.set_grad_enabled(wanted and torch.is_grad_enabled()):
        yield
