"""Teaches the language model to reason and answer from what the tower shows it, and the tower with it if wished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from common.models.qwen_tower import tokens
from common.training.heads import IGNORED
from common.training.rate import cosine
from common.training.vision.token_rows import LengthBatches, Rows
from common.training.vision.tower import WARMUP, apply, optimizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common.models.qwen_tower import PatchSource

# Pictures that a frozen tower looks at together.
LOOK = 256


class LanguageSettings(Protocol):
    """What of an application's settings counts here."""

    language_steps: int
    language_schedule: int
    language_batch_size: int
    language_learning_rate: float
    tower_rate: float


class LanguageLearner:
    """The training of the language model, step by step; see `common.training.stage`.

    The loss is the mean cross entropy of the completions' tokens.

    Args:
        settings: batch size, rates and steps.
        model: a Qwen2.5-VL; trained in place.
        rows: the questions and answers.
        pictures: what they are about.
        seed: of the rows' order.
        shown: number of each row's picture; picture `n` belongs to row `n` where not given.
    """

    def __init__(
        self,
        settings: LanguageSettings,
        model: Any,
        rows: Rows,
        pictures: PatchSource,
        seed: int,
        shown: Sequence[int] | None = None,
    ) -> None:
        self.settings, self.model, self.rows, self.pictures = settings, model, rows, pictures
        tower = model.model.visual
        tower.requires_grad_(settings.tower_rate > 0)
        self.shown = range(len(rows)) if shown is None else shown
        self.seen = None if settings.tower_rate > 0 else look(tower, pictures, max(self.shown) + 1)
        self.optimizers = {"language": optimizer(model.model.language_model)}
        if settings.tower_rate > 0:
            self.optimizers["tower"] = optimizer(tower)
        self.batches = LengthBatches(rows.lengths, settings.language_batch_size, seed)
        self.positions = positions(model, rows, pictures)
        self.steps = 0

    def step(self) -> dict[str, float]:
        """One optimiser step; returns loss and the share of completion tokens that are likeliest."""
        settings = self.settings
        schedule = settings.language_schedule or settings.language_steps
        rate = cosine(self.steps, schedule, settings.language_learning_rate, WARMUP)
        chosen = self.batches.next()
        self.model.train()
        ids, mask, labels = self.rows.take(chosen)
        logits, wanted = self.logits(chosen, ids, mask, labels)
        loss = functional.cross_entropy(logits, wanted)
        rates = {"language": rate, "tower": rate * settings.tower_rate}
        apply(loss, {one: rates[name] for name, one in self.optimizers.items()})
        self.steps += 1
        right = float((logits.argmax(-1) == wanted).float().mean())
        return {"learning_rate": rate, "loss": float(loss.detach()), "tokens_right": right}

    def logits(self, chosen: Sequence[int], ids: Tensor, mask: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and truth of the completions' tokens; those of the prompts are not computed."""
        about = [self.shown[row] for row in chosen]
        seen = tokens(self.model.model.visual, self.pictures, about) if self.seen is None else self.seen[about]
        words = self.model.get_input_embeddings()(ids)
        start, end = self.rows.start, self.rows.start + self.pictures.tokens
        states = self.model.model.language_model(
            inputs_embeds=torch.cat([words[:, :start], seen, words[:, end:]], dim=1),
            position_ids=self.positions[:, :, : ids.shape[1]].expand(3, len(ids), -1),
            attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        wanted = labels[:, 1:]
        learnt = wanted != IGNORED
        return self.model.lm_head(states[:, :-1][learnt]), wanted[learnt]

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "model": self.model.state_dict(),
            "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()},
            "batches": self.batches.state_dict(),
            "step": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        for name, one in self.optimizers.items():
            one.load_state_dict(state["optimizers"][name])
        self.batches.load_state_dict(state["batches"])
        self.steps = state["step"]


def look(tower: torch.nn.Module, pictures: PatchSource, count: int) -> Tensor:
    """The `(N, tokens, width)` image tokens of the first `count` pictures, without gradient."""
    from common.ui import progress

    tower.eval()
    found = []
    with torch.no_grad(), progress("looking", count) as bar:
        for start in range(0, count, LOOK):
            found.append(tokens(tower, pictures, range(start, min(start + LOOK, count))))
            bar(start + len(found[-1]))
    return torch.cat(found)


def positions(model: Any, rows: Rows, pictures: PatchSource) -> Tensor:
    """`(3, 1, longest)` position ids, the same for every row: where a picture stands, all rows are alike."""
    longest = max(rows.lengths)
    ids = torch.zeros(1, longest, dtype=torch.long)
    kinds = torch.zeros(1, longest, dtype=torch.int)
    kinds[0, rows.start : rows.start + pictures.tokens] = 1
    found: Tensor = model.model.get_rope_index(ids, kinds, image_grid_thw=torch.tensor([pictures.grid]))[0]
    return found
