"""What goes into a CLIP model: pictures resized in torch as Pillow would, and texts as token ids."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from common.errors import UsageError

#: Bicubic overshoots at edges and Pillow cuts that off. Cutting a little later lets the gradient of white and black
#: areas pass, where rounding alone lies beyond [0, 1]; it is a quarter of one step of 8-bit colour.
_SLACK = 1e-3


@dataclass(frozen=True)
class Preprocess:
    """OpenCLIP's transform for evaluation, on tensors, with gradient.

    Equal to the transform on an 8-bit Pillow picture but for Pillow's rounding to 8 bits after each of its two passes:
    at most 1.2/255 a pixel before normalising, 0.33/255 on average (`tests/common/models/test_clip.py`).

    Attributes:
        size: height and width that the model takes.
        mean: of each channel.
        std: of each channel.
        interpolation: "bicubic" or "bilinear"; "random", a training setting, is bicubic.
        resize_mode: "shortest" (cut to the centre), "longest" (pad with `fill`) or "squash".
        fill: 0 to 255.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill: float = 0.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocess:
        """Read OpenCLIP's `preprocess_cfg`, `size` included.

        Raises:
            UsageError: a mode is not one of OpenCLIP's.
        """
        size = config["size"]
        sides = (size, size) if isinstance(size, int) else (size[0], size[-1])
        made = cls(
            sides,
            _three(config["mean"]),
            _three(config["std"]),
            config.get("interpolation") or "bicubic",
            config.get("resize_mode") or "shortest",
            float(config.get("fill_color") or 0),
        )
        if made.resize_mode not in ("shortest", "longest", "squash"):
            raise UsageError(f"resize_mode is {made.resize_mode!r}; OpenCLIP knows shortest, longest and squash")
        if made.interpolation not in ("bicubic", "bilinear", "random"):
            raise UsageError(f"interpolation is {made.interpolation!r}; OpenCLIP knows bicubic and bilinear")
        return made

    def __call__(self, pictures: Tensor) -> Tensor:
        """`(B, 3, H, W)` in [0, 1] to `(B, 3, *size)`, normalised.

        Memory does not depend on the aspect ratio: only what the centre cut keeps is computed.
        """
        height, width = pictures.shape[-2:]
        rows, columns = self._resized(height, width)
        # Across, then down, as Pillow does: it cuts the overshoot off after each.
        pictures = _along_width(pictures.float(), columns, self.size[1], self._filter, self._padding)
        pictures = _along_width(pictures.mT, rows, self.size[0], self._filter, self._padding).mT
        mean, std = (pictures.new_tensor(three).view(3, 1, 1) for three in (self.mean, self.std))
        return (pictures - mean) / std

    @property
    def _padding(self) -> float:
        return self.fill / 255 if self.resize_mode == "longest" else 0.0

    @property
    def _filter(self) -> str:
        # OpenCLIP does not pass the interpolation on where it keeps the shortest side of an oblong input.
        if self.resize_mode == "shortest" and self.size[0] != self.size[1]:
            return "bicubic"
        return "bilinear" if self.interpolation == "bilinear" else "bicubic"

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Size before cutting or padding."""
        tall, wide = self.size
        if self.resize_mode == "squash":
            return tall, wide
        if self.resize_mode == "shortest" and tall == wide:
            short, long = min(height, width), max(height, width)
            other = int(tall * long / short)
            return (tall, other) if height <= width else (other, tall)
        choose: Callable[[float, float], float] = max if self.resize_mode == "longest" else min
        ratio = choose(height / tall, width / wide)
        return max(round(height / ratio), 1), max(round(width / ratio), 1)


def _along_width(pictures: Tensor, resized: int, wanted: int, kind: str, padding: float) -> Tensor:
    """Resize the last dimension to `resized` and keep its middle, `wanted` long, padded where it is shorter."""
    start, kept = (round((resized - wanted) / 2.0), wanted) if resized > wanted else (0, resized)
    source = pictures.shape[-1]
    if source == resized:
        pictures = pictures[..., start : start + kept]
    else:
        weights, first = _weights(source, resized, start, kept, kind)
        pictures = pictures[..., first : first + weights.shape[0]] @ weights.to(pictures.device)
        pictures = pictures.clamp(-_SLACK, 1 + _SLACK)
    if kept == wanted:
        return pictures
    before = (wanted - kept) // 2
    return torch.nn.functional.pad(pictures, (before, wanted - kept - before), value=padding)


@lru_cache(maxsize=256)
def _weights(source: int, resized: int, start: int, kept: int, kind: str) -> tuple[Tensor, int]:
    """Weights `(n, kept)` that `n` pixels, the first of them at the second result, have in the `kept` from `start` on.

    A kernel widened by the scale where the picture shrinks, each output's weights summing to 1: the definition of
    resampling that Pillow and torch's `antialias=True` share (for bicubic, a = −0.5).
    """
    scale = source / resized
    reach = (2.0 if kind == "bicubic" else 1.0) * max(scale, 1.0)
    centres = (torch.arange(start, start + kept, dtype=torch.float64) + 0.5) * scale
    first = max(math.floor(centres[0].item() - reach), 0)
    last = min(math.ceil(centres[-1].item() + reach), source)
    pixels = torch.arange(first, last, dtype=torch.float64) + 0.5
    away = ((pixels.unsqueeze(1) - centres) / max(scale, 1.0)).abs()
    if kind == "bicubic":
        near = (1.5 * away - 2.5) * away**2 + 1
        far = ((-0.5 * away + 2.5) * away - 4) * away + 2
        weights = torch.where(away < 1, near, torch.where(away < 2, far, 0.0))
    else:
        weights = (1 - away).clamp(min=0)
    return (weights / weights.sum(0)).float(), first


def _three(value: float | Sequence[float]) -> tuple[float, float, float]:
    if isinstance(value, (int, float)):
        return (float(value),) * 3
    red, green, blue = value
    return float(red), float(green), float(blue)


class Tokens:
    """Texts to token ids with OpenCLIP's tokenizer, except that a special token written in a text is plain text.

    OpenCLIP reads a literal "<end_of_text>" as the end of the text, so that whatever follows is not scored. A text is
    cut at the context length and keeps its end token; a training-time reduction (random words) is not applied.
    """

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        self.context_length = context_length
        self.tokenizer = copy.copy(tokenizer)
        self.fast = getattr(tokenizer, "tokenizer", None)
        if self.fast is None:
            import regex

            special = "|".join(tokenizer.decoder[number] for number in tokenizer.all_special_ids)
            pattern = tokenizer.pat.pattern.removeprefix(f"{special}|")
            self.tokenizer.pat = regex.compile(pattern, regex.IGNORECASE)
            return
        self.fast.split_special_tokens = True
        self.clean = getattr(tokenizer, "clean_fn", str)
        # Cleaning resolves "&lt;", so that only a cleaned text shows its special tokens; it is cleaned once, here.
        self.tokenizer.clean_fn = str

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, int]:
        """Ids `(B, context_length)`, and how many of the texts were cut."""
        # A lone surrogate, which no tokenizer takes, becomes "?".
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return self._byte_pairs(texts) if self.fast is None else self._transformers(texts)

    def fingerprint(self) -> str:
        """What decides the ids, as text."""
        if self.fast is None:
            return f"{type(self.tokenizer).__name__} {self.tokenizer.vocab_size} {self.tokenizer.clean_fn.__name__}"
        backend = getattr(self.fast, "backend_tokenizer", None)
        rules = _rules(backend) if backend is not None else str(sorted(self.fast.get_vocab().items()))
        return f"{type(self.tokenizer).__name__} {getattr(self.tokenizer, 'tokenizer_mode', '')} {rules}"

    @property
    def size(self) -> int:
        """Number of ids."""
        return self.tokenizer.vocab_size if self.fast is None else len(self.fast)

    def _byte_pairs(self, texts: list[str]) -> tuple[Tensor, int]:
        start, end = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        ids, cut = torch.zeros(len(texts), self.context_length, dtype=torch.long), 0
        for row, text in enumerate(texts):
            inside = self.tokenizer.encode(text)
            room = self.context_length - 2
            cut += len(inside) > room
            whole = torch.tensor([start, *inside[:room], end])
            ids[row, : len(whole)] = whole
        return ids, cut

    def _transformers(self, texts: list[str]) -> tuple[Tensor, int]:
        fast: Any = self.fast
        texts = [self.clean(text) for text in texts]
        special = set(fast.all_special_ids) - {fast.unk_token_id}
        inside = fast(texts, add_special_tokens=False, verbose=False)["input_ids"]
        for row, ids in enumerate(inside):
            # Some vocabularies (sentencepiece) hold their special tokens as words too.
            if special.intersection(ids):
                for token in fast.all_special_tokens:
                    texts[row] = texts[row].replace(token, f"{token[:1]} {token[1:]}")
        added = 3 if getattr(self.tokenizer, "tokenizer_mode", "") == "clips" else fast.num_special_tokens_to_add()
        cut = sum(len(ids) + added > self.context_length for ids in inside)
        return self.tokenizer(texts, context_length=self.context_length), cut


def _rules(backend: Any) -> str:
    """A fast tokenizer's rules; how it last cut and padded is no rule, though it is written down with them."""
    rules = {**json.loads(backend.to_str()), "truncation": None, "padding": None}
    return json.dumps(rules, ensure_ascii=False, separators=(",", ":"))
