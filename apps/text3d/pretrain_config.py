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
    steps: int = 6_000
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
class VlmPretrainConfig:
    """The pocket vision-language model: a Qwen2.5-VL that answers questions about drawn solids.

    Attributes:
        size: height and width of the pictures that it learns from; the processor makes them `grid` tokens a side.
        grid: image tokens a side of a picture; 4 makes 16 tokens of 112 × 112 pixels.
        vocabulary: most tokens.
        hidden_size: width of the language model.
        intermediate_size: inner width of its MLPs.
        layers: its layers.
        heads: its attention heads.
        vision_size: width of the vision tower.
        vision_intermediate: inner width of its MLPs.
        vision_layers: its blocks.
        vision_heads: its attention heads.
        scenes: of the split `train`, each seen once from one side.
        questions: to each picture.
        empty: share of the pictures that show nothing or stains.
        vision_steps: steps of the tower alone.
        vision_batch_size: pictures a step.
        vision_learning_rate: its highest; it falls to 0 along a cosine.
        language_steps: steps of the language model.
        language_schedule: steps that its learning rate's cosine is laid out for; 0: `language_steps`.
        language_batch_size: questions a step.
        language_learning_rate: its highest.
        tower_rate: the tower's learning rate beside the language model, as a share of the language model's; 0 freezes
            the tower, whose features are then computed once.
        heldout: scenes of each of the two test splits, for the figures.
    """

    size: int = 56
    grid: int = 4
    vocabulary: int = 512
    hidden_size: int = 128
    intermediate_size: int = 320
    layers: int = 3
    heads: int = 4
    vision_size: int = 128
    vision_intermediate: int = 256
    vision_layers: int = 4
    vision_heads: int = 4
    scenes: int = 24_000
    questions: int = 4
    empty: float = 0.06
    vision_steps: int = 2_000
    vision_batch_size: int = 64
    vision_learning_rate: float = 1e-3
    language_steps: int = 6_000
    language_schedule: int = 0
    language_batch_size: int = 64
    language_learning_rate: float = 2e-3
    tower_rate: float = 0.0
    heldout: int = 200


@dataclass
class ClipPretrainConfig:
    """The pocket CLIP.

    Attributes:
        size: height and width of the pictures; a multiple of 32.
        width: of the ModifiedResNet's first stage; its last is 32 times as wide.
        embedding: size of the shared features.
        text_width: width of the text transformer.
        text_layers: its layers.
        vocabulary: most tokens.
        context_length: longest text, in tokens.
        scenes: of the split `train`, each seen once from one side.
        steps: optimiser steps.
        batch_size: pairs of a step.
        hard_negatives: prompts with a false fact beside each pair.
        learning_rate: highest; it falls to 0 along a cosine.
        heldout: scenes of each of the two test splits, for the figures.
    """

    size: int = 64
    width: int = 16
    embedding: int = 128
    text_width: int = 128
    text_layers: int = 2
    vocabulary: int = 400
    context_length: int = 40
    scenes: int = 24_000
    steps: int = 1_200
    batch_size: int = 96
    hard_negatives: int = 2
    learning_rate: float = 1.5e-3
    heldout: int = 300


@dataclass
class PretrainConfig:
    """The pocket models, made from nothing.

    Attributes:
        out: folder that they are written to.
        diffusion: the diffusion model.
        vlm: the vision-language models: one that rewards, and one of another seed that only judges.
        clip: the CLIPs, likewise.
        save_every: steps between checkpoints.
    """

    out: str = "assets/text3d"
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    vlm: VlmPretrainConfig = field(default_factory=VlmPretrainConfig)
    clip: ClipPretrainConfig = field(default_factory=ClipPretrainConfig)
    save_every: int = 250
