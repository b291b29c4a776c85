"""Shows a measurement of captions: tables in the terminal, a page with plots, a paired test against another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.captioning.measures.measurement import Measurement, MetricResult
from apps.captioning.measures.metric_suite import METRICS
from apps.captioning.measures.paired import lowest, paired_tests
from common import ui
from common.stats import PairedTest

#: Names for people; what is not here is shown as it is.
NAMES = {
    **{f"bleu{order}": f"BLEU-{order}" for order in range(1, 5)},
    **{"rouge_l": "ROUGE-L", "cider_d": "CIDEr-D", "meteor": "METEOR", "spice": "SPICE"},
    **{"clip_score": "CLIPScore", "ref_clip_score": "RefCLIPScore"},
    **{f"caption_r@{k}": f"picture finds its caption, R@{k}" for k in (1, 5, 10)},
    **{f"picture_r@{k}": f"caption finds its picture, R@{k}" for k in (1, 5, 10)},
    **{
        "caption_median_rank": "median rank of the own caption",
        "picture_median_rank": "median rank of the own picture",
    },
    **{"distinct_captions": "different captions, share", "distinct_1": "distinct-1", "distinct_2": "distinct-2"},
    **{"vocabulary": "different words", "length": "words a caption", "repeated": "trigrams said before, share"},
    **{"unterminated": "without a full stop, share", "empty": "empty, share"},
}
_SHOWN = 20


def print_tables(measurement: Measurement, other: Measurement | None = None) -> None:
    """Print every figure with its interval, then why the others are absent, then the paired test."""
    rows = [(_name(result.name), figure(result), result.value.n) for result in _taken(measurement)]
    ui.table(f"{len(measurement.ids):,} pictures", ("measure", "[95 % interval]", "n"), rows, remark(measurement))
    lacking = _lacking(measurement)
    if lacking:
        ui.table("Not measured", ("measure", "why"), lacking)
    if other is not None:
        headers = ("measure", "difference [95 % interval]", "p", "higher here", "higher there")
        ui.table("This against the other, on the pictures both have", headers, _test_rows(other, measurement))


def write_report(
    measurement: Measurement,
    path: Path,
    other: Measurement | None = None,
    references: Mapping[Any, Sequence[str]] | None = None,
) -> Path:
    """Write the page: figures with plots, what could not be measured, the paired test, the captions that score least.

    Args:
        measurement: what is shown.
        path: of the HTML file.
        other: what it is compared with.
        references: id -> right captions, shown beside the worst ones.
    """
    from common.report import Report, bars

    report = Report(
        "Captions measured", f"{len(measurement.ids):,} pictures, {measurement.settings.get('source', '')}"
    )
    report.section("Figures").table(
        ("measure", "[95 % interval]", "n", "note"),
        [(_name(one.name), figure(one), one.value.n, one.note) for one in _taken(measurement)],
        remark(measurement),
    )
    shares = [one for one in _taken(measurement) if one.name.startswith(("bleu", "rouge", "meteor", "spice"))]
    if shares:
        series = {"this": [one.value for one in shares if one.value is not None]}
        report.figure(bars([_name(one.name) for one in shares], series))
    lacking = _lacking(measurement)
    if lacking:
        report.section("Not measured").table(("measure", "why"), lacking)
    if other is not None:
        report.section("Paired test").table(
            ("measure", "difference [95 % interval]", "p", "higher here", "higher there"),
            _test_rows(other, measurement),
            f"Against {other.settings.get('source', 'the other captions')}; paired bootstrap over pictures.",
        )
    worst = list(_worst(measurement, references or {}))
    if worst:
        report.section("Captions that score least").samples(worst)
    report.section("Settings").facts(measurement.settings)
    return report.save(path)


def comparison(other: Measurement, measurement: Measurement) -> dict[str, Any]:
    """`paired_tests` as plain values."""
    return {name: test.to_dict() for name, test in paired_tests(other, measurement).items()}


def figure(result: MetricResult) -> str:
    """The figure and its interval, in the metric's own unit."""
    if result.value is None:
        return "–"
    whole = result.name in ("vocabulary", "length") or result.name.endswith("median_rank")
    return result.value.text(digits=1 if whole else 4)


def remark(measurement: Measurement) -> str:
    """What was left out, in a line."""
    parts = []
    if measurement.missing:
        parts.append(f"{len(measurement.missing)} pictures without a prediction are left out")
    if measurement.extra:
        parts.append(f"{len(measurement.extra)} predictions without references are left out")
    if measurement.partial:
        parts.append("some measures could not be taken")
    return "; ".join(parts)


def _taken(measurement: Measurement) -> Iterator[Any]:
    return (result for result in measurement.results.values() if result.value is not None)


def _lacking(measurement: Measurement) -> list[tuple[str, str]]:
    """A line for each metric that could not run, however many figures it would have had."""
    rows = []
    for family, names in METRICS.items():
        absent = [one for name in names if (one := measurement.results.get(name)) is not None and one.value is None]
        if absent:
            rows.append((_name(family), absent[0].reason))
    return rows


def _test_rows(other: Measurement, measurement: Measurement) -> list[tuple[Any, ...]]:
    tests: dict[str, PairedTest] = paired_tests(other, measurement)
    return [(_name(name), test.difference.text(digits=4), test.p, test.n01, test.n10) for name, test in tests.items()]


def _worst(measurement: Measurement, references: Mapping[Any, Sequence[str]]) -> Iterator[dict[str, Any]]:
    names = ("cider_d", "rouge_l", "clip_score")
    result = next((measurement.results[name] for name in names if _has_each(measurement, name)), None)
    if result is None:
        return
    for row in lowest(result, _SHOWN):
        key = measurement.ids[row]
        card = {"picture": key, "caption": measurement.captions[row] or "(nothing)"}
        if references.get(key):
            card["references"] = " / ".join(references[key])
        yield {**card, _name(result.name): f"{result.each[row]:.3f}"}


def _has_each(measurement: Measurement, name: str) -> bool:
    return name in measurement.results and bool(measurement.results[name].each)


def _name(name: str) -> str:
    return NAMES.get(name, name)
