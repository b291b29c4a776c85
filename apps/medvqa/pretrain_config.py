"""Settings of the pocket model's making. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class PretrainConfig:
    """The pocket Qwen2.5-VL, made from nothing by `pretrain`.

    First its vision tower learns alone, by direct supervision on what the phantoms show; taught by the language loss
    alone, so small a model sees nothing for hundreds of steps. Then the language model learns to reason and answer
    from what the tower shows it, and is stopped early: reinforcement is to have something left to gain.

    Args:
        vocabulary: most tokens.
        hidden_size: width of the language model.
        intermediate_size: inner width of its MLPs.
        layers: its layers.
        heads: its attention heads.
        vision_size: width of the vision tower.
        vision_intermediate: inner width of its MLPs.
        vision_layers: its blocks.
        vision_heads: its attention heads.
        grid: image tokens a side of a picture; 4 makes 16 tokens of 112 × 112 pixels.
        examples: demonstrations, drawn with the run's seed.
        vision_steps: steps of the tower alone.
        vision_batch_size: pictures a step.
        vision_learning_rate: its highest; it falls to 0 along a cosine.
        language_steps: steps of the language model.
        language_schedule: steps that its learning rate's cosine is laid out for; 0: `language_steps`. More than
            `language_steps` stops it early.
        language_batch_size: examples a step.
        language_learning_rate: its highest.
        tower_rate: the tower's learning rate beside the language model, as a share of the language model's; 0 freezes
            the tower, whose features are then computed once.
        viewers: share of the demonstrations whose annotators name the side as they see it on the screen, not the
            patient's; see `apps.medvqa.pocket.annotators`.
        hurried: share of those whose annotators leave out the side, the place and the size.
        save_every: steps between checkpoints.
        sampled: open questions that answers are sampled to, to measure how often right and wrong ones meet.
    """

    vocabulary: int = 768
    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 4
    heads: int = 4
    vision_size: int = 128
    vision_intermediate: int = 256
    vision_layers: int = 4
    vision_heads: int = 4
    grid: int = 4
    examples: int = 24_000
    vision_steps: int = 1_500
    vision_batch_size: int = 64
    vision_learning_rate: float = 1e-3
    language_steps: int = 1_500
    language_schedule: int = 0
    language_batch_size: int = 64
    language_learning_rate: float = 2e-3
    tower_rate: float = 0.0
    viewers: float = 0.0
    hurried: float = 0.0
    save_every: int = 250
    sampled: int = 200
