"""Teaches the diffusion model's text encoder to read, before there is any picture: heads tell what a prompt says.

Through the diffusion loss alone the encoder learns almost nothing for thousands of steps: most of the noise can be
taken away without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from apps.text3d.pretraining.pictures import Pictures
from apps.text3d.prompts.vocabulary import COLOURS, COUNT_WORDS, KINDS, MOST_THINGS, RELATIONS, SIZES
from common.training.heads import IGNORED, Heads, figure_accuracies, figure_losses
from common.training.scheduled import ScheduledLearner

if TYPE_CHECKING:
    from apps.text3d.pretrain_config import DiffusionConfig
    from apps.text3d.prompts.prompt import Prompt

VIEWS = ("front view", "side view", "back view", "overhead view")
#: What a text says of each thing and each of its relations, in its order; 0 is nothing.
FIGURES = {
    "kind": (MOST_THINGS, 1 + len(KINDS)),
    "colour": (MOST_THINGS, 1 + len(COLOURS)),
    "size": (MOST_THINGS, 1 + len(SIZES)),
    "count": (MOST_THINGS, 1 + len(COUNT_WORDS)),
    "relation": (MOST_THINGS - 1, 1 + len(RELATIONS)),
    "subject": (MOST_THINGS - 1, MOST_THINGS),
    "object": (MOST_THINGS - 1, MOST_THINGS),
    "view": (1, 1 + len(VIEWS)),
}


class TextLearner(ScheduledLearner):
    """Learns to tell each thing and relation of a prompt, and the side that is looked from.

    Args:
        config: sizes and steps.
        pictures: whose texts are read.
        encoder: trained in place.
        table: `token_table` of them.
        seed: of the heads and the order.
    """

    def __init__(self, config: DiffusionConfig, pictures: Pictures, encoder: Any, table: Tensor, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            heads = Heads(config.text_width, FIGURES)
        model = nn.ModuleDict({"text": encoder, "heads": heads})
        model.requires_grad_(True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.01)
        super().__init__(
            *(model, optimizer, len(pictures), config.text_steps, config.text_batch_size, 2 * config.learning_rate),
            seed,
        )
        self.table = table
        self.truth = truth_table(pictures)
        self._right: dict[str, float] = {}

    def loss(self, rows: list[int]) -> Tensor:
        """See `ScheduledLearner.loss`: every other text names the side."""
        whole = torch.arange(len(rows)) % 2
        logits = self.model["heads"](self.model["text"](self.table[rows, 1 + whole].long())[0])
        truth = {name: table[rows] for name, table in self.truth.items()}
        truth["view"] = truth["view"] * whole[:, None]
        self._right = figure_accuracies(logits, truth)
        return torch.stack(list(figure_losses(logits, truth).values())).sum()

    def figures(self) -> dict[str, float]:
        """How often each figure was told right."""
        return {f"right/{name}": share for name, share in self._right.items()}


def truth_table(pictures: Pictures) -> dict[str, Tensor]:
    """Of each of `FIGURES` the `(N, rows)` class numbers."""
    table = {name: torch.zeros(len(pictures), rows, dtype=torch.long) for name, (rows, _) in FIGURES.items()}
    for row, world in enumerate(pictures.worlds):
        for name, values in _classes(world.prompt).items():
            table[name][row, : len(values)] = torch.tensor(values, dtype=torch.long)
        for name in ("subject", "object"):
            table[name][row, len(world.prompt.relations) :] = IGNORED
        table["view"][row] = 1 + VIEWS.index(pictures.view(row))
    return table


def token_table(pictures: Pictures, tokenizer: Any, longest: int) -> Tensor:
    """`(N, 3, L)` int16 ids of each picture's three texts: none, without direction, whole."""
    ready: dict[str, Tensor] = {}
    rows = []
    for row, world in enumerate(pictures.worlds):
        texts = ("", world.prompt.text, pictures.text(row))
        for text in texts:
            if text not in ready:
                ids = tokenizer(text, padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
                ready[text] = ids["input_ids"][0].short()
        rows.append(torch.stack([ready[text] for text in texts]))
    return torch.stack(rows)


def _classes(prompt: Prompt) -> dict[str, list[int]]:
    def number(values: Any, value: Any) -> int:
        return 0 if value is None else 1 + list(values).index(value)

    return {
        "kind": [number(KINDS, thing.kind) for thing in prompt.objects],
        "colour": [number(COLOURS, thing.colour) for thing in prompt.objects],
        "size": [number(SIZES, thing.size) for thing in prompt.objects],
        "count": [number(COUNT_WORDS, thing.count) for thing in prompt.objects],
        "relation": [number(RELATIONS, one.name) for one in prompt.relations],
        "subject": [one.subject for one in prompt.relations],
        "object": [one.object for one in prompt.relations],
    }
