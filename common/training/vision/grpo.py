"""trl's GRPOTrainer for a Qwen-VL: pictures are kept from trl, read once a prompt, and handed to model and rewards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

from common.models.vlm_batch import Batch, forbidden_tokens, tensors
from common.models.vlm_prompt import Encoded, PromptReader, VisualPrompt
from common.pictures import load_any
from common.training.grpo_step import SharedPromptTrainer, Sights
from common.training.vision.models import tokenizer_of

if TYPE_CHECKING:
    from datasets import Dataset

#: Column that takes the place of `images` in the rows that trl is given: the number of the row.
NUMBER = "__row__"


class Album:
    """The pictures of a data set's rows, decoded when they are asked for: 8-bit RGB."""

    def __init__(self, rows: Dataset) -> None:
        self.rows = rows.select_columns("images") if "images" in rows.column_names else None

    def __getitem__(self, row: int) -> list[Any]:
        return opened(self.rows[row]["images"]) if self.rows is not None else []

    @staticmethod
    def numbered(rows: Dataset) -> Dataset:
        """The rows with their number in place of their pictures."""
        if "images" in rows.column_names:
            rows = rows.remove_columns("images")
        return rows.add_column(NUMBER, list(range(len(rows))))


def opened(images: Sequence[Any] | None) -> list[Any]:
    """A row's pictures as all who read them take them; trl's way would cut off what has more than 8 bits."""
    return [load_any(image) for image in images or ()]


class SeeingTrainer(SharedPromptTrainer):
    """A GRPO trainer for rows with pictures.

    With an `album`, trl knows nothing of pictures: it would decode, copy, process and encode them once for every
    completion. Without one (several processes, or sampling settings that only trl knows) trl reads them itself.
    """

    album: Album | None = None
    _rows: list[dict[str, Any]]
    _prompts: list[Encoded]
    #: For each row of the batch at hand, which of `_prompts` it has.
    _of_row: Tensor

    def look(self, model: Any, prompts: list[Any]) -> tuple[list[list[int]], list[int], dict[str, Any]]:
        """As its parent; prompts of the same words differ where their rows do."""
        numbers = [row[NUMBER] for row in self._rows]
        first = {number: numbers.index(number) for number in numbers}
        place = {number: place for place, number in enumerate(first)}
        of_row = [place[number] for number in numbers]
        self._prompts = PromptReader(self.processing_class).encode(
            [VisualPrompt(prompts[row], self._rows[row]["images"]) for row in first.values()]
        )
        self._of_row = torch.tensor(of_row, device=self.accelerator.device)
        batch = Batch.of(self._prompts, model, tokenizer_of(self.processing_class).pad_token_id)
        return (
            [prompt.ids for prompt in self._prompts],
            of_row,
            {
                "forbidden": forbidden_tokens(model),
                "read": partial(batch.read, model),
            },
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if self.album is None:
            self._rows = [{**row, "images": opened(row.get("images"))} for row in inputs]
            return super()._generate_and_score_completions(self._rows)
        images = {number: self.album[number] for number in dict.fromkeys(row[NUMBER] for row in inputs)}
        self._rows = [{**row, "images": images[row[NUMBER]]} for row in inputs]
        output = super()._generate_and_score_completions(
            [{name: value for name, value in row.items() if name != NUMBER} for row in inputs]
        )
        # Shuffled and cut into micro-batches with the rest.
        return {**output, NUMBER: self._of_row}

    def _generate(self, prompts: list[Any]) -> Any:
        """With [] where trl says None of a prompt without pictures, on which transformers' processors fail."""
        *before, images, of_tools = super()._generate(prompts)
        return (*before, [several or [] for several in images] if images is not None else None, of_tools)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Any:
        """Rewards get the data set's own prompts, and the pictures by themselves."""
        rows = [{name: value for name, value in row.items() if name != NUMBER} for row in self._rows]
        return super()._calculate_rewards(rows, [row["prompt"] for row in rows], completions, completion_ids_list)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        if self.album is not None:
            self._of_row = inputs[NUMBER]
        return super()._compute_loss(model, inputs)

    def _sights(self, rows: Tensor | slice) -> Sights | None:
        return Sights(self._prompts, self._of_row[rows]) if self.album is not None else None

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
        mine = self.album is not None and self._shares(model, len(input_ids) * logits_to_keep)
        own: Any = super()
        read = own._get_per_token_logps_and_entropies
        if mine and not compute_aux_loss:
            return read(model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy)
        parts = []
        # Chunk by chunk, because trl would pass the pictures of a chunk without any as tensors of no rows.
        for rows in torch.arange(len(input_ids)).split(batch_size or len(input_ids)):
            ids = input_ids[rows]
            parts.append(
                GRPOTrainer._get_per_token_logps_and_entropies(
                    self,
                    model,
                    ids,
                    attention_mask[rows],
                    logits_to_keep,
                    compute_entropy=compute_entropy,
                    compute_aux_loss=compute_aux_loss,
                    **self._pictures(rows, ids, logits_to_keep, images),
                )
            )
        log_probs, entropies, losses = zip(*parts, strict=True)
        return (
            torch.cat(log_probs),
            torch.cat(entropies) if compute_entropy else None,
            torch.stack(losses).mean() if compute_aux_loss else None,
        )

    def _pictures(self, rows: Tensor, ids: Tensor, logits_to_keep: int, images: dict[str, Any]) -> dict[str, Any]:
        """The pictures of some rows as trl passes them to its own pass; nothing where they have none."""
        if self.album is not None:
            numbers = [len(self._prompts[prompt].patches) for prompt in self._of_row[rows].tolist()]
            found = tensors(Sights(self._prompts, self._of_row[rows]).patches)
        else:
            every = images.get("num_images") or []
            numbers = [every[row] for row in rows.tolist()] if every else []
            found = _cut(images, rows.tolist())
        if not sum(numbers):
            return {}
        kinds = (ids == forbidden_tokens(self.model)[0]).int()
        kinds[:, -logits_to_keep:] = 0
        found = {name: tensor.to(ids.device) for name, tensor in found.items()}
        return {**found, "num_images": numbers, "mm_token_type_ids": kinds}


def _cut(images: dict[str, Any], rows: list[int]) -> dict[str, Tensor]:
    """`pixel_values` and `image_grid_thw` of neighbouring rows of a batch."""
    grids, numbers = images.get("image_grid_thw"), images.get("num_images")
    if grids is None or not numbers:
        return {}
    before, inside = sum(numbers[: rows[0]]), sum(numbers[row] for row in rows)
    sizes = grids.prod(-1)
    start, length = int(sizes[:before].sum()), int(sizes[before : before + inside].sum())
    return {
        "pixel_values": images["pixel_values"][start : start + length],
        "image_grid_thw": grids[before : before + inside],
    }
