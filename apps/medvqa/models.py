"""Opens the configured vision-language model with its processor."""

from __future__ import annotations

from typing import Any

from apps.medvqa.config import MedVqaConfig


def open_model(config: MedVqaConfig, training: bool) -> tuple[Any, Any]:
    """The model and its processor, with the configured bounds on pictures; see `load_vlm_for_training`."""
    from common.training.vision.models import load_vlm_for_training

    pictures = config.pictures
    model, processor = load_vlm_for_training(
        config.model, pictures.min_pixels or None, pictures.max_pixels or None, training
    )
    if training and pictures.freeze:
        tower: Any = model.base_model.visual
        tower.requires_grad_(False)
    return model, processor
