"""What stands in this application's files, for `python -m apps table`: `evaluation.json`, and `train`'s own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.text3d.measures.evaluation_report import NAMES
from apps.text3d.measures.geometry import MEASURES
from apps.text3d.measures.results import Figure as Measured
from apps.text3d.measures.results import Measurement, figure_of, paired_tests
from common.errors import DataError
from common.results import Figure, Result
from common.stats import Interval, PairedTest

#: Less of these is better.
LOWER = ("clip.back_front", "questions.contrast")


class Text3dResult(Result):
    """Scenes and what they show."""

    source: Measurement

    def against(self, other: Text3dResult) -> Mapping[str, PairedTest]:
        """See `Result.against`."""
        return {NAMES.get(name, name): test for name, test in paired_tests(other.source, self.source).items()}


def read(path: Path, content: Mapping[str, Any], name: str) -> Iterator[Result]:
    """The results of a file; none where it is not this application's."""
    if "figures" in content and "items" in content:
        several = [content, *content.get("others", ())]
        found = [(name if one is content else f"{name} ({one['name']})", _measured(path, one)) for one in several]
    elif "right" in content and "scenes" in content:
        found = [(name, _trained(path, content))]
    else:
        return
    for label, one in found:
        taken = {figure.name: figure.value for figure in one.figures if figure.value is not None}
        order = [*(key for key in ("geometry.correct",) if key in taken), *taken]
        figures = {NAMES.get(key, key): _figure(key, taken[key]) for key in dict.fromkeys(order)}
        yield Text3dResult("text3d", label, path, len(one.ids), figures, one)


def _figure(name: str, value: Interval) -> Figure:
    share = name.startswith(("geometry.", "questions."))
    return Figure(value, 100.0 if share else 1.0, 1 if share else 3, name in LOWER)


def _measured(path: Path, content: Mapping[str, Any]) -> Measurement:
    try:
        figures = [
            Measured(
                name,
                None if one["value"] is None else Interval.from_dict(one["value"]),
                one["reason"],
                [math.nan if value is None else float(value) for value in one["each"]],
            )
            for name, one in content["figures"].items()
        ]
        items = content["items"]
        return Measurement(content["name"], [row["id"] for row in items], [row["prompt"] for row in items], figures)
    except (KeyError, TypeError) as error:
        raise DataError(f"no evaluation of scenes ({error!r})", path=path) from error


def _trained(path: Path, content: Mapping[str, Any]) -> Measurement:
    """The geometry of a training's scenes."""
    try:
        scenes = content["scenes"]
        prompts = [scene["prompt"] for scene in scenes]
        columns = {
            f"geometry.{name}": [math.nan if scene.get(name) is None else float(scene[name]) for scene in scenes]
            for name in MEASURES
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"no training of scenes ({error!r})", path=path) from error
    figures = [figure_of(name, each, prompts, share=True) for name, each in columns.items()]
    return Measurement(path.parent.name, [f"{at:03d}" for at in range(len(prompts))], prompts, figures)
