"""Diffusion models behind one class: a picture or its latent with noise in, the noise out.

Read from a folder in the layout of diffusers (`model_index.json` and a folder for each component) or from a hub id:
Stable Diffusion, whose UNet sees the latents of a VAE; pixel-space models with a text encoder; unconditional DDPMs.
A pixel-space UNet of 12 or 48 channels sees 2 × 2 or 4 × 4 pixels as one place (space to depth): exact both ways, and
several times as fast.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from common.errors import DataError, MissingDependency, UsageError
from common.files import locate, read_object, write_json
from common.models.sizes import check_folder, check_layers, check_network, held_in, weight_files

log = logging.getLogger(__name__)

_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_COMPONENTS = ("unet", "scheduler", "vae", "text_encoder", "tokenizer")
#: Of noise, in a scheduler; a hundred times as many as any model has.
_MOST_STEPS = 100_000


@dataclass(eq=False)
class DiffusionPrior:
    """A frozen diffusion model.

    Attributes:
        unet: a `UNet2DConditionModel`, or a `UNet2DModel`, which takes no text.
        scheduler: of which `alphas_cumprod` and `prediction_type` are read.
        vae: an `AutoencoderKL`; without it the model works on pixels.
        text_encoder: with `tokenizer`, what the UNet attends to.
        tokenizer: see there.
        name: for messages.
    """

    unet: Any
    scheduler: Any
    vae: Any = None
    text_encoder: Any = None
    tokenizer: Any = None
    name: str = "the diffusion model"
    _texts: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.prediction not in _PREDICTIONS:
            raise UsageError(f"{self.name} predicts {self.prediction!r}; {', '.join(_PREDICTIONS)} are known")
        if self.takes_text and (self.text_encoder is None or self.tokenizer is None):
            raise UsageError(f"{self.name}: the UNet attends to text, and there is no text_encoder or no tokenizer")
        if self.vae is None and self.unet.config.in_channels != 3 * self.fold**2:
            raise UsageError(
                f"{self.name}: a UNet without VAE takes 3 channels, or 12 or 48 of folded pixels, and this one takes "
                f"{self.unet.config.in_channels}"
            )
        for part in (self.unet, self.vae, self.text_encoder):
            if part is not None:
                part.eval().requires_grad_(False)

    @property
    def takes_text(self) -> bool:
        """Whether the model is conditioned on text."""
        return getattr(self.unet.config, "cross_attention_dim", None) is not None

    @property
    def prediction(self) -> str:
        """What the UNet predicts: "epsilon", "v_prediction" or "sample"."""
        return str(self.scheduler.config.prediction_type)

    @property
    def timesteps(self) -> int:
        """How many the model was trained with."""
        return len(self.scheduler.alphas_cumprod)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels that the model was trained on; None where its files do not tell."""
        sample = getattr(self.unet.config, "sample_size", None)
        if sample is None:
            return None
        height, width = (sample, sample) if isinstance(sample, int) else sample
        return height * self.reduction, width * self.reduction

    @property
    def reduction(self) -> int:
        """Pixels a side of one latent."""
        return self.fold if self.vae is None else int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def fold(self) -> int:
        """Pixels a side that a pixel-space UNet sees as one place; 1 for a latent one."""
        return 1 if self.vae is not None else math.isqrt(self.unet.config.in_channels // 3)

    def alphas(self, timesteps: Tensor) -> Tensor:
        """`(B, 1, 1, 1)` ᾱ_t, the share of the signal's variance, in float32."""
        known = self.scheduler.alphas_cumprod.to(timesteps.device, torch.float32)
        found: Tensor = known[timesteps].view(-1, 1, 1, 1)
        return found

    def encode(self, pictures: Tensor) -> Tensor:
        """What the UNet works on, with gradient.

        The latent is the mean of the VAE's distribution, without its noise, which is tiny and would be one more draw.

        Args:
            pictures: `(B, 3, H, W)` in [0, 1]; resized to `size` where that is known.

        Returns:
            `(B, C, h, w)` float32: latents times the scaling factor, or pixels in [−1, 1], folded where the UNet is.
        """
        size = self.size
        if size is not None and tuple(pictures.shape[-2:]) != size:
            pictures = functional.interpolate(pictures, size, mode="bilinear", antialias=True, align_corners=False)
        scaled = 2 * pictures - 1
        if self.vae is None:
            return functional.pixel_unshuffle(scaled, self.fold)
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        latents: Tensor = self.vae.encode(scaled.to(self.vae.dtype)).latent_dist.mode().float()
        encoded: Tensor = (latents - shift) * self.vae.config.scaling_factor
        return encoded

    def decode(self, latents: Tensor) -> Tensor:
        """`(B, 3, H, W)` pictures in [0, 1] of what `encode` gives."""
        if self.vae is not None:
            shift = getattr(self.vae.config, "shift_factor", None) or 0.0
            unscaled = latents / self.vae.config.scaling_factor + shift
            latents = self.vae.decode(unscaled.to(self.vae.dtype)).sample.float()
        else:
            latents = functional.pixel_shuffle(latents, self.fold)
        return (0.5 * latents + 0.5).clamp(0, 1)

    def embed(self, texts: Sequence[str]) -> Tensor | None:
        """`(N, L, D)` embeddings of texts; None for a model without text. Each text is read once.

        A text beyond the encoder's length is cut with a warning that names the lost words. Special tokens written in
        a text are plain text.
        """
        if not self.takes_text:
            return None
        for text in dict.fromkeys(texts):
            if text not in self._texts:
                self._texts[text] = self._embedding(text)
        return torch.stack([self._texts[text] for text in texts])

    @torch.no_grad()
    def noise(self, noisy: Tensor, timesteps: Tensor, embeddings: Tensor | None = None) -> Tensor:
        """`(B, C, h, w)` float32, the noise that the model sees in z_t; from any kind of prediction.

        Args:
            noisy: `(B, C, h, w)`, z_t = √ᾱ z + √(1 − ᾱ) ε.
            timesteps: `(B,)`.
            embeddings: `(B, L, D)` where the model takes text.
        """
        taken = (noisy.to(self.unet.dtype), timesteps)
        if self.takes_text:
            assert embeddings is not None
            said = self.unet(*taken, encoder_hidden_states=embeddings.to(self.unet.dtype)).sample
        else:
            said = self.unet(*taken).sample
        # Models that learn the variance too, such as DeepFloyd's, give it behind the mean.
        predicted: Tensor = said[:, : noisy.shape[1]].float()
        alpha = self.alphas(timesteps)
        if self.prediction == "v_prediction":  # Salimans and Ho 2022: v = √ᾱ ε − √(1 − ᾱ) z
            return alpha.sqrt() * predicted + (1 - alpha).sqrt() * noisy
        if self.prediction == "sample":
            return (noisy - alpha.sqrt() * predicted) / (1 - alpha).sqrt()
        return predicted

    def _embedding(self, text: str) -> Tensor:
        longest = self._longest()
        plain = _plain(text, self.tokenizer)
        inside = self.tokenizer(plain, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        room = longest - self.tokenizer.num_special_tokens_to_add()
        if len(inside) > room:
            log.warning(
                "%s reads %d tokens of a text; of this one it does not see %r",
                self.name,
                longest,
                self.tokenizer.decode(inside[room:]).strip(),
            )
        read = self.tokenizer(plain, padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
        settings = self.text_encoder.config
        masked = getattr(settings, "use_attention_mask", False) or settings.model_type == "t5"
        device = self.text_encoder.device
        mask = read["attention_mask"].to(device) if masked else None
        with torch.no_grad():
            found: Tensor = self.text_encoder(read["input_ids"].to(device), attention_mask=mask)[0]
        return found[0]

    def _longest(self) -> int:
        """Tokens of the longest text that the encoder takes; tokenizers without a limit of their own say 10^30."""
        limits = [
            limit
            for limit in (
                getattr(self.text_encoder.config, "max_position_embeddings", None),
                self.tokenizer.model_max_length,
            )
            if limit is not None and limit < 10**6
        ]
        return min(limits, default=77)


def load_prior(
    path: str | Path, device: str = "cpu", dtype: str = "auto", variant: str | None = None, option: str = "sds.model"
) -> DiffusionPrior:
    """Open a diffusion model.

    Args:
        path: a folder in diffusers' layout or a hub id.
        device: torch device, or "auto".
        dtype: of the weights: "auto", "float32", "float16" or "bfloat16".
        variant: of the files, such as "fp16".
        option: that named the model, for messages.

    Raises:
        UsageError: there is no such model, a component is missing or of another library, or it cannot be read.
        MissingDependency: diffusers is not installed.
    """
    from common.models.loading import exact_errors, resolve_device, resolve_dtype, unreadable

    try:
        import diffusers
    except ImportError as error:
        raise MissingDependency("diffusers", "text3d") from error
    located = locate(path)
    where = str(located if located.is_dir() else path)
    place = resolve_device(device)
    broken: tuple[type[Exception], ...] = (*unreadable(), ImportError)
    options: dict[str, Any] = {"torch_dtype": resolve_dtype(dtype, place, False)}
    if variant:
        options["variant"] = variant
    try:
        index = diffusers.DiffusionPipeline.load_config(where)
        with exact_errors():
            parts = {name: _component(where, name, index, options) for name in _COMPONENTS}
    except broken as error:
        raise UsageError(
            f"{option}: the diffusion model {str(path)!r} cannot be opened: {error}. Name a folder in diffusers' "
            "layout (model_index.json, unet, scheduler, …), or a hub id that this machine can reach or has cached. "
            "Missing weights are never replaced by others; `python -m apps.text3d pretrain` makes the pocket's"
        ) from error
    if parts["unet"] is None or parts["scheduler"] is None:
        raise UsageError(f"{option}: {where} names no unet or no scheduler in model_index.json")
    for name in ("unet", "vae", "text_encoder"):
        if parts[name] is not None:
            parts[name] = parts[name].to(place)
    return DiffusionPrior(**parts, name=str(path))


def save_prior(prior: DiffusionPrior, folder: Path | str) -> Path:
    """Write a folder that `load_prior` and diffusers open: the components, and `model_index.json` last."""
    folder = Path(folder)
    parts = {name: getattr(prior, name) for name in _COMPONENTS if getattr(prior, name) is not None}
    index: dict[str, Any] = {"_class_name": "DiffusionPipeline"}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        library = type(part).__module__.split(".")[0]
        index[name] = [library if library in ("diffusers", "transformers") else "transformers", type(part).__name__]
    write_json(folder / "model_index.json", index)
    return folder


def _component(where: str, name: str, index: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """A component that the index names, of diffusers or transformers; nobody else's code runs."""
    library, kind = index.get(name) or (None, None)
    if kind is None:
        return None
    if library not in ("diffusers", "transformers"):
        raise ValueError(f"its {name} is of the library {library!r}; diffusers and transformers are known")
    found = getattr(importlib.import_module(library), kind, None)
    if found is None:
        raise ValueError(f"{library} has no {kind}")
    weighty = name in ("unet", "vae", "text_encoder")
    given = dict(options) if weighty else {}
    if weighty and library == "transformers":
        given["dtype"] = given.pop("torch_dtype")
    if (Path(where) / name).is_dir():
        _check_sizes(Path(where) / name, found, weighty)
    return found.from_pretrained(where, subfolder=name, **given)


def _check_sizes(folder: Path, kind: Any, weighty: bool) -> None:
    """Hold a component's settings against its weights, and a scheduler's steps against what any has.

    Raises:
        DataError: they ask for more.
    """
    steps = folder / "scheduler_config.json"
    if steps.is_file():
        number = read_object(steps).get("num_train_timesteps", 1)
        if not isinstance(number, int) or not 1 <= number <= _MOST_STEPS:
            raise DataError(f"num_train_timesteps is no number from 1 to {_MOST_STEPS:,}: {number!r:.20}", path=steps)
    if not weighty:
        return
    if kind.__module__.startswith("transformers."):
        check_folder(folder, kind)
        return
    if not (files := weight_files(folder)):
        return  # loading says so
    held, path = held_in(files), folder / "config.json"
    settings = kind.load_config(folder)
    check_layers(settings, held, path)
    check_network(lambda: kind.from_config(settings), held, path)


def _plain(text: str, tokenizer: Any) -> str:
    """A text in which special tokens such as <|endoftext|> are plain text, and without lone surrogates."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    for token in sorted(tokenizer.all_special_tokens, key=len, reverse=True):
        if len(token) > 2:  # Stable Diffusion 2 pads with "!", which is a word
            text = text.replace(token, f"{token[:1]} {token[1:]}")
    return text
