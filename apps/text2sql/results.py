"""What stands in this application's `evaluation.json`, for `python -m apps table`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.text2sql.measures.evaluation import Evaluation
from apps.text2sql.measures.evaluation_report import named_metrics, paired_tests
from common.results import Figure, Result, first_item
from common.stats import PairedTest


class Text2SqlResult(Result):
    """Questions and the queries that answered them."""

    source: Evaluation

    def against(self, other: Text2SqlResult) -> Mapping[str, PairedTest]:
        """See `Result.against`."""
        return paired_tests(other.source, self.source)


def read(path: Path, content: Mapping[str, Any], name: str) -> Iterator[Result]:
    """The results of a file; none where it is not this application's."""
    if "gold" not in first_item(content):
        return
    found = Evaluation.load(path)
    figures = {title: Figure(value, 100, 1) for title, value in named_metrics(found).items()}
    yield Text2SqlResult("text2sql", name, path, len(found.items), figures, found)
