"""Sentence encoders behind one protocol: text in, L2-normalised vectors out.

`load_encoder` takes a folder that `NgramEncoder.save` made, `"hash"`, a sentence-transformers folder or hub id, or any
transformers encoder such as XLM-R (mean pooling).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from common.errors import DataError, MissingDependency, UsageError
from common.files import locate, read_json, write_bytes, write_json
from common.models.sizes import check_folder, check_network, held_in

CONFIG_FILE = "encoder.json"
WEIGHTS_FILE = "encoder.safetensors"

#: A run of letters or digits, whatever the script; `_` separates, as in `birth_date`.
_RUN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*|[^\w\s]")
#: Scripts written without spaces: their runs are cut into single characters. Kana, CJK ideographs, Hangul, Thai.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into unit vectors."""

    dim: int

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts.

        Returns:
            `(B, dim)` float32 on the CPU, each row of length 1, without gradient.
        """
        ...


def load_encoder(name: str | Path, device: str = "cpu", dtype: str = "float32") -> Encoder:
    """Open an encoder.

    Args:
        name: `"hash"`, a folder made by `NgramEncoder.save`, or a folder or hub id of a sentence-transformers or
            transformers model.
        device: torch device of a transformers model; ours is small enough for the CPU.
        dtype: weights' type of a transformers model.

    Raises:
        UsageError: the folder does not hold an encoder.
        MissingDependency: sentence-transformers is needed and not installed.
    """
    if str(name) == "hash":
        return HashEncoder()
    folder = locate(name)
    if (folder / CONFIG_FILE).is_file():
        return NgramEncoder.load(folder)
    if (folder / "modules.json").is_file():
        return SentenceTransformerEncoder(str(folder), device, dtype)
    if (folder / "config.json").is_file():
        return TransformerEncoder(str(folder), device, dtype)
    if is_hub_id(str(name)):
        # sentence-transformers knows each model's own pooling and gives any other transformers model mean pooling.
        if find_spec("sentence_transformers") is not None:
            return SentenceTransformerEncoder(str(name), device, dtype)
        return TransformerEncoder(str(name), device, dtype)
    raise UsageError(f"no encoder at {folder}: it holds neither {CONFIG_FILE}, modules.json nor config.json")


def is_hub_id(name: str) -> bool:
    """Whether a name is that of a model on the hub, OWNER/MODEL, and no path of this machine."""
    return not Path(name).exists() and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def ngrams(text: str) -> list[str]:
    """The features of a text: words with their pairs and triples, and character trigrams of longer words.

    Text is compatibility-normalised and case-folded. Scripts without spaces are cut into characters, so that pairs and
    triples of characters stand for their words.
    """
    words = _words(text)
    return [*words, *map(" ".join, _groups(words)), *chain.from_iterable(map(_pieces, words))]


def _words(text: str) -> list[str]:
    runs: list[str] = _RUN.findall(unicodedata.normalize("NFKC", text).casefold())
    if text.isascii():
        return runs
    return list(chain.from_iterable(run if _UNSPACED.search(run) else (run,) for run in runs))


def _groups(words: list[str]) -> Iterator[tuple[str, ...]]:
    return chain(pairwise(words), zip(words, words[1:], words[2:], strict=False))


@lru_cache(maxsize=65536)
def _pieces(word: str) -> tuple[str, ...]:
    return tuple(f"#{word[at : at + 3]}" for at in range(len(word) - 2)) if len(word) > 3 else ()


def bucket(feature: str, buckets: int) -> int:
    """A stable hash (CRC-32), the same in every process and on every machine, unlike `hash`."""
    return zlib.crc32(feature.encode("utf-8", "surrogatepass")) % buckets


class HashEncoder:
    """Hashed n-gram counts with a sign each: no training, no download. For tests, and as a last resort.

    It sees surface overlap only: a question in another language than the query's names is as good as unrelated.
    """

    def __init__(self, dim: int = 512) -> None:
        self.dim = dim

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts; see `Encoder`. An empty text gets the first axis."""
        vectors = torch.zeros(len(texts), self.dim)
        for row, text in enumerate(texts):
            for feature in ngrams(text):
                code = bucket(feature, 2 * self.dim)
                vectors[row, code // 2] += 1.0 if code % 2 else -1.0
            if not vectors[row].any():
                vectors[row, 0] = 1.0
        return nn.functional.normalize(vectors, dim=-1)


class NgramNetwork(nn.Module):
    """Sum of n-gram vectors, scaled by the root of their number, through a two-layer projection with a skip."""

    def __init__(self, buckets: int, width: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(buckets, width, mode="sum")
        nn.init.normal_(self.table.weight, std=0.1)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, dim)
        self.skip = nn.Linear(width, dim, bias=False)

    def forward(self, codes: Tensor, offsets: Tensor) -> Tensor:
        """`codes` `(N,)` and `offsets` `(B,)` as EmbeddingBag takes them; returns `(B, dim)` unit vectors."""
        counts = torch.diff(offsets, append=torch.tensor([len(codes)])).clamp(min=1)
        summed = self.table(codes, offsets) / counts.sqrt().unsqueeze(1)
        return nn.functional.normalize(self.outer(nn.functional.gelu(self.inner(summed))) + self.skip(summed), dim=-1)


class NgramEncoder:
    """A small trainable encoder: hashed n-grams, an embedding table, a projection. Runs anywhere in microseconds.

    Args:
        buckets: size of the hash table.
        width: numbers in each n-gram's vector.
        hidden: width of the projection's middle layer.
        dim: numbers in a text's vector.
    """

    def __init__(self, buckets: int = 16384, width: int = 48, hidden: int = 128, dim: int = 64) -> None:
        self.buckets = buckets
        self.width = width
        self.hidden = hidden
        self.dim = dim
        self.network = NgramNetwork(buckets, width, hidden, dim)
        self.network.eval()

    def codes(self, text: str) -> tuple[int, ...]:
        """The table rows of a text's n-grams; row 0 for a text without any."""
        return _codes(text, self.buckets)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """`(B, dim)` unit vectors with gradient, for training."""
        rows = [self.codes(text) for text in texts]
        flat = torch.tensor([code for row in rows for code in row], dtype=torch.long)
        sizes = torch.tensor([0, *(len(row) for row in rows[:-1])], dtype=torch.long)
        result: Tensor = self.network(flat, torch.cumsum(sizes, 0))
        return result

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts; see `Encoder`."""
        if not texts:
            return torch.zeros(0, self.dim)
        with torch.no_grad():
            return self.embed(texts)

    def save(self, folder: Path | str) -> Path:
        """Write weights (half precision) and sizes to a folder that `load_encoder` opens."""
        from safetensors.torch import save

        folder = Path(folder)
        weights = {name: value.detach().half().contiguous() for name, value in self.network.state_dict().items()}
        write_bytes(folder / WEIGHTS_FILE, save(weights))
        write_json(folder / CONFIG_FILE, {"kind": "ngram", **self.sizes})
        return folder

    @property
    def sizes(self) -> dict[str, int]:
        """The constructor's arguments."""
        return {"buckets": self.buckets, "width": self.width, "hidden": self.hidden, "dim": self.dim}

    @classmethod
    def load(cls, folder: Path | str) -> NgramEncoder:
        """Read what `save` wrote.

        Raises:
            DataError: config and weights do not fit each other or are no n-gram encoder.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        folder = Path(folder)
        config = read_json(folder / CONFIG_FILE)
        if not isinstance(config, dict) or config.pop("kind", None) != "ngram":
            raise DataError("this is no n-gram encoder", path=folder / CONFIG_FILE)
        try:
            check_network(lambda: cls(**config).network, held_in([folder / WEIGHTS_FILE]), folder / CONFIG_FILE)
            encoder = cls(**config)
            weights = load((folder / WEIGHTS_FILE).read_bytes())
            encoder.network.load_state_dict({name: value.float() for name, value in weights.items()})
        except (TypeError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise DataError(f"the encoder cannot be read: {error}", path=folder) from error
        return encoder


class _Buckets(dict["tuple[str, ...]", int]):
    """`bucket` of every word pair and triple seen: texts repeat them, so each is joined and hashed once."""

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets

    def __missing__(self, words: tuple[str, ...]) -> int:
        if len(self) > 500_000:
            self.clear()
        code = self[words] = bucket(" ".join(words), self.buckets)
        return code


_buckets = lru_cache(maxsize=8)(_Buckets)


@lru_cache(maxsize=65536)
def _word_codes(word: str, buckets: int) -> tuple[int, tuple[int, ...]]:
    return bucket(word, buckets), tuple(bucket(piece, buckets) for piece in _pieces(word))


@lru_cache(maxsize=32768)
def _codes(text: str, buckets: int) -> tuple[int, ...]:
    """`bucket` of each of `ngrams(text)`, in the same order."""
    words = _words(text)
    known = [_word_codes(word, buckets) for word in words]
    groups = map(_buckets(buckets).__getitem__, _groups(words))
    return (*[code for code, _ in known], *groups, *chain.from_iterable([pieces for _, pieces in known])) or (0,)


class TransformerEncoder:
    """A transformers encoder such as XLM-R; a text's vector is the mean of its tokens' last hidden states."""

    def __init__(self, path: str, device: str = "cpu", dtype: str = "float32", batch_size: int = 64) -> None:
        from transformers import AutoModel, AutoTokenizer

        from common.models.language import check_vocabulary
        from common.models.loading import exact_errors, unreadable

        self.device = device
        self.batch_size = batch_size
        try:
            check_folder(path, AutoModel)
            with exact_errors():
                self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
            self.model: Any = AutoModel.from_pretrained(path, dtype=getattr(torch, dtype)).to(device).eval()
            check_vocabulary(self.model, self.tokenizer)
            self.dim: int = self.model.config.hidden_size
            positions = getattr(self.model.config, "max_position_embeddings", 512)
            # RoBERTa-class models number positions from the padding index on, so the last two cannot be used.
            self.max_length = min(self.tokenizer.model_max_length, max(positions - 2, 1), 512)
        except unreadable() as error:
            raise UsageError(f"{path}: the encoder cannot be read: {error}") from error

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts; see `Encoder`. A text is cut at the model's longest input."""
        return _in_batches(texts, self.dim, self.batch_size, self._encode)

    def _encode(self, texts: list[str]) -> Tensor:
        inputs = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.device)
        with torch.no_grad():
            states = self.model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)


class SentenceTransformerEncoder:
    """A sentence-transformers model with its own pooling."""

    def __init__(self, path: str, device: str = "cpu", dtype: str = "float32", batch_size: int = 64) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingDependency("sentence-transformers", "sentence-transformers") from error
        from transformers import AutoModel

        from common.models.loading import exact_errors, unreadable

        self.batch_size = batch_size
        settings = {"dtype": getattr(torch, dtype)}
        try:
            check_folder(path, AutoModel)
            with exact_errors():
                self.model: Any = SentenceTransformer(path, device=device, model_kwargs=settings)
        except unreadable() as error:
            raise UsageError(f"{path}: the encoder cannot be read: {error}") from error
        self.dim = int(self.model.get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts; see `Encoder`."""
        return _in_batches(texts, self.dim, self.batch_size, self._encode)

    def _encode(self, texts: list[str]) -> Tensor:
        vectors: Tensor = self.model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
        return vectors


def _in_batches(texts: Sequence[str], dim: int, size: int, encode: Callable[[list[str]], Tensor]) -> Tensor:
    """Run `encode` on texts of similar length together, normalise, and give the rows back in order."""
    if not texts:
        return torch.zeros(0, dim)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    result = torch.empty(len(texts), dim)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        result[rows] = encode([_readable(texts[row]) for row in rows]).float().cpu()
    return nn.functional.normalize(result, dim=-1)


def _readable(text: str) -> str:
    """A text any tokenizer takes: no lone surrogates, and a full stop for a blank one, which may have no token."""
    return text.encode("utf-8", "replace").decode("utf-8") if text.strip() else "."
