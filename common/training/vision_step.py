"""How a Qwen-VL is given prompts with pictures so that each prompt, and each picture, is read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from common.models.decoding import cache_argument, pad_left

if TYPE_CHECKING:
    from common.models.decoding import Read
    from common.training.vision import SeenPrompts


@dataclass(frozen=True)
class Sights:
    """What a batch looks at.

    Attributes:
        prompts: the prompts, with their pictures.
        of_row: `(B,)`, which of them each row of the batch has.
    """

    prompts: SeenPrompts
    of_row: Tensor


def inner_model(model: Any) -> Any:
    """The model that takes tokens and pictures, below adapters and the head."""
    return (model.get_base_model() if hasattr(model, "get_base_model") else model).base_model


def see(inner: Any, prompts: SeenPrompts, rows: Sequence[int]) -> dict[str, Any]:
    """What a model's `forward` takes to see the pictures of some prompts; each distinct one is encoded once."""
    places = prompts.of(rows)
    if not places:
        return {}
    distinct = list(dict.fromkeys(places))
    device = inner.device
    tensors = {name: tensor.to(device) for name, tensor in prompts.tensors(distinct).items()}
    found = inner.get_image_features(**tensors, return_dict=True)
    order = [distinct.index(place) for place in places]
    found.pooler_output = [found.pooler_output[place] for place in order]
    if getattr(found, "deepstack_features", None) is not None:  # Qwen3-VL's, which enter further layers
        found.deepstack_features = [[layer[place] for place in order] for layer in found.deepstack_features]
    return {"mm_encoder_outputs": {"image": found}}


def positions(
    inner: Any, prompts: SeenPrompts, rows: Sequence[int], ids: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """`(3, B, L)` positions in time, height and width of prompts' tokens, and `(B, 1)` how far later tokens are ahead.

    A picture takes as many positions as it has tokens on its longer side, so that later tokens are behind, not ahead,
    of their place in the text.
    """
    grids = prompts.grids[prompts.of(rows)].to(ids.device)
    kinds = ((ids == prompts.image_token) & mask.bool()).int()
    found: tuple[Tensor, Tensor] = inner.get_rope_index(
        input_ids=ids, mm_token_type_ids=kinds, image_grid_thw=grids if len(grids) else None, attention_mask=mask
    )
    return found


def reader(model: Any, prompts: SeenPrompts, pad_id: int) -> Read:
    """How `common.models.decoding.sample` reads prompts with pictures."""

    def read(cache: Any) -> tuple[Tensor, Tensor, Tensor]:
        inner = inner_model(model)
        rows = range(len(prompts.ids))
        ids, mask = pad_left(prompts.ids, pad_id, model.device)
        places, ahead = positions(inner, prompts, rows, ids, mask)
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            use_cache=True,
            logits_to_keep=1,
            **{cache_argument(model): cache},
            **see(inner, prompts, rows),
        )
        return output.logits[:, -1], mask, ahead

    return read
