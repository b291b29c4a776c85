"""Small Qwen-VL models made from nothing: tokenizer, processor and untrained weights of the real classes.

What comes out is a stock model with a stock processor: transformers' own loaders read what `save_small_vlm` wrote, and
every path that runs with a Qwen-VL of billions of weights runs with it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common.errors import UsageError
from common.models.qwen_tokenizer import (
    CHAT_TEMPLATE,
    IMAGE,
    SPECIAL_TOKENS,
    VIDEO,
    VISION_END,
    VISION_START,
    small_tokenizer,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin

#: transformers' classes: config, model, processor, video processor; and the patch size of the published weights.
_CLASSES = {
    "qwen2_vl": ("Qwen2VLConfig", "Qwen2VLForConditionalGeneration", "Qwen2VLProcessor", "Qwen2VLVideoProcessor", 14),
    "qwen2_5_vl": (
        "Qwen2_5_VLConfig",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLProcessor",
        "Qwen2VLVideoProcessor",
        14,
    ),
    "qwen3_vl": ("Qwen3VLConfig", "Qwen3VLForConditionalGeneration", "Qwen3VLProcessor", "Qwen3VLVideoProcessor", 16),
}
# Patches are merged 2 × 2 into one image token.
_MERGE = 2
# OpenAI CLIP's, which the published Qwen2-VL and Qwen2.5-VL use.
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class SmallVlmSettings:
    """Size of a small Qwen-VL; the defaults make one of 0.2 M weights in two seconds, for tests.

    Args:
        architecture: which of the three families.
        vocabulary: most tokens, the 256 bytes and Qwen's 14 special tokens included.
        hidden_size: width of the language model.
        intermediate_size: inner width of its MLPs.
        layers: its layers.
        heads: its attention heads; a head is `hidden_size / heads` wide, a multiple of 4.
        kv_heads: its key and value heads.
        vision_size: width of the vision tower.
        vision_intermediate: inner width of its MLPs; a multiple of `vision_size`.
        vision_layers: its blocks, all with attention over the whole picture.
        vision_heads: its attention heads; a head is a multiple of 4 wide.
        grid: image tokens a side of the smallest square picture that reaches the model; smaller ones are blown up.
        largest_grid: image tokens a side of the largest square picture; larger ones are scaled down. 0: as `grid`,
            so that every square picture becomes `grid` × `grid` image tokens.
        mean: of a picture's channels, subtracted before it is seen.
        deviation: of a picture's channels, divided by.
        positions: most positions of a text with its image tokens.
        seed: of the weights; torch's own generator is left as it was.
    """

    architecture: Literal["qwen2_vl", "qwen2_5_vl", "qwen3_vl"] = "qwen2_5_vl"
    vocabulary: int = 512
    hidden_size: int = 64
    intermediate_size: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    vision_size: int = 32
    vision_intermediate: int = 64
    vision_layers: int = 2
    vision_heads: int = 4
    grid: int = 2
    largest_grid: int = 4
    mean: tuple[float, float, float] = _MEAN
    deviation: tuple[float, float, float] = _DEVIATION
    positions: int = 2048
    seed: int = 0

    @classmethod
    def of(cls, sizes: object, **more: Any) -> SmallVlmSettings:
        """The sizes that an application's settings name as they are named here.

        Args:
            sizes: any object, such as a config; attributes of other names are not looked at.
            more: sizes that it does not have, or that are others.
        """
        named = {entry.name: getattr(sizes, entry.name) for entry in fields(cls) if hasattr(sizes, entry.name)}
        return cls(**{**named, **more})

    @property
    def patch(self) -> int:
        """Pixels a side of a patch."""
        return _CLASSES[self.architecture][-1]

    @property
    def side(self) -> int:
        """Pixels a side of the smallest square picture."""
        return self.grid * _MERGE * self.patch

    def check(self) -> None:
        """Raise a `UsageError` for sizes that do not go together."""
        if self.architecture not in _CLASSES:
            raise UsageError(f"architecture {self.architecture!r}: use {', '.join(_CLASSES)}")
        for width, heads, names in (
            (self.hidden_size, self.heads, "hidden_size and heads"),
            (self.vision_size, self.vision_heads, "vision_size and vision_heads"),
        ):
            if heads < 1 or width % (4 * heads):
                raise UsageError(f"{names}: {width} is not 4, 8, 12 … for each of {heads} heads")
        if self.kv_heads < 1 or self.heads % self.kv_heads:
            raise UsageError(f"kv_heads: {self.heads} heads cannot share {self.kv_heads}")
        if self.vision_intermediate % self.vision_size:
            raise UsageError(f"vision_intermediate: {self.vision_intermediate} is no multiple of {self.vision_size}")
        if self.grid < 1 or 0 < self.largest_grid < self.grid:
            raise UsageError(f"grid {self.grid}, largest_grid {self.largest_grid}: use 1 or more, the larger one last")
        if self.vocabulary < 256 + len(SPECIAL_TOKENS):
            raise UsageError(f"vocabulary {self.vocabulary}: bytes and special tokens alone are 270")


def make_small_vlm(
    texts: Iterable[str], settings: SmallVlmSettings | None = None
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """An untrained Qwen-VL on the CPU in float32, and its processor, which pads on the left.

    Args:
        texts: what the tokenizer is trained on; prompts and answers as the model will see them.
        settings: sizes; the defaults where not given.

    Raises:
        UsageError: sizes that do not go together.
    """
    import torch
    import transformers

    settings = settings or SmallVlmSettings()
    settings.check()
    config_class, model_class, _, _, _ = _CLASSES[settings.architecture]
    tokenizer = small_tokenizer(texts, settings.vocabulary)
    config = getattr(transformers, config_class)(**_config(settings, tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = getattr(transformers, model_class)._from_config(
            config, attn_implementation="sdpa", dtype=torch.float32
        )
    ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.update(eos_token_id=ends, pad_token_id=ends[1], do_sample=False)
    return model.eval(), small_processor(tokenizer, settings)


def small_processor(tokenizer: PreTrainedTokenizerFast, settings: SmallVlmSettings) -> ProcessorMixin:
    """The family's stock processor around a tokenizer, for pictures of the settings' size.

    A picture keeps its proportions; its area comes to lie between those of the smallest and the largest square.
    """
    import transformers

    _, _, processor_class, video_class, patch = _CLASSES[settings.architecture]
    factor = _MERGE * patch
    largest = settings.largest_grid or settings.grid
    # A tenth of slack: smart_resize rounds a side down, and one that is short by a rounding error loses a whole token.
    size = {
        "shortest_edge": int(0.9 * (settings.grid * factor) ** 2),
        "longest_edge": int(1.1 * (largest * factor) ** 2),
    }
    options: dict[str, Any] = {
        "size": size,
        "image_mean": list(settings.mean),
        "image_std": list(settings.deviation),
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": _MERGE,
    }
    family: type[ProcessorMixin] = getattr(transformers, processor_class)
    return family(
        image_processor=transformers.Qwen2VLImageProcessor(**options),
        tokenizer=tokenizer,
        video_processor=getattr(transformers, video_class)(**options),
        chat_template=CHAT_TEMPLATE,
    )


def save_small_vlm(model: Any, processor: ProcessorMixin, folder: Path | str, half: bool = True) -> Path:
    """`save_vlm`, in float16 unless told otherwise; the model is left as it is."""
    from common.models.vlm_folder import save_vlm

    return save_vlm(copy.deepcopy(model).half() if half else model, processor, folder)


def _config(settings: SmallVlmSettings, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The configuration's arguments; the three families name the same things differently."""
    qwen3 = settings.architecture == "qwen3_vl"
    half = settings.hidden_size // settings.heads // 2
    # How many of a head's frequencies turn with time, height and width: Qwen's 16, 24, 24 of 64, scaled down.
    section = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]
    rope: dict[str, Any] = {
        "rope_type": "default",
        "mrope_section": section,
        "rope_theta": 5e6 if qwen3 else 1e6,
    }
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": settings.hidden_size,
        "intermediate_size": settings.intermediate_size,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.kv_heads,
        "max_position_embeddings": settings.positions,
        "rope_parameters": rope,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if qwen3:
        rope["mrope_interleaved"] = True
        text["head_dim"] = 2 * half
    else:
        text |= {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("vision_start", VISION_START),
            ("vision_end", VISION_END),
            ("image", IMAGE),
            ("video", VIDEO),
        )
    }
    return {"text_config": text, "vision_config": _vision(settings), "tie_word_embeddings": True, **ids}


def _vision(settings: SmallVlmSettings) -> dict[str, Any]:
    shared = {
        "depth": settings.vision_layers,
        "num_heads": settings.vision_heads,
        "patch_size": settings.patch,
        "spatial_merge_size": _MERGE,
        "temporal_patch_size": 2,
    }
    if settings.architecture == "qwen2_vl":
        return shared | {
            "embed_dim": settings.vision_size,
            "hidden_size": settings.hidden_size,
            "mlp_ratio": settings.vision_intermediate // settings.vision_size,
        }
    own = {
        "hidden_size": settings.vision_size,
        "intermediate_size": settings.vision_intermediate,
        "out_hidden_size": settings.hidden_size,
    }
    if settings.architecture == "qwen2_5_vl":
        # So small a picture needs no windows: every block looks at all of it.
        return shared | own | {"fullatt_block_indexes": list(range(settings.vision_layers)), "window_size": 112}
    last = settings.vision_layers - 1
    return (
        shared | own | {"num_position_embeddings": 256, "deepstack_visual_indexes": sorted({0, last - 1} - {-1, last})}
    )
