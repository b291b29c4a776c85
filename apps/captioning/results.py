"""What stands in this application's `evaluation.json`, for `python -m apps table`: of `train`, and of `evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.captioning.evaluate import read_measurement
from apps.captioning.measures.evaluation import SCALES, WORDS, Evaluation, compare
from apps.captioning.measures.evaluation_report import NAMES
from apps.captioning.measures.measurement import Measurement
from apps.captioning.measures.paired import paired_tests
from common.errors import DataError
from common.results import Figure, Result, first_item
from common.stats import PairedTest

#: What `train` keeps, and what tables call it.
PARTS = {"after": "", "before": " (before)", "retrieval": " (nearest sentence)"}
#: The first of these that was taken is the one that counts.
FIRST = ("exact", "cider_d", "clip_score")
#: Of `evaluate`: less of these is better.
LOWER = ("caption_median_rank", "picture_median_rank", "repeated", "unterminated", "empty", "invented")


class TrainedResult(Result):
    """Pictures and what a captioner said of them, as `train` measures it."""

    source: Evaluation

    def against(self, other: Result) -> Mapping[str, PairedTest]:
        """See `Result.against`."""
        if not isinstance(other.source, Evaluation):
            raise DataError(f"{self.path} is of `train` and {other.path} of `evaluate`: they have no figure in common")
        names = [name for name in self.source.names if name in other.source.names]
        return {title(name): compare(other.source, self.source, name) for name in names}


class MeasuredResult(Result):
    """Captions measured by `evaluate`."""

    source: Measurement

    def against(self, other: Result) -> Mapping[str, PairedTest]:
        """See `Result.against`."""
        if not isinstance(other.source, Measurement):
            raise DataError(f"{self.path} is of `evaluate` and {other.path} of `train`: they have no figure in common")
        return {title(name): test for name, test in paired_tests(other.source, self.source).items()}


def title(name: str) -> str:
    """A figure as tables call it, whoever took it."""
    return NAMES.get(name) or WORDS.get(name, name)


def read(path: Path, content: Mapping[str, Any], name: str) -> Iterator[Result]:
    """The results of a file; none where it is not this application's."""
    if isinstance(content.get("after"), Mapping) and "measures" in content["after"]:
        for part, word in PARTS.items():
            if part in content:
                yield _trained(path, content[part], name + word)
    elif "metrics" in content and "caption" in first_item(content):
        found = read_measurement(str(path))
        order = dict.fromkeys((*FIRST, *found.results))
        taken = {
            one: value for one in order if one in found.results and (value := found.results[one].value) is not None
        }
        figures = {title(one): Figure(value, *_shown(one)) for one, value in taken.items()}
        yield MeasuredResult("captioning", name, path, len(found.ids), figures, found)


def _shown(name: str) -> tuple[float, int, bool]:
    scale = SCALES.get(name, 1.0)
    return scale, 3 if scale == 1.0 else 1, name in LOWER


def _trained(path: Path, content: Mapping[str, Any], name: str) -> Result:
    try:
        found = Evaluation.from_dict(content)
    except (KeyError, TypeError) as error:
        raise DataError(f"no evaluation of captions ({error!r})", path=path) from error
    figures = {title(one): Figure(found.interval(one), *_shown(one)) for one in found.names}
    return TrainedResult("captioning", name, path, len(found.items), figures, found)
