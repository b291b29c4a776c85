"""CIDEr-D: how much a caption says of what people say of this picture and not of any other.

The document frequency is its memory: taken from the evaluated references (COCO's habit), or from a corpus once, so
that values neither depend on the batch nor on which pictures are evaluated.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import DataError
from common.files import read_json, write_bytes
from common.rewards.text.ngrams import Gram, Tokens, find_tokenizer, ngrams

logger = logging.getLogger(__name__)

ORDERS = 4
FORMAT = "touchstone document frequency 1"
UNDEFINED = (
    "the document frequency of a single picture is undefined: log 1 = 0 makes every CIDEr-D 0; "
    "build a DocumentFrequency from a corpus"
)


class DocumentFrequency:
    """In the references of how many pictures each n-gram (order 1 to 4) stands.

    Only n-grams of two pictures or more are kept: one that stands in one picture weighs as much as an unseen one, and
    most stand in one.

    Attributes:
        documents: number of pictures.
        counts: n-gram -> pictures, at least 2.
        tokenizer: what cut the texts; see `ngrams.find_tokenizer`.
    """

    def __init__(self, documents: int, counts: Mapping[Gram, int], tokenizer: str = "ptb") -> None:
        self.documents = documents
        self.counts = {gram: count for gram, count in counts.items() if count > 1}
        self.tokenizer = tokenizer
        #: Weight of an n-gram that stands in one picture or none.
        self.most = math.log(documents) if documents else 0.0
        self.weights = {gram: self.most - math.log(count) for gram, count in self.counts.items()}

    @classmethod
    def from_references(
        cls, references: Iterable[str | Sequence[str]], tokenizer: str = "ptb", warn: bool = True
    ) -> DocumentFrequency:
        """Count a corpus.

        Args:
            references: one entry a picture: its caption, or several. A corpus without pictures: one sentence each.
            tokenizer: see `ngrams.find_tokenizer`.
            warn: warn where there are fewer than two pictures.
        """
        cut = find_tokenizer(tokenizer)
        several = ([entry] if isinstance(entry, str) else entry for entry in references)
        return cls.from_tokens(([cut(text) for text in texts] for texts in several), tokenizer, warn)

    @classmethod
    def from_tokens(
        cls, references: Iterable[Sequence[Tokens]], tokenizer: str = "ptb", warn: bool = True
    ) -> DocumentFrequency:
        """Count a corpus that is tokenised already; see `from_references`."""
        counts: Counter[Gram] = Counter()
        documents = 0
        for texts in references:
            documents += 1
            counts.update({gram for text in texts for order in range(1, ORDERS + 1) for gram in ngrams(text, order)})
        if documents < 2 and warn:
            logger.warning(UNDEFINED)
        return cls(documents, counts, tokenizer)

    def weight(self, gram: Gram) -> float:
        r""":math:`\log N - \log \max(1, df)`."""
        return self.weights.get(gram, self.most)

    def save(self, path: Path | str) -> Path:
        """Write the table as JSON."""
        import json

        table = {" ".join(gram): count for gram, count in sorted(self.counts.items())}
        content = {"format": FORMAT, "documents": self.documents, "tokenizer": self.tokenizer, "counts": table}
        return write_bytes(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())

    @classmethod
    def load(cls, path: Path | str) -> DocumentFrequency:
        """Read a table written by `save`.

        Raises:
            DataError: the file is no such table.
        """
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataError(
                "this is no table of document frequencies; make one with DocumentFrequency.save", path=path
            )
        documents, tokenizer, table = (content.get(name) for name in ("documents", "tokenizer", "counts"))
        if not isinstance(documents, int) or not isinstance(tokenizer, str) or not isinstance(table, dict):
            raise DataError("the table needs 'documents', 'tokenizer' and 'counts'", path=path)
        wrong = next((gram for gram, n in table.items() if not isinstance(n, int) or not 0 < n <= documents), None)
        if wrong is not None:
            raise DataError(
                f"{wrong!r} stands in {table[wrong]!r} of {documents} pictures; the table is broken", path=path
            )
        find_tokenizer(tokenizer)
        return cls(documents, {tuple(gram.split(" ")): count for gram, count in table.items()}, tokenizer)


class PreparedReferences:
    """The references of one picture, weighed once and scored against many times.

    Args:
        references: tokens of one or more captions of the picture.
        frequency: weights of n-grams.
    """

    __slots__ = ("lengths", "norms", "places")

    def __init__(self, references: Sequence[Tokens], frequency: DocumentFrequency) -> None:
        weights, most = frequency.weights, frequency.most
        #: n-gram -> (number of the reference, weight there), one after the other.
        places: dict[Gram, tuple[Any, ...]] = {}
        #: By order, the length of each reference's vector.
        self.norms: list[list[float]] = []
        for order in range(1, ORDERS + 1):
            norms = []
            for number, tokens in enumerate(references):
                square = 0.0
                for gram, count in Counter(ngrams(tokens, order)).items():
                    weight = count * weights.get(gram, most)
                    square += weight * weight
                    places[gram] = (*places.get(gram, ()), number, weight)
                norms.append(math.sqrt(square))
            self.norms.append(norms)
        self.places = places
        self.lengths = [max(0, len(tokens) - 1) for tokens in references]


def cider_d(
    candidate: Tokens, references: PreparedReferences, frequency: DocumentFrequency, sigma: float = 6.0
) -> float:
    r"""CIDEr-D of one caption (Vedantam et al. 2015, arXiv 1411.5726, equations 1 to 3 and section 8).

    With :math:`g_n` the vector of a text's n-grams weighed by count times :math:`\log N - \log \max(1, df)`, and M
    references:

    .. math:: \frac{10}{4 M} \sum_{n=1}^{4} \sum_{j=1}^{M} e^{-(l_c - l_j)^2 / 2\sigma^2}\,
              \frac{\min(g_n(c), g_n(r_j)) \cdot g_n(r_j)}{\|g_n(c)\|\,\|g_n(r_j)\|}

    Lengths count bigrams, as COCO's code does. Range [0, 10], higher is better; 0 for an empty caption, and for every
    caption where the frequency knows one picture only. A reference that stands twice counts twice.

    Args:
        candidate: tokens of the caption.
        references: of the same picture, prepared with the same frequency.
        frequency: weights of n-grams.
        sigma: width of the length penalty.
    """
    weights, most, places = frequency.weights, frequency.most, references.places
    length = max(0, len(candidate) - 1)
    penalties = [math.exp(-((length - other) ** 2) / (2 * sigma**2)) for other in references.lengths]
    total = 0.0
    for order in range(1, ORDERS + 1):
        square = 0.0
        overlaps = [0.0] * len(penalties)
        for gram, count in Counter(ngrams(candidate, order)).items():
            own = count * weights.get(gram, most)
            square += own * own
            found = places.get(gram)
            if found is not None:
                for at in range(0, len(found), 2):
                    other = found[at + 1]
                    overlaps[found[at]] += (own if own < other else other) * other
        if square > 0.0:
            norms = references.norms[order - 1]
            shares = (
                overlap * penalty / norm
                for overlap, penalty, norm in zip(overlaps, penalties, norms, strict=True)
                if overlap
            )
            total += sum(shares) / math.sqrt(square)
    return 10.0 * total / (ORDERS * len(penalties))


def corpus_cider_d(
    candidates: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    frequency: DocumentFrequency | None = None,
    sigma: float = 6.0,
) -> list[float]:
    """CIDEr-D of each picture; their mean is the corpus' value. Equals pycocoevalcap's `Cider`.

    Args:
        candidates: `(N,)` tokens of one caption a picture.
        references: `(N,)` one or more captions of each.
        frequency: weights; None counts the given references, as COCO does (one picture: a warning, and 0).
        sigma: width of the length penalty.
    """
    if frequency is None:
        frequency = DocumentFrequency.from_tokens(references)
    return [
        cider_d(text, PreparedReferences(right, frequency), frequency, sigma)
        for text, right in zip(candidates, references, strict=True)
    ]
