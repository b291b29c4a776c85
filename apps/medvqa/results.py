"""What stands in this application's `evaluation.json`, for `python -m apps table`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.medvqa.measures.evaluation import NAMES, Evaluation
from apps.medvqa.measures.evaluation_report import paired_tests
from common.results import Figure, Result, first_item
from common.stats import PairedTest


class MedVqaResult(Result):
    """Questions about pictures and what was answered. Not for clinical use."""

    source: Evaluation

    def against(self, other: MedVqaResult) -> Mapping[str, PairedTest]:
        """See `Result.against`."""
        return {NAMES[name]: test for name, test in paired_tests(other.source, self.source).items()}


def read(path: Path, content: Mapping[str, Any], name: str) -> Iterator[Result]:
    """The results of a file; none where it is not this application's."""
    if "references" not in first_item(content):
        return
    found = Evaluation.load(path)
    values = found.metrics()
    order = dict.fromkeys((found.headline, *values))
    figures = {NAMES[key]: Figure(values[key], 100, 1) for key in order if key in values}
    yield MedVqaResult("medvqa", name, path, len(found.items), figures, found)
