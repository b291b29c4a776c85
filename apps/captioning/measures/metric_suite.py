"""Measures captions metric by metric: one that cannot run is reported with its reason and loses none of the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from apps.captioning.measures import text_metrics
from apps.captioning.measures.align import Aligned, Id, Predictions, align
from apps.captioning.measures.measurement import Measurement, MetricResult
from common.errors import TouchstoneError, UsageError
from common.ptb import tokenize
from common.rewards.text.cider import DocumentFrequency

log = logging.getLogger(__name__)

#: Everything that can be asked for, and the names under which it is reported.
METRICS: Mapping[str, tuple[str, ...]] = {
    "bleu": ("bleu1", "bleu2", "bleu3", "bleu4"),
    "rouge_l": ("rouge_l",),
    "cider_d": ("cider_d",),
    "meteor": ("meteor",),
    "spice": ("spice",),
    "clip_score": ("clip_score",),
    "ref_clip_score": ("ref_clip_score",),
    "retrieval": tuple(
        f"{side}_{what}" for side in ("caption", "picture") for what in ("r@1", "r@5", "r@10", "median_rank")
    ),
    "diversity": (
        *("distinct_captions", "distinct_1", "distinct_2", "vocabulary"),
        *("length", "repeated", "unterminated", "empty"),
    ),
}
#: What needs nothing but texts and, for METEOR, Java.
TEXT_METRICS = ("bleu", "rouge_l", "cider_d", "meteor", "diversity")


@dataclass(frozen=True)
class Options:
    """How metrics are taken.

    Attributes:
        frequency: table for CIDEr-D, or a file of one; None counts the references of the evaluated pictures.
        java: the Java executable; None looks in the search path.
        meteor_jar: METEOR 1.5; None takes pycocoevalcap's.
        spice_folder: folder of Stanford CoreNLP 3.6.0's jars; None looks beside pycocoevalcap's SPICE.
        seconds: time limit of METEOR and of SPICE.
        clip_weight: w of CLIPScore.
    """

    frequency: DocumentFrequency | Path | str | None = None
    java: str | Path | None = None
    meteor_jar: str | Path | None = None
    spice_folder: str | Path | None = None
    seconds: float = 600.0
    clip_weight: float = 2.5


@dataclass(frozen=True)
class Features:
    """Features of pictures and texts in a CLIP's space, by id; texts with `clip_metrics.prefixed`.

    Attributes:
        pictures: id -> `(D,)`.
        captions: id -> `(D,)`.
        references: id -> `(R, D)`; only RefCLIPScore needs them.
        model: name of the CLIP, for the record.
    """

    pictures: Mapping[Id, Any]
    captions: Mapping[Id, Any]
    references: Mapping[Id, Any] | None = None
    model: str = ""


def measure(
    predictions: Predictions | Aligned,
    references: Mapping[Id, Sequence[str]] | None = None,
    metrics: Sequence[str] = TEXT_METRICS,
    features: Features | None = None,
    options: Options | None = None,
    intersection: bool = False,
    advance: Callable[[str], None] | None = None,
) -> Measurement:
    """Take every metric that can be taken.

    Args:
        predictions: id -> caption, or pairs, or what `align` made.
        references: id -> right captions; not needed where `predictions` is aligned.
        metrics: names of `METRICS`.
        features: for CLIPScore, RefCLIPScore and retrieval.
        options: how metrics are taken.
        intersection: see `align`.
        advance: called with each metric's name when it is done.

    Returns:
        results by name; those of a metric that could not be taken are None with a reason, and `partial` is set. The
        order of pictures changes no figure.

    Raises:
        DataError: predictions and references do not fit together; names the ids.
        UsageError: an unknown metric.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise UsageError(f"unknown metrics {', '.join(unknown)}; there are {', '.join(METRICS)}")
    if isinstance(predictions, Aligned):
        aligned = predictions
    elif references is None:
        raise UsageError("measuring needs references, id -> captions")
    else:
        aligned = align(predictions, references, intersection)
    options = options or Options()
    takers = _takers(aligned, features, options)
    results: dict[str, MetricResult] = {}
    for name in dict.fromkeys(metrics):
        for result in _take(name, takers[name]):
            results[result.name] = result
        if advance is not None:
            advance(name)
    settings = {"pictures": len(aligned), "metrics": list(dict.fromkeys(metrics)), "clip_weight": options.clip_weight}
    if features is not None:
        settings["clip"] = features.model
    return Measurement(results, aligned.ids, aligned.captions, aligned.missing, aligned.extra, settings)


def _takers(
    aligned: Aligned, features: Features | None, options: Options
) -> dict[str, Callable[[], list[MetricResult]]]:
    from apps.captioning.measures import clip_metrics
    from apps.captioning.measures.diversity import diversity

    candidates = [tokenize(text) for text in aligned.captions]
    references = [[tokenize(text) for text in texts] for texts in aligned.references]

    def rows(side: str) -> list[Any]:
        return _features(aligned, features, side)

    def table() -> DocumentFrequency | None:
        given = options.frequency
        return DocumentFrequency.load(given) if isinstance(given, (str, Path)) else given

    java, seconds = options.java, options.seconds
    return {
        "bleu": lambda: text_metrics.bleu(candidates, references),
        "rouge_l": lambda: [text_metrics.rouge_l(candidates, references)],
        "cider_d": lambda: [text_metrics.cider_d(candidates, references, table())],
        "meteor": lambda: [text_metrics.meteor(candidates, references, java, options.meteor_jar, seconds)],
        "spice": lambda: [text_metrics.spice(candidates, references, options.spice_folder, java, seconds)],
        "clip_score": lambda: [
            clip_metrics.clip_score(_stacked(rows("pictures")), _stacked(rows("captions")), options.clip_weight)
        ],
        "ref_clip_score": lambda: [
            clip_metrics.ref_clip_score(
                _stacked(rows("pictures")), _stacked(rows("captions")), rows("references"), options.clip_weight
            )
        ],
        "retrieval": lambda: clip_metrics.retrieval(_stacked(rows("pictures")), _stacked(rows("captions"))),
        "diversity": lambda: diversity(aligned.captions),
    }


def _take(name: str, taker: Callable[[], list[MetricResult]]) -> list[MetricResult]:
    started = time.perf_counter()
    try:
        results = taker()
    except TouchstoneError as error:
        results = [MetricResult(part, reason=str(error)) for part in METRICS[name]]
    except Exception as error:  # whatever breaks in one metric, the others are still worth having
        log.exception("the metric %s failed", name)
        results = [MetricResult(part, reason=f"{type(error).__name__}: {error}") for part in METRICS[name]]
    seconds = time.perf_counter() - started
    return [changed(result, seconds=seconds) for result in results]


def _features(aligned: Aligned, features: Features | None, side: str) -> list[Any]:
    found = getattr(features, side) if features is not None else None
    if found is None:
        raise UsageError(f"this needs CLIP features of the {side}; name a CLIP")
    absent = [key for key in aligned.ids if key not in found]
    if absent:
        raise UsageError(f"no CLIP features of the {side} for {len(absent)} pictures, such as {absent[0]!r}")
    return [found[key] for key in aligned.ids]


def _stacked(rows: Sequence[Any]) -> Any:
    import numpy as np

    return np.stack(
        [row.detach().cpu().float().numpy() if hasattr(row, "detach") else np.asarray(row) for row in rows]
    )
