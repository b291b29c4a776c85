"""What stands in this application's `evaluation.json`, for `python -m apps table`: a result for each driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.driving.evaluate import FORMAT, Evaluation, against
from apps.driving.measures.episodes import Episode, driven
from apps.driving.measures.figures import OURS
from common.results import Figure, Result
from common.stats import PairedTest

TITLES = {measure.name: measure.title for measure in OURS}


class DrivingResult(Result):
    """Episodes of one driver in one simulator."""

    source: Evaluation

    def against(self, other: DrivingResult) -> Mapping[str, PairedTest]:
        """See `Result.against`."""
        tests = against(other.source, self.source).tests
        return {TITLES[name]: test for name, test in tests.items()}


def read(path: Path, content: Mapping[str, Any], name: str) -> Iterator[Result]:
    """The results of a file; none where it is not this application's."""
    if content.get("format") != FORMAT or not content.get("drivers"):
        return
    episodes = [Episode.from_dict(row) for row in content["episodes"]]
    for driver, rules in content["drivers"].items():
        own = [episode for episode in episodes if episode.policy == driver]
        if not driven(own):
            continue
        figures = {
            one.title: Figure(one.figure(own), one.scale, one.digits, one.better == "lower")
            for one in OURS
            if one.kind not in ("total", "interval")
        }
        label = f"{name} ({driver}, {own[0].backend})"
        yield DrivingResult("driving", label, path, len(driven(own)), figures, Evaluation(driver, rules, own))
