"""BMAS: the open-ended reward of Mixed-R1, which compares texts token by token through an embedding table."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from common.errors import DataError, UsageError
from common.files import locate
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput
from common.rewards.text.matching import EMPTY, NO_REFERENCE, references_of

if TYPE_CHECKING:
    from common.models.text import Encoder

#: What families of models call their table of input embeddings.
TABLES = (
    "embed_tokens.weight",
    "word_embeddings.weight",
    "wte.weight",
    "tok_embeddings.weight",
    "embed_in.weight",
    "shared.weight",
)


def bmas(left: Tensor, right: Tensor) -> float:
    r"""Bidirectional max-average similarity of two texts' token vectors.

    .. math:: \tfrac12 \left[\operatorname{mean}_i \max_j S_{ij} + \operatorname{mean}_j \max_i S_{ij}\right], \qquad
              S = \hat A \hat B^\top \text{ of rows scaled to length 1}

    Args:
        left: `(n, d)` vectors, n at least 1; a vector of zeros is like no other.
        right: `(m, d)` vectors, m at least 1.

    Returns:
        In [-1, 1]; 1 for the same tokens in any order and number. Symmetric.
    """
    similarity = nn.functional.normalize(left, dim=-1) @ nn.functional.normalize(right, dim=-1).T
    return float(similarity.amax(1).mean() + similarity.amax(0).mean()) / 2


@runtime_checkable
class TokenVectors(Protocol):
    """Turns a text into one vector a token."""

    def vectors(self, text: str) -> Tensor:
        """`(n, d)` float32 on the CPU; n is 0 for a text without a token."""
        ...


class EmbeddingTable:
    """A language model's input embeddings, as Mixed-R1 takes them: no further model, no forward pass.

    The table is a frozen copy: a policy that is scored by its own table while it is trained could move the table.

    Args:
        model: folder of a model, of which only the table is read, on first use; or a model, whose table is copied now.
        tokenizer: its tokenizer; from the folder where not given.

    Raises:
        UsageError: a model object without a tokenizer.
    """

    def __init__(self, model: Path | str | Any, tokenizer: Any = None) -> None:
        self.folder = ""
        self._tokenizer = tokenizer
        self._table: Tensor | None = None
        if isinstance(model, (str, Path)):
            self.folder = str(model)
        elif tokenizer is None:
            raise UsageError("an embedding table of a model object needs the model's tokenizer")
        else:
            self._table = model.get_input_embeddings().weight.detach().float().cpu().clone()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": None if self.folder else self._table}

    def vectors(self, text: str) -> Tensor:
        """One row of the table for each token, special tokens left out."""
        if self._table is None:
            self._table = read_table(locate(self.folder))
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            from common.models.loading import exact_errors, unreadable

            try:
                with exact_errors():
                    self._tokenizer = AutoTokenizer.from_pretrained(str(locate(self.folder)))
            except unreadable() as error:
                raise UsageError(f"{self.folder}: its tokenizer cannot be read: {error}") from error
        readable = text.encode("utf-8", "replace").decode("utf-8")
        return self._table[self._tokenizer(readable, add_special_tokens=False, verbose=False)["input_ids"]]


def read_table(folder: Path) -> Tensor:
    """`(V, d)` float32 input embeddings out of a model folder's safetensors; nothing else is read.

    Raises:
        UsageError: the folder holds no safetensors.
        DataError: none of its tensors is called as input embeddings are.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UsageError(f"no embedding table at {folder}: it holds no safetensors file")
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - not a mapping
                    if name.endswith(TABLES):
                        table: Tensor = opened.get_tensor(name).float()
                        return table
        except (OSError, SafetensorError) as error:
            raise DataError(f"damaged weights: {error}", path=file) from error
    raise DataError(f"no tensor is called {', '.join(TABLES[:3])} or the like", path=folder)


class WordVectors:
    """Any sentence encoder as a table of words: each word is encoded by itself.

    Args:
        encoder: folder, hub id or "hash" (opened on first use), or an encoder.
        device: torch device of a transformers encoder.
        remembered: words kept, the least recently used dropped first.
    """

    def __init__(self, encoder: str | Encoder, device: str = "cpu", remembered: int = 65536) -> None:
        self.encoder = encoder
        self.device = device
        self.remembered = remembered
        self._opened: Encoder | None = None
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_known": OrderedDict()}

    def vectors(self, text: str) -> Tensor:
        """One vector for each of `functional.tokens`."""
        words = functional.tokens(text)
        if self._opened is None:
            from common.models.text import load_encoder

            self._opened = load_encoder(self.encoder, self.device) if isinstance(self.encoder, str) else self.encoder
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            self._known.update(zip(new, self._opened.encode(new).float().cpu(), strict=True))
        rows = []
        for word in words:
            self._known.move_to_end(word)
            rows.append(self._known[word])
        while len(self._known) > self.remembered:
            self._known.popitem(last=False)
        return torch.stack(rows) if rows else torch.zeros(0, self._opened.dim)


class Bmas(Reward):
    r"""Bidirectional max-average similarity of the tokens of completion and reference, cut at 0; see `bmas`.

    Range [0, 1], higher is better. Mixed-R1 (arXiv 2505.24164): "tokenizer embedding matching"; the paper's formula
    was not at hand, this is the natural reading of its name. Order and number of tokens do not count, so that
    repeating or turning words round costs nothing, and a negation is one token among many.

    An empty completion, or one without a token, scores 0 with a reason (the policy's fault); an empty reference, or
    vectors that are no numbers, are NaN.

    Args:
        table: where the vectors come from: an `EmbeddingTable`, or `WordVectors`.
        reference: column of right answers; an entry may be a list, of which the best counts.
        name: the part's name.
    """

    def __init__(self, table: TokenVectors, reference: str = "reference", name: str = "bmas") -> None:
        self.table = table
        self.reference = reference
        self.name = name
        self.needs = ("completion", reference)

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each row; see `Reward.score`."""
        known: dict[str, Tensor] = {}
        rows = [
            self._row(text, references_of(entry), known)
            for text, entry in zip(columns["completion"], columns[self.reference], strict=True)
        ]
        values = torch.tensor([value for value, _ in rows], dtype=torch.float32)
        return RewardOutput(values, info={"reason": [reason for _, reason in rows]})

    def _row(self, text: str, references: Sequence[str], known: dict[str, Tensor]) -> tuple[float, str]:
        wanted = [one for one in references if len(self._vectors(one, known))]
        if not wanted:
            return math.nan, NO_REFERENCE
        said = self._vectors(text, known) if text.strip() else torch.zeros(0, 1)
        if not len(said):
            return 0.0, EMPTY
        values = [bmas(said, self._vectors(one, known)) for one in wanted]
        if not all(map(math.isfinite, values)):
            return math.nan, "the embedding table gave no number"
        return min(1.0, max(0.0, *values)), ""

    def _vectors(self, text: str, known: dict[str, Tensor]) -> Tensor:
        if text not in known:
            known[text] = self.table.vectors(text)
        return known[text]
