"""OpenCLIP models behind one class: pictures and texts in, unit vectors out."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from common.errors import MissingDependency, UsageError
from common.files import locate, read_object
from common.models.clip_folder import CONFIG_FILE, compact_tokenizer, save_clip
from common.models.clip_input import Preprocess, Tokens
from common.models.clip_text import encode_text
from common.models.loading import exact_errors
from common.models.sizes import check_layers, check_network, held_in, weight_files
from common.pictures import WHITE, Colour, load_picture, to_tensor

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Clip", "compact_tokenizer", "save_clip"]

LOCAL, HUB = "local-dir:", "hf-hub:"
#: What OpenCLIP raises on a config, weights or a network that it cannot use.
_FAILURES = (
    RuntimeError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AssertionError,
    AttributeError,
    ArithmeticError,
    ImportError,
    SafetensorError,
    pickle.UnpicklingError,  # from torch.load, which runs with weights_only
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Opened:
    """A loaded model and what belongs to it."""

    model: Any
    preprocess: Preprocess
    tokens: Tokens
    config: Mapping[str, Any]


class Clip:
    """A frozen CLIP model in evaluation mode, opened on first use; pickles without its weights.

    Pictures become tensors of the model's size in torch, whether they come as tensors or from Pillow, so that both
    score the same; see `Preprocess` for how near that is to OpenCLIP's own transform. A row's vector depends on the
    other rows of its batch by about 1e-5 at most (1.6e-5 was seen with AVX-512), as the sums' order does.

    Args:
        name: an OpenCLIP model ("ViT-L-14"), "hf-hub:OWNER/REPOSITORY", or a folder with `open_clip_config.json`
            ("local-dir:FOLDER" or FOLDER; relative ones are also found in the checkout). "ViT-L-14:openai" names the
            weights as well.
        pretrained: tag of the weights ("openai") or a checkpoint file; only for an OpenCLIP model's name.
        device: torch device.
        precision: OpenCLIP's: "fp32", "bf16", "fp16", …. Vectors are float32 in any case, but bfloat16 weights move
            cosines by up to 2.5e-3, more than most advantages: score in fp32.
        batch_size: pictures or texts that are encoded at once.
        background: what shows through transparent pixels of Pillow pictures.
        remember: vectors of texts that are kept, because a policy says the same thing often; 0 keeps none.

    Attributes:
        name: as messages and reports call the model.
        truncated: texts cut at the context length so far.
    """

    def __init__(
        self,
        name: str | Path,
        pretrained: str | None = None,
        device: str = "cpu",
        precision: str = "fp32",
        batch_size: int = 64,
        background: Colour = WHITE,
        remember: int = 0,
    ) -> None:
        name = str(name)
        if pretrained is None and not name.startswith((LOCAL, HUB)) and not _is_folder(name):
            name, _, tag = name.partition(":")
            pretrained = tag or None
        self.model_name = name
        self.pretrained = pretrained
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.background = background
        self.remember = remember
        self.truncated = 0
        self._texts: dict[str, Tensor] = {}
        self._opened: _Opened | None = None
        self._fingerprint: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The digest goes too: where it is opened again, other weights may lie under the same name.
        return {**self.__dict__, "_opened": None, "_fingerprint": None, "_texts": {}}

    @property
    def name(self) -> str:
        """Model and weights."""
        return f"{self.model_name}:{self.pretrained}" if self.pretrained else self.model_name

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._open().config["embed_dim"])

    @property
    def context_length(self) -> int:
        """Most tokens of a text, start and end included."""
        return self._open().tokens.context_length

    @property
    def logit_scale(self) -> float:
        """What the model multiplies cosines with (the exponential of its parameter)."""
        return float(self._open().model.logit_scale.detach().float().exp())

    @property
    def model(self) -> nn.Module:
        """The OpenCLIP model itself."""
        model: nn.Module = self._open().model
        return model

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides a vector: config, weights, tokenizer, preprocess, background and precision."""
        if self._fingerprint is None:
            opened = self._open()
            settings = (opened.config, str(opened.preprocess), opened.tokens.fingerprint())
            digest = hashlib.sha256(json.dumps([*settings, self.background, self.precision], sort_keys=True).encode())
            for key, value in sorted(opened.model.state_dict().items()):
                digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
            self._fingerprint = digest.hexdigest()[:32]
        return self._fingerprint

    def image(self, pictures: Tensor | Sequence[Image]) -> Tensor:
        """Encode pictures.

        Args:
            pictures: `(B, 3, H, W)` in [0, 1], or Pillow pictures of any sizes and modes (see `load_picture`).

        Returns:
            `(B, dim)` float32, of length 1 (or 0 where the model returned zeros), on the model's device. Gradient
            flows to a tensor that requires it.

        Raises:
            UsageError: a tensor of another shape, type or range.
            DataError: a picture cannot be decoded.
        """
        parts = [
            self.encode_prepared(self.prepare(pictures[start : start + self.batch_size]))
            for start in range(0, len(pictures), self.batch_size)
        ]
        return torch.cat(parts) if parts else self._nothing()

    def prepare(self, pictures: Tensor | Sequence[Image]) -> Tensor:
        """Pictures as the model takes them, `(B, 3, *size)`, resized and normalised; see `image`."""
        opened = self._open()
        if isinstance(pictures, Tensor):
            check_pictures(pictures)
            return opened.preprocess(pictures.to(self.device))
        loaded = (load_picture(picture, self.background) for picture in pictures)
        prepared = [opened.preprocess(to_tensor([picture]).to(self.device)) for picture in loaded]
        return torch.cat(prepared) if prepared else torch.zeros(0, 3, *opened.preprocess.size, device=self.device)

    def encode_prepared(self, prepared: Tensor) -> Tensor:
        """Vectors of pictures that `prepare` made; see `image`."""
        from open_clip import get_input_dtype

        dtype = get_input_dtype(self.precision)
        return unit(self._open().model.encode_image(prepared if dtype is None else prepared.to(dtype)))

    def text(self, texts: Sequence[str]) -> Tensor:
        """Encode texts.

        A text longer than the context is cut, keeps its end token and counts in `truncated`; the first is logged.
        Special tokens written in a text are plain text.

        Returns:
            `(B, dim)` float32, of length 1 (or 0 where the model returned zeros), without gradient.

        Raises:
            UsageError: an entry is not a string.
        """
        if isinstance(texts, str):
            raise UsageError("pass a list of texts, not one text")
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise UsageError(f"text {row} is a {type(text).__name__}, not a string")
        if not self.remember:
            return self._text_vectors(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if len(self._texts) + len(new) > self.remember:
            self._texts.clear()
            new = list(dict.fromkeys(texts))
        self._texts.update(zip(new, self._text_vectors(new), strict=True))
        return torch.stack([self._texts[text] for text in texts]) if texts else self._nothing()

    def _text_vectors(self, texts: Sequence[str]) -> Tensor:
        opened = self._open()
        parts = []
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            ids, cut = opened.tokens(batch)
            self._count_cut(cut)
            parts.append(unit(encode_text(opened.model, ids.to(self.device))))
        return torch.cat(parts) if parts else self._nothing()

    def _nothing(self) -> Tensor:
        return torch.zeros(0, self.dim, device=self.device)

    def _count_cut(self, cut: int) -> None:
        if cut and not self.truncated:
            log.warning(
                "CLIP %s: a text is longer than %d tokens; its end is not read", self.name, self.context_length
            )
        self.truncated += cut

    def _open(self) -> _Opened:
        if self._opened is None:
            self._opened = self._load()
        return self._opened

    def _load(self) -> _Opened:
        open_clip = _open_clip()
        name, weights = self.resolved()
        # OpenCLIP only warns where the weights were trained with another activation than its model of that name has,
        # as OpenAI's were.
        quick = bool(weights and (open_clip.get_pretrained_cfg(name, weights) or {}).get("quick_gelu"))
        try:
            _check_sizes(open_clip, name)
            model = open_clip.create_model(
                name,
                weights,
                precision=self.precision,
                device=self.device,
                force_quick_gelu=quick,
                require_pretrained=True,
            )
            config = open_clip.get_model_config(name)
            if quick:
                config["quick_gelu"] = True
            context = int(config["text_cfg"].get("context_length", 77))
            with exact_errors():
                tokens = Tokens(open_clip.get_tokenizer(name), context)
                tokens(["a"])  # one that cannot pad is found here, not in the first reward
            preprocess = Preprocess.from_config(model.visual.preprocess_cfg)
        except ModuleNotFoundError as error:
            raise MissingDependency(error.name or "transformers", "captioning") from error
        except _FAILURES as error:
            raise UsageError(
                f"CLIP {self.name} cannot be opened: {error}. Without network, a folder works: {LOCAL}FOLDER, with "
                f"{CONFIG_FILE}, weights and tokenizer"
            ) from error
        vocabulary = getattr(model, "vocab_size", None) or tokens.size
        if tokens.size > vocabulary:
            raise UsageError(
                f"CLIP {self.name} has {vocabulary} words and its tokenizer {tokens.size}; name the folder's own "
                "tokenizer in text_cfg.hf_tokenizer_name"
            )
        return _Opened(model.eval().requires_grad_(False), preprocess, tokens, config)

    def resolved(self) -> tuple[str, str | None]:
        """Name and weights as OpenCLIP takes them; nothing is opened.

        Raises:
            UsageError: there is no such folder, model or weights; names what is known.
            MissingDependency: OpenCLIP is not installed.
        """
        open_clip = _open_clip()
        if self.model_name.startswith(HUB):
            return self.model_name, None
        if self.model_name.startswith(LOCAL) or _is_folder(self.model_name):
            folder = locate(self.model_name.removeprefix(LOCAL))
            if not (folder / CONFIG_FILE).is_file():
                raise UsageError(f"no CLIP at {folder}: it holds no {CONFIG_FILE}")
            if "model_cfg" not in read_object(folder / CONFIG_FILE):
                raise UsageError(f"{folder / CONFIG_FILE} holds no model_cfg")
            return f"{LOCAL}{folder}", None
        name = self.model_name.replace("/", "-")
        known = open_clip.list_models()
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.3)
            raise UsageError(
                f"OpenCLIP knows no model {self.model_name!r}; near: {', '.join(near)}. A folder works too: "
                f"{LOCAL}FOLDER"
            )
        tags = open_clip.list_pretrained_tags_by_model(name)
        if self.pretrained is None:
            raise UsageError(f"CLIP {name} needs the name of its weights; known: {', '.join(tags) or 'none'}")
        file = locate(self.pretrained)
        if file.is_file():
            return name, str(file)
        if not open_clip.is_pretrained_cfg(name, self.pretrained):
            raise UsageError(
                f"CLIP {name} has no weights {self.pretrained!r}; known: {', '.join(tags) or 'none'}. A checkpoint "
                "file works too"
            )
        return name, self.pretrained


def _check_sizes(open_clip: Any, name: str) -> None:
    """Hold a folder's config against its weights.

    Raises:
        DataError: it asks for more than they are.
    """
    if not name.startswith(LOCAL):
        return
    folder = Path(name.removeprefix(LOCAL))
    files, path = weight_files(folder), folder / CONFIG_FILE
    if not files:
        return
    held, root = held_in(files), logging.getLogger()
    check_layers(read_object(path), held, path)
    # OpenCLIP warns, on the root logger, that the network has no weights yet.
    root.addFilter(_not_of_weights)
    try:
        check_network(lambda: open_clip.create_model(name, load_weights=False, device="meta"), held, path)
    finally:
        root.removeFilter(_not_of_weights)


def _not_of_weights(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("No pretrained weights loaded")


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise MissingDependency("open_clip_torch", "captioning") from error
    return open_clip


def _is_folder(name: str) -> bool:
    return (locate(name) / CONFIG_FILE).is_file()


def unit(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors.float(), dim=-1)


def check_pictures(pictures: Tensor) -> None:
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point() or not pictures.shape[-1]:
        raise UsageError(
            f"pictures must be floats (B, 3, H, W) in [0, 1]; this is {pictures.dtype} {tuple(pictures.shape)}"
        )
    if pictures.numel():
        low, high = pictures.detach().aminmax()
        # Comparisons with NaN are false: such a picture is the grader's to report.
        if low < -0.01 or high > 1.01:
            raise UsageError(f"pictures must be in [0, 1]; these reach from {low:g} to {high:g}")
