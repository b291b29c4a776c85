"""Metrics that compare captions with references: BLEU, ROUGE-L, CIDEr-D, METEOR and SPICE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from apps.captioning.measures import java as programs
from apps.captioning.measures.measurement import MetricResult, bootstrap_sums, mean_of
from common.rewards.text import ngrams
from common.rewards.text.cider import UNDEFINED, DocumentFrequency, corpus_cider_d
from common.rewards.text.ngrams import Tokens

References = Sequence[Sequence[Tokens]]
ORDERS = 4


def bleu(candidates: Sequence[Tokens], references: References) -> list[MetricResult]:
    """Corpus BLEU-1 to BLEU-4 in [0, 1], with COCO's closest reference length; see `ngrams.bleu`.

    `each` is the picture's own BLEU, whose mean is not the corpus' value.
    """
    sums = [
        ngrams.bleu_statistics(text, right, ORDERS).tolist()
        for text, right in zip(candidates, references, strict=True)
    ]
    each = ngrams.bleu(sums)

    def of_order(order: int) -> Callable[..., object]:
        return lambda totals: ngrams.bleu(totals)[..., order]

    return [
        MetricResult(
            f"bleu{order + 1}",
            bootstrap_sums(sums, of_order(order)),
            each=each[:, order].tolist(),
            sums=sums if order == 0 else (),
        )
        for order in range(ORDERS)
    ]


def rouge_l(candidates: Sequence[Tokens], references: References) -> MetricResult:
    """Mean ROUGE-L over pictures, in [0, 1]; see `ngrams.rouge_l`."""
    each = [ngrams.rouge_l(text, right) for text, right in zip(candidates, references, strict=True)]
    return mean_of("rouge_l", each)


def cider_d(
    candidates: Sequence[Tokens], references: References, frequency: DocumentFrequency | None = None
) -> MetricResult:
    """Mean CIDEr-D over pictures, in [0, 10]; see `cider.cider_d`.

    Args:
        candidates: `(N,)` tokens.
        references: `(N,)` tokens of one or more each.
        frequency: table of a corpus; None counts these references, as COCO does: figures of different sets of pictures
            do not compare, and one picture scores 0. The interval takes the table as given.
    """
    note = ""
    if frequency is None:
        frequency = DocumentFrequency.from_tokens(references)
        note = UNDEFINED if len(references) < 2 else f"document frequency of these {len(references)} pictures"
    return mean_of("cider_d", corpus_cider_d(candidates, references, frequency), note)


def meteor(
    candidates: Sequence[Tokens],
    references: References,
    java: str | Path | None = None,
    jar: str | Path | None = None,
    seconds: float = 600.0,
) -> MetricResult:
    """Corpus METEOR 1.5 in [0, 1]; see `java.meteor`.

    Raises:
        CannotRun: no Java, no jar, or METEOR broke off.
    """
    sums = programs.meteor_statistics(candidates, references, java, jar, seconds)
    return MetricResult(
        "meteor", bootstrap_sums(sums, programs.meteor), each=programs.meteor(sums).tolist(), sums=sums.tolist()
    )


def spice(
    candidates: Sequence[Tokens],
    references: References,
    folder: str | Path | None = None,
    java: str | Path | None = None,
    seconds: float = 3600.0,
) -> MetricResult:
    """Mean SPICE over pictures, in [0, 1]; see `spice.spice`.

    Raises:
        CannotRun: no Java, Stanford's jars are not there, or SPICE broke off.
    """
    from apps.captioning.measures.spice import spice as run_spice

    texts = [" ".join(tokens) for tokens in candidates]
    return mean_of(
        "spice", run_spice(texts, [[" ".join(one) for one in right] for right in references], folder, java, seconds)
    )
