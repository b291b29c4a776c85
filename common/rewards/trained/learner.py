"""Fits a head, and the backbone under it where that is tuned, to preference pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from common.rewards.trained.head import RewardHead, bradley_terry
from common.rewards.trained.preferences import Preference
from common.training.scheduled import ScheduledLearner

if TYPE_CHECKING:
    from common.models.backbone import Answered, Backbone
    from common.rewards.trained.config import TrainRewardConfig

#: Which of a pair's two completions.
CHOSEN, REJECTED = 0, 1


def answered(pair: Preference, side: int) -> Answered:
    """One of a pair's completions, with its prompt."""
    from common.models.backbone import Answered

    return Answered(pair.prompt, pair.rejected if side else pair.chosen, pair.images)


class PreferenceLearner(ScheduledLearner):
    """Bradley and Terry's model of pairs, step by step; see `ScheduledLearner`.

    Args:
        head: what learns.
        pairs: to learn from.
        features: `(N, 2, width)` of chosen and rejected, for a backbone that stays as it is.
        backbone: one that is tuned with the head; None where it stays.
        config: steps, rates and seed.
    """

    def __init__(
        self,
        head: RewardHead,
        pairs: Sequence[Preference],
        features: Tensor | None,
        backbone: Backbone | None,
        config: TrainRewardConfig,
    ) -> None:
        self.head, self.pairs, self.features, self.backbone = head, pairs, features, backbone
        parts = {"head": head, "backbone": backbone.module if backbone is not None else None}
        model = nn.ModuleDict({name: part for name, part in parts.items() if part is not None})
        # Each group's own rate over the head's, as `rate` gives that.
        self.ratio = config.backbone_learning_rate / config.learning_rate
        groups = list(_groups(head, config.weight_decay, 1.0))
        if backbone is not None:
            groups += _groups(backbone.module, config.weight_decay, self.ratio)
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        super().__init__(
            model, optimizer, len(pairs), config.steps, config.batch_size, config.learning_rate, config.seed
        )
        self.right = 0.0

    def loss(self, rows: list[int]) -> Tensor:
        """Bradley and Terry's, of these pairs."""
        chosen, rejected = self.head(self._features(rows)).unbind(1)
        self.right = float((chosen > rejected).float().mean())
        return bradley_terry(chosen, rejected)

    def figures(self) -> dict[str, float]:
        """The share of the last step's pairs that were in order."""
        return {"accuracy": self.right}

    def step(self) -> dict[str, float]:
        """One optimiser step; see `ScheduledLearner.step`."""
        told = super().step()
        self.model.eval()
        return told

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs; of the backbone only what is trained."""
        trained = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        weights = self.model.state_dict()
        kept = {name: value for name, value in weights.items() if name in trained or name.startswith("head.")}
        return {**super().state(), "model": kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().restore({**state, "model": {**self.model.state_dict(), **state["model"]}})

    def _features(self, rows: list[int]) -> Tensor:
        if self.backbone is None:
            assert self.features is not None
            return self.features[rows]
        texts = [answered(self.pairs[row], side) for row in rows for side in (CHOSEN, REJECTED)]
        return self.backbone.features(texts).to(self.head.centre.device).unflatten(0, (len(rows), 2))


def _groups(model: Any, decay: float, ratio: float) -> Iterator[dict[str, Any]]:
    """What is trained of a model, with weight decay for its matrices only."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    yield {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": decay, "ratio": ratio}
    yield {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0, "ratio": ratio}
