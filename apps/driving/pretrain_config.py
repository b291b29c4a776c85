"""Settings of `pretrain`. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class PretrainConfig:
    """The pocket CLIP of bird's-eye views, made from nothing.

    Attributes:
        width: of the ModifiedResNet's first stage; its last is 32 times as wide.
        embedding: size of the shared features.
        text_width: width of the text transformer.
        text_layers: its layers.
        context_length: longest text, in tokens.
        vocabulary: most tokens of its tokenizer.
        scenes: training scenes, of the training maps.
        steps: optimiser steps.
        batch_size: scenes of a step, each with one caption.
        goals: weight of the loss on opposite goals, beside the one on captions.
        learning_rate: highest; it falls to 0 along a cosine.
        calibration: scenes of the training maps, of episodes that were not trained on, for the thresholds.
        heldout: scenes of the held-out map, for the figures.
        out: folder that `clip` is written into.
        runs: where an interrupted training is kept.
        seed: of scenes, words and weights.
        threads: of torch.
        save_every: steps between checkpoints.
    """

    width: int = 12
    embedding: int = 96
    text_width: int = 96
    text_layers: int = 2
    context_length: int = 40
    vocabulary: int = 600
    scenes: int = 30_000
    steps: int = 2_500
    batch_size: int = 128
    goals: float = 1.0
    learning_rate: float = 1.5e-3
    calibration: int = 4_000
    heldout: int = 6_000
    out: str = "assets/driving"
    runs: str = "runs/driving"
    seed: int = 0
    threads: int = 1
    save_every: int = 250
