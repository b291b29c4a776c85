"""Settings of `pretrain`. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.errors import UsageError

#: Captions among which the figures look for the true ones, and so the fewest held-out scenes.
AMONG = 100
#: Files of thresholds in a folder of a CLIP or its student, by wording of `apps.driving.goals.WORDINGS`.
THRESHOLDS = {"pocket": "calibration.json", "vlm_rl": "calibration-vlm_rl.json"}


@dataclass
class StudentConfig:
    """A small network that learns to see as `reward.clip` does.

    Attributes:
        size: height and width of what it looks at, a multiple of 16.
        width: of its first convolution.
        scenes: pocket scenes of the training maps to learn from.
        pictures: folder of pictures to learn from in their place, such as frames of CARLA's camera; no thresholds are
            fitted then, for nobody knows their danger.
        steps: optimiser steps.
        batch_size: pictures of a step.
        learning_rate: highest; it falls to 0 along a cosine.
        weight: of the loss on cosines with the goals, beside the one on vectors.
        calibration: scenes of the training maps, of episodes that were not learnt from, for the thresholds.
        heldout: scenes of the held-out map, for the figures.
    """

    size: int = 64
    width: int = 16
    scenes: int = 20_000
    pictures: str = ""
    steps: int = 2_000
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight: float = 20.0
    calibration: int = 4_000
    heldout: int = 4_000

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 16:
            raise UsageError(f"pretrain.student.size must be a multiple of 16; it is {self.size}")


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
        student: that learns from the CLIP.
        out: folder that `clip` and `student` are written into.
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
    student: StudentConfig = field(default_factory=StudentConfig)
    out: str = "assets/driving"
    runs: str = "runs/driving"
    seed: int = 0
    threads: int = 1
    save_every: int = 250

    def __post_init__(self) -> None:
        if self.heldout < AMONG:
            raise UsageError(f"pretrain.heldout is {self.heldout}; the figures need {AMONG} scenes or more")
