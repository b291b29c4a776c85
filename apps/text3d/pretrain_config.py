"""Settings of `pretrain`. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.errors import UsageError


@dataclass
class DiffusionConfig:
    """The pocket diffusion model: a UNet on pixels, told by a text encoder of its own what to show.

    Attributes:
        size: height and width of its pictures; a multiple of 4 · `fold`.
        fold: pixels a side that the UNet sees as one place; see `guidance.prior`.
        channels: of the UNet's three levels, each a multiple of 8; the two inner ones attend to the text.
        layers: residual blocks of a level.
        text_width: width of the text encoder.
        text_layers: its layers.
        vocabulary: most tokens.
        tokens: longest text.
        timesteps: of the noise's schedule.
        scenes: of the split `train`, each seen once from one side.
        text_steps: optimiser steps of the text encoder alone, which learns to tell what a prompt says.
        text_batch_size: texts of such a step.
        steps: optimiser steps of the whole.
        batch_size: pictures of a step.
        learning_rate: the highest; it falls to 0 along a cosine.
        average: decay of the weights' running mean, which is what is written.
        no_text: share of the pictures shown without text, for classifier-free guidance.
        no_direction: share of the texts without "front view" and the like.
        heldout: scenes of each of the two test splits, for the figures.
    """

    size: int = 32
    fold: int = 2
    channels: list[int] = field(default_factory=lambda: [32, 64, 96])
    layers: int = 1
    text_width: int = 96
    text_layers: int = 3
    vocabulary: int = 400
    tokens: int = 40
    timesteps: int = 1000
    scenes: int = 24_000
    text_steps: int = 1_000
    text_batch_size: int = 64
    steps: int = 10_000
    batch_size: int = 32
    learning_rate: float = 1e-3
    average: float = 0.998
    no_text: float = 0.1
    no_direction: float = 0.25
    heldout: int = 200

    def __post_init__(self) -> None:
        if (
            self.fold < 1
            or self.size % (4 * self.fold)
            or len(self.channels) != 3
            or any(width % 8 for width in self.channels)
        ):
            raise UsageError(
                f"pretrain.diffusion: size {self.size} must be a multiple of 4 times fold {self.fold}, channels "
                f"{self.channels} three multiples of 8"
            )


@dataclass
class PretrainConfig:
    """The pocket models, made from nothing.

    Attributes:
        out: folder that they are written to.
        diffusion: the diffusion model.
        save_every: steps between checkpoints.
    """

    out: str = "assets/text3d"
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    save_every: int = 250
