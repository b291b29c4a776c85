"""Qwen-VL models and their processors: from a folder or a hub id, and back into a folder."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import LanguageModelConfig
from common.errors import UsageError
from common.models.language import ModelDescription, check_tokens, described, save_language_model
from common.models.loading import load_from, resolve_device, resolve_dtype, settled
from common.models.sizes import check_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, ProcessorMixin

#: transformers' `model_type` of the families.
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def load_vlm(config: LanguageModelConfig, training: bool = False) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a Qwen2-VL, Qwen2.5-VL or Qwen3-VL and its processor, which pads on the left.

    LoRA adapters are not added here: the trainers add them, so that the untouched model stays the reference.

    Args:
        config: where the model is (a folder or a hub id), its dtype and its device; `tokenizer` names where the
            processor is, if elsewhere.
        training: return the model in training mode, on a CPU in float32; else its weights are frozen.

    Raises:
        UsageError: there is no such model or processor, it is of another family, or a dtype or device that this
            machine cannot use.
    """
    from transformers import AutoModelForImageTextToText

    config = settled(config)
    _read_config(config)
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device, training)

    def read(**options: Any) -> Any:
        check_folder(config.path, AutoModelForImageTextToText)
        return AutoModelForImageTextToText.from_pretrained(config.path, dtype=dtype, **options)

    model = load_from(config, read, "a vision-language model")
    processor = load_processor(config)
    check_pair(model, processor)
    model = model.to(device)
    return model.train(training).requires_grad_(training), processor


def load_processor(config: LanguageModelConfig) -> ProcessorMixin:
    """Load the processor of a model, or the one named by `config.tokenizer`; it pads on the left.

    Raises:
        UsageError: there is none, or only a tokenizer.
    """
    from transformers import AutoProcessor

    config = settled(config)
    if config.tokenizer is not None:
        config = settled(LanguageModelConfig(path=config.tokenizer))
    processor = load_from(
        config, lambda **options: AutoProcessor.from_pretrained(config.path, **options), "a processor"
    )
    check_processor(processor, config.path)
    tokenizer: Any = processor.tokenizer
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if processor.chat_template is None:
        processor.chat_template = tokenizer.chat_template
    return processor


def check_processor(processor: Any, name: str = "") -> None:
    """Refuse what is no processor of pictures and text.

    Where AutoProcessor does not know the class that a folder names, it returns the bare tokenizer without a word; a
    trainer then takes the model for one of text.

    Raises:
        UsageError: says what it is and what to do.
    """
    from transformers import ProcessorMixin

    name = name or getattr(processor, "name_or_path", "") or "the processor"
    if not isinstance(processor, ProcessorMixin):
        raise UsageError(
            f"{name}: this is a bare {type(processor).__name__}, no processor of pictures and text; copy the "
            "processor files of the base model into the folder (preprocessor_config.json, processor_config.json, "
            "chat_template.jinja, tokenizer files)"
        )
    for part in ("image_processor", "tokenizer"):
        if getattr(processor, part, None) is None:
            raise UsageError(f"{name}: the processor has no {part}")


def check_pair(model: PreTrainedModel, processor: Any) -> None:
    """Refuse a processor that does not go with the model, or pads on the right.

    Raises:
        UsageError: says which, and what to do.
    """
    family = model.config.model_type
    if family not in FAMILIES:
        raise UsageError(f"the model is a {family}; use one of {', '.join(FAMILIES)}")
    check_processor(processor)
    tokenizer = processor.tokenizer
    if tokenizer.padding_side != "left":
        raise UsageError(
            "the processor pads on the right, which silently gives pictures the places of other tokens; "
            'set processor.tokenizer.padding_side = "left"'
        )
    check_tokens(model, tokenizer)
    if processor.chat_template is None:
        raise UsageError(
            "the processor has no chat template; take an instruction-tuned model, or put a chat_template.jinja into "
            "its folder"
        )
    known = tokenizer.convert_tokens_to_ids(getattr(processor, "image_token", "<|image_pad|>"))
    if known != model.config.image_token_id:
        raise UsageError(
            f"the model's image token is {model.config.image_token_id} and the processor's is {known}; "
            "take the model's own processor"
        )
    vision = model.config.vision_config
    for name, theirs in (("patch_size",) * 2, ("merge_size", "spatial_merge_size"), ("temporal_patch_size",) * 2):
        cut, wanted = getattr(processor.image_processor, name, None), getattr(vision, theirs)
        if cut != wanted:
            raise UsageError(
                f"the processor's {name} is {reprlib.repr(cut)} and the model's {wanted}; take the model's own "
                "processor"
            )


def save_vlm(model: Any, processor: ProcessorMixin, folder: Path | str) -> Path:
    """Write weights, configuration and processor into `folder`; see `save_language_model`.

    Raises:
        UsageError: the processor is of a class that transformers would not find again.
    """
    import transformers

    if not hasattr(transformers, type(processor).__name__):
        raise UsageError(
            f"transformers does not know the class {type(processor).__name__}, and would read the saved processor as "
            "a bare tokenizer; save with the stock processor that it was made from"
        )
    saved: Any = processor
    return save_language_model(model, saved, folder)


def describe_vlm_on_meta(config: LanguageModelConfig) -> ModelDescription:
    """Build the model on the meta device, from its configuration only: no weights are read and no memory is taken.

    Raises:
        UsageError: the configuration cannot be read or is of another family, or LoRA names layers that the model does
            not have.
    """
    from transformers import AutoModelForImageTextToText

    config = settled(config)
    found = _read_config(config)
    return described(config, lambda: AutoModelForImageTextToText.from_config(found))


def _read_config(config: LanguageModelConfig) -> Any:
    """The model's configuration, read before its weights."""
    from transformers import AutoConfig

    if config.gguf_file is not None:
        raise UsageError(f"{config.gguf_file}: a GGUF file holds no vision tower; name a folder or a hub id")
    found = load_from(config, lambda **options: AutoConfig.from_pretrained(config.path, **options), "a model")
    if found.model_type not in FAMILIES:
        raise UsageError(f"{config.path}: this is a {found.model_type} model; use one of {', '.join(FAMILIES)}")
    return found
