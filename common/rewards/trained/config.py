"""Settings of `python -m common.rewards train`. Nothing heavy is imported here: `--help` reads this module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from common.config import BackboneConfig


@dataclass
class TrainRewardConfig:
    """A reward that is learnt from preferences.

    Args:
        pairs: JSONL with a preference a row: `prompt`, `chosen`, `rejected` (texts, or trl's lists of messages), and
            perhaps `images`, `reference`, `group` and labels `chosen_NAME`, `rejected_NAME` of 0 and 1.
        backbone: what reads the texts.
        hidden: units of the head's middle layer; 0 takes as many as the backbone's features.
        form: "standard" hands out `(r - mean) / deviation` within `limit`, "probability" the sigmoid of `r - mean`.
        limit: greatest value of the standard form, and minus the least, in standard deviations.
        steps: optimiser steps.
        batch_size: pairs in a step.
        learning_rate: the head's highest.
        backbone_learning_rate: that of the backbone, where it is tuned.
        weight_decay: AdamW's, on the weights.
        held_out: share of the prompts that the figures are taken on.
        validation: share of the prompts that watch the training and set mean and deviation.
        dimensions: labels to probe the features for; every `chosen_NAME` with a `rejected_NAME` where empty.
        eval_every: steps between looks at the validation pairs; 0 looks at the end only.
        save_every: steps between checkpoints; 0 saves only where the training is stopped.
        runs: folder of the runs.
        seed: of the split, the weights and the order of the pairs.
        threads: CPU threads; 0 leaves torch's own choice.
    """

    pairs: str = ""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    hidden: int = 0
    form: Literal["standard", "probability"] = "standard"
    limit: float = 4.0
    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 1e-3
    backbone_learning_rate: float = 1e-5
    weight_decay: float = 0.1
    held_out: float = 0.2
    validation: float = 0.1
    dimensions: list[str] = field(default_factory=list)
    eval_every: int = 50
    save_every: int = 200
    runs: str = "runs/rewards"
    seed: int = 0
    threads: int = 0
