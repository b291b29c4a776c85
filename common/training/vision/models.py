"""Qwen-VL models and their processors, opened to be trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.config import LanguageModelConfig
from common.models.vlm_folder import load_vlm
from common.models.vlm_input import Preprocess

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin


def is_processor(processing: Any) -> bool:
    """Whether it is a processor, which reads pictures, and no bare tokenizer."""
    from transformers import ProcessorMixin

    return isinstance(processing, ProcessorMixin)


def tokenizer_of(processing: Any) -> PreTrainedTokenizerBase:
    """The tokenizer itself, or the one in a processor."""
    tokenizer: PreTrainedTokenizerBase = processing.tokenizer if is_processor(processing) else processing
    return tokenizer


def load_vlm_for_training(
    config: LanguageModelConfig,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    training: bool = True,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a Qwen-VL and its processor, with bounds on its pictures; see `common.models.vlm_folder.load_vlm`.

    Args:
        config: where the model is, its dtype and its device.
        min_pixels: least area of a picture as the model sees it; smaller ones are blown up. The processor's own value
            where not given.
        max_pixels: greatest area; larger pictures are scaled down.
        training: return the model in training mode; else its weights are frozen.

    Raises:
        UsageError: there is no such model or processor, or the areas do not go together.
    """
    model, processor = load_vlm(config, training)
    return model, bounded(processor, min_pixels, max_pixels)


def bounded(processor: Any, min_pixels: int | None = None, max_pixels: int | None = None) -> ProcessorMixin:
    """The processor, which from here on resizes pictures to areas within these bounds, in pixels.

    Raises:
        UsageError: the areas do not go together.
    """
    wanted = Preprocess.of(processor, min_pixels, max_pixels)
    size = processor.image_processor.size
    edges = {"shortest_edge": wanted.min_pixels, "longest_edge": wanted.max_pixels}
    processor.image_processor.size = type(size)(**{**dict(size), **edges})
    found: ProcessorMixin = processor
    return found
