"""`evaluate`: measure captions, the captioner's own or ones made elsewhere, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from apps.captioning.config import CaptioningConfig
from common import ui
from common.errors import DataError, UsageError
from common.files import read_json, write_json

if TYPE_CHECKING:
    from apps.captioning.data import Example
    from apps.captioning.features import Pictures
    from apps.captioning.measures.measurement import Measurement, MetricResult
    from apps.captioning.measures.metric_suite import Features
    from common.models.clip import Clip

T = TypeVar("T")

NEEDS_CLIP = ("clip_score", "ref_clip_score", "retrieval")
# Measured here, not by the suite of COCO's metrics: what the pocket world knows, and a second CLIP.
OURS = ("scene", "held_out_clip")


def run_evaluate(
    config: CaptioningConfig,
    predictions: str | None = None,
    references: str | None = None,
    compare: str | None = None,
    out: str | None = None,
    json_output: bool = False,
) -> int:
    """Print a table, write `evaluation.json` and `report.html`.

    Args:
        config: the settings; `heldout` are the pictures.
        predictions: captions made elsewhere; the captioner speaks where not given.
        references: captions to compare with, where there are no pictures.
        compare: `evaluation.json` of another run, for a paired test.
        out: folder of the two files.
        json_output: print JSON instead of the table.

    Returns:
        0, or 1 where a metric that was asked for could not be taken.
    """
    from apps.captioning.measures.evaluation_report import comparison, print_tables, write_report
    from common.training.run import set_threads

    set_threads(config.threads)
    other = read_measurement(compare) if compare else None
    if references is not None and predictions is None:
        raise UsageError("--references goes with --predictions: the captions that are compared with them")
    if predictions is not None and references is not None:
        measurement, known = measure_texts(config, predictions, references)
    else:
        measurement, known = measure_pictures(config, predictions, json_output)
    measurement.settings["source"] = predictions or config.captioner.path or "the shipped captioner"
    if out is not None:
        folder = Path(out)
        write_json(folder / "evaluation.json", measurement.to_dict())
        write_report(measurement, folder / "report.html", other, known)
    if json_output:
        found = measurement.to_dict()
        if other is not None:
            found["comparison"] = comparison(other, measurement)
        ui.print_json(found)
    else:
        print_tables(measurement, other)
        if out is not None:
            ui.say(f"report: {Path(out) / 'report.html'}")
    return int(measurement.partial)


def measure_texts(
    config: CaptioningConfig, predictions: str, references: str
) -> tuple[Measurement, Mapping[str, Sequence[str]]]:
    """Captions against references, without pictures: what needs a picture is left out, and that is said."""
    from apps.captioning.measures.align import align
    from apps.captioning.measures.metric_suite import measure
    from apps.captioning.measures.predictions import read_predictions, read_references

    known = read_references(references)
    left_out = [name for name in config.evaluate.metrics if name in NEEDS_CLIP + OURS]
    if left_out:
        ui.say(f"not measured, because it needs the pictures: {', '.join(left_out)}")
    names = [name for name in config.evaluate.metrics if name not in left_out]
    aligned = align(_by_id(read_predictions(predictions)), _by_id(known))
    with ui.progress("measuring", len(names)) as bar:
        found = measure(aligned, None, names, None, options(config), advance=lambda _: bar.advance())
    return found, known


def measure_pictures(
    config: CaptioningConfig, predictions: str | None, quiet: bool
) -> tuple[Measurement, Mapping[str, Sequence[str]]]:
    """Captions of the held-out pictures, whoever wrote them."""
    from apps.captioning.data import load_examples
    from apps.captioning.features import open_clip_model, picture_features
    from apps.captioning.measures.align import align
    from apps.captioning.measures.metric_suite import measure
    from apps.captioning.measures.predictions import read_predictions

    clip = open_clip_model(config.clip)
    examples = load_examples(config.heldout)
    pictures = picture_features(clip, examples, config.clip.cache, config.heldout.bad_pictures, quiet)
    for name, reason in pictures.bad:
        ui.warn(f"{name}: left out: {reason}")
    known = {example.id: example.captions for example in pictures.examples}
    captions = read_predictions(predictions) if predictions else spoken(config, clip, pictures)
    if not all(known.values()):
        raise DataError("pictures without captions cannot be measured against captions", path=config.heldout.path)
    aligned = align(_by_id(captions), _by_id(known), intersection=bool(pictures.bad))
    names = [name for name in config.evaluate.metrics if name not in OURS]
    features = text_features(config, clip, pictures, aligned.ids, aligned.captions, names)
    with ui.progress("measuring", len(names), quiet) as bar:
        found = measure(aligned, None, names, features, options(config), advance=lambda _: bar.advance())
    by_id = {example.id: example for example in pictures.examples}
    measured = [by_id[str(key)] for key in aligned.ids]
    for result in ours(config, aligned.captions, measured):
        found.results[result.name] = result
    return found, known


def spoken(config: CaptioningConfig, clip: Clip, pictures: Pictures) -> dict[str, str]:
    """What the captioner says of every picture."""
    from apps.captioning.assistant import captioner_path
    from apps.captioning.data import load_corpus
    from apps.captioning.features import corpus_features
    from apps.captioning.measures.evaluation import say
    from apps.captioning.model import load_captioner

    path = captioner_path(config)
    captioner = load_captioner(path, config.captioner.device)
    captioner.check_clip(clip.name, clip.dim, path)
    corpus = None
    if config.captioner.projection:
        corpus = corpus_features(clip, load_corpus(config.corpus), config.clip.cache)
    captions = say(config, captioner, pictures.features, corpus)
    return {example.id: caption for example, caption in zip(pictures.examples, captions, strict=True)}


def text_features(
    config: CaptioningConfig,
    clip: Clip,
    pictures: Pictures,
    ids: Sequence[Any],
    captions: Sequence[str],
    metrics: Sequence[str],
) -> Features | None:
    """CLIP features by picture, where a metric needs them."""
    from apps.captioning.measures.metric_suite import Features

    if not set(metrics) & set(NEEDS_CLIP):
        return None
    prefix = config.evaluate.prefix
    rows = {example.id: row for row, example in enumerate(pictures.examples)}
    told = dict(zip(ids, clip.text([prefix + caption for caption in captions]).cpu(), strict=True))
    references = None
    if "ref_clip_score" in metrics:
        references = {
            key: clip.text([prefix + text for text in pictures.examples[rows[str(key)]].captions]).cpu() for key in ids
        }
    seen = {key: pictures.features[rows[str(key)]] for key in ids}
    return Features(seen, told, references, f"{clip.name}, captions after {prefix!r}")


def ours(config: CaptioningConfig, captions: Sequence[str], examples: Sequence[Example]) -> list[MetricResult]:
    """What the pocket world knows of its scenes, and how a second CLIP likes the captions."""
    from apps.captioning.features import picture_features
    from apps.captioning.measures.evaluation import second_clip
    from apps.captioning.measures.measurement import MetricResult
    from apps.captioning.measures.scenes import ATTRIBUTES, score_caption
    from common.stats import bootstrap

    columns: dict[str, list[float]] = {}
    if "scene" in config.evaluate.metrics and all(example.scene is not None for example in examples):
        scores = [score_caption(text, one.scene) for text, one in zip(captions, examples, strict=True) if one.scene]
        columns = {
            name: [float(getattr(score, name)) for score in scores] for name in ("exact", "grammatical", "invented")
        }
        for held in (True, False):
            part = "held-out" if held else "seen"
            columns[f"exact, {part} combinations"] = [
                float(score.exact) if one.scene is not None and one.scene.held == held else math.nan
                for score, one in zip(scores, examples, strict=True)
            ]
        for name in ATTRIBUTES:
            columns[f"right {name}"] = [score.attributes.get(name, math.nan) for score in scores]
    if "held_out_clip" in config.evaluate.metrics and config.evaluate.second_clip:
        clip = second_clip(config)
        if clip is None:
            return [
                *_results(columns, bootstrap),
                MetricResult("held_out_clip", reason="evaluate.second_clip is not there"),
            ]
        seen = picture_features(clip, examples, quiet=True)
        columns["held_out_clip"] = (clip.text(list(captions)).cpu() * seen.features).sum(1).tolist()
    return _results(columns, bootstrap)


def options(config: CaptioningConfig) -> Any:
    """The suite's options."""
    from apps.captioning.measures.metric_suite import Options

    return Options(spice_folder=config.evaluate.spice_jars or None)


def read_measurement(path: str) -> Measurement:
    """An `evaluation.json` of `evaluate`.

    Raises:
        DataError: it is none.
    """
    from apps.captioning.measures.measurement import Measurement

    try:
        return Measurement.from_dict(read_json(path))
    except (KeyError, TypeError) as error:
        raise DataError(f"no evaluation of captions ({error}); `evaluate --out` writes one", path=path) from error


def _by_id(values: Mapping[str, T]) -> dict[str | int, T]:
    """The same under the suite's wider type of ids."""
    return dict(values.items())


def _results(columns: Mapping[str, list[float]], bootstrap: Any) -> list[MetricResult]:
    from apps.captioning.measures.measurement import MetricResult

    return [MetricResult(name, bootstrap(values), each=values) for name, values in columns.items()]
