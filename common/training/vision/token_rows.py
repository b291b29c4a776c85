"""Questions and answers as token rows, and an endless order of batches in which rows of like length meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from common.models.vlm_prompt import Patches, PromptReader, VisualPrompt
from common.training.heads import IGNORED
from common.training.sampler import CyclicSampler

if TYPE_CHECKING:
    from torch import Tensor

# Batches that are sorted by length together.
TOGETHER = 16


class Rows:
    """Token ids of conversations about one picture each, as they are at use, and of what is taught to follow.

    Args:
        taught: conversations and completions.
        processor: a Qwen-VL processor.
        grid: of every picture, in patches.

    Raises:
        DataError: the pictures do not stand at the same place in all conversations.
    """

    def __init__(
        self, taught: Iterable[tuple[Sequence[Mapping[str, Any]], str]], processor: Any, grid: tuple[int, int, int]
    ) -> None:
        import torch

        reader = PromptReader(processor)
        # The ids hang on the picture's size alone.
        picture = Patches(torch.empty(0), grid)
        pairs = list(taught)
        asked = reader.encode([VisualPrompt(messages, [picture]) for messages, _ in pairs])
        end = processor.tokenizer.eos_token_id
        self.prompts = [row.ids for row in asked]
        self.completions = [[*reader.text_ids(completion), end] for _, completion in pairs]
        self.pad: int = processor.tokenizer.pad_token_id
        #: Where the image tokens begin.
        self.start = self.prompts[0].index(reader.image_id)
        if any(ids.index(reader.image_id) != self.start for ids in self.prompts):
            raise DataError("the pictures do not stand at the same place in all prompts")

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(prompt) + len(answer) for prompt, answer in zip(self.prompts, self.completions, strict=True)]

    def take(self, rows: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """`(B, length)` ids, attention mask and labels of some rows, padded on the right; prompts are not learnt."""
        import torch

        whole = [self.prompts[row] + self.completions[row] for row in rows]
        ids = torch.full((len(rows), max(map(len, whole))), self.pad)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
        for place, (row, tokens) in enumerate(zip(rows, whole, strict=True)):
            ids[place, : len(tokens)] = torch.tensor(tokens)
            mask[place, : len(tokens)] = 1
            begin = len(self.prompts[row])
            labels[place, begin : len(tokens)] = ids[place, begin : len(tokens)]
        return ids, mask, labels


class LengthBatches:
    """Batches without end, in which rows of like length stand together: less is computed on padding.

    Sixteen batches are drawn at once and sorted by length among themselves, then given in an order of chance.

    Args:
        lengths: of the rows.
        batch_size: rows a batch.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.sampler = CyclicSampler(len(lengths), batch_size * TOGETHER, seed)
        self.count = 0
        self._waiting: list[list[int]] = []

    def next(self) -> list[int]:
        """The next batch of row numbers."""
        import numpy as np

        place = self.count % TOGETHER
        if place == 0:
            rows = sorted(self.sampler.next(), key=lambda row: self.lengths[row])
            order = np.random.default_rng([self.seed, self.count]).permutation(TOGETHER)
            size = self.batch_size
            self._waiting = [rows[one * size : (one + 1) * size] for one in order.tolist()]
        self.count += 1
        return self._waiting[place]

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"sampler": self.sampler.state_dict(), "count": self.count, "waiting": self._waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.sampler.load_state_dict(state["sampler"])
        self.count, self._waiting = int(state["count"]), [list(rows) for rows in state["waiting"]]
