"""Shows an evaluation: tables in the terminal, a page with plots and pictures, a paired test against another one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.medvqa.measures.evaluation import NAMES, SLICES, Evaluation, Item, aligned
from common import ui
from common.report import Report
from common.stats import Interval, PairedTest, bootstrap, mcnemar, paired_bootstrap

_SHOWN_FAILURES = 40
_COLUMNS = ("measure", "% [95 % interval]", "questions")


def print_tables(evaluation: Evaluation, other: Evaluation | None = None) -> None:
    """Print every figure with its interval, in percent."""
    rows = [(NAMES[name], text(value), value.n) for name, value in evaluation.metrics().items()]
    ui.table(f"{len(evaluation.items):,} questions", _COLUMNS, rows, _remark(evaluation))
    for title, found in slices(evaluation).items():
        ui.table(title, _COLUMNS, [(name, text(value), value.n) for name, value in found.items()])
    if evaluation.robustness:
        ui.table("Asked otherwise", ROBUST_COLUMNS, robustness_rows(evaluation), ROBUST_CAPTION)
    if other is not None:
        columns = ("measure", "difference, points [95 % interval]", "p")
        tests = paired_tests(other, evaluation)
        ui.table(
            "This against the other, on the questions both have",
            columns,
            [(NAMES[name], text(test.difference), f"{test.p:.2g}") for name, test in tests.items()],
        )


def text(value: Interval) -> str:
    """An interval in percent."""
    return value.text(scale=100, digits=1)


def slices(evaluation: Evaluation) -> dict[str, dict[str, Interval]]:
    """The headline figure and the accuracy on closed questions, by everything that there is more than one of."""
    found: dict[str, dict[str, Interval]] = {}
    for metric in (evaluation.headline, "closed"):
        for name in SLICES:
            values = evaluation.by(name, metric)
            if len(values) > 1:
                found[f"{NAMES[metric]}, by {name.replace('_', ' ')}"] = values
    return found


ROBUST_COLUMNS = ("condition", "measure", "as asked %", "so asked %", "difference, points", "questions")
ROBUST_CAPTION = "A model that looks loses with a blank or swapped picture, and not with other words."


def robustness_rows(evaluation: Evaluation) -> list[tuple[Any, ...]]:
    """Each condition against the same questions as they were asked."""
    rows: list[tuple[Any, ...]] = []
    for name, items in evaluation.robustness.items():
        for metric in (evaluation.headline, "closed"):
            pairs = _pairs(evaluation.items, items, metric)
            if not pairs:
                continue
            before, after, groups = zip(*pairs, strict=True)
            test = paired_bootstrap(list(before), list(after), groups=list(groups))
            shown = [text(bootstrap(list(values), groups=list(groups))) for values in (before, after)]
            rows.append((name, NAMES[metric], *shown, text(test.difference), len(pairs)))
    return rows


def _pairs(first: list[Item], second: list[Item], metric: str) -> list[tuple[float, float, str]]:
    """Figures of the same question under two conditions; a rephrased one has its own id."""
    others = {item.id.removesuffix("-rephrased"): item for item in second}
    pairs = []
    for item in first:
        other = others.get(item.id)
        if other is not None and not math.isnan(item.score(metric) + other.score(metric)):
            pairs.append((item.score(metric), other.score(metric), item.unit))
    return pairs


def paired_tests(other: Evaluation, evaluation: Evaluation) -> dict[str, PairedTest]:
    """This evaluation against another one, on the questions both have: McNemar for right or wrong, else the bootstrap.

    Raises:
        DataError: they have no question in common.
    """
    first, second = aligned(other, evaluation)
    groups = [item.unit for item in second]
    tests: dict[str, PairedTest] = {}
    for name in NAMES:
        pair = [item.score(name) for item in first], [item.score(name) for item in second]
        known = [value for value in (a + b for a, b in zip(*pair, strict=True)) if not math.isnan(value)]
        if known:
            binary = all(value in (0, 1) or math.isnan(value) for values in pair for value in values)
            tests[name] = (mcnemar if binary else paired_bootstrap)(*pair, groups=groups)
    return tests


def comparison(other: Evaluation, evaluation: Evaluation) -> dict[str, Any]:
    """`paired_tests` as plain values."""
    return {name: test.to_dict() for name, test in paired_tests(other, evaluation).items()}


def write_report(evaluation: Evaluation, path: Path, other: Evaluation | None = None) -> Path:
    """Write the page: figures, slices with plots, calibration, robustness, paired test, and failures to look at."""
    from common.plots import bars

    source = str(evaluation.settings.get("source", ""))
    report = Report("Medical VQA evaluation", f"{len(evaluation.items):,} questions, {source}. Not for clinical use.")
    rows = [(NAMES[name], text(value), value.n) for name, value in evaluation.metrics().items()]
    report.section("Figures").table(_COLUMNS, rows, _remark(evaluation))
    for title, found in slices(evaluation).items():
        report.section(title).figure(bars(list(found), {"this": list(found.values())}, "percent", scale=100))
        report.table(_COLUMNS, [(name, text(value), value.n) for name, value in found.items()])
    _add_calibration(report, evaluation)
    if evaluation.robustness:
        report.section("Asked otherwise").table(ROBUST_COLUMNS, robustness_rows(evaluation), ROBUST_CAPTION)
    if other is not None:
        tests = paired_tests(other, evaluation)
        report.section("Paired test").table(
            ("measure", "difference, points [95 % interval]", "p"),
            [(NAMES[name], text(test.difference), f"{test.p:.2g}") for name, test in tests.items()],
            f"Against {other.settings.get('source', 'the other evaluation')}; exact McNemar test for right or wrong, "
            "paired bootstrap otherwise; questions about one study count as one.",
        )
    failures = [item for item in evaluation.items if _failed(item)]
    if failures:
        report.section("Failures").text(f"{min(len(failures), _SHOWN_FAILURES)} of {len(failures)} wrong answers.")
        step = max(1, len(failures) // _SHOWN_FAILURES)
        report.samples([_shown(item) for item in failures[::step][:_SHOWN_FAILURES]])
    report.section("Settings").facts(evaluation.settings)
    return report.save(path)


def _add_calibration(report: Report, evaluation: Evaluation) -> None:
    rows = evaluation.calibration()
    if not rows:
        return
    report.section("Calibration of the scorer").table(
        ("score from", "mean score", "exactly right, % [95 % interval]", "answers"),
        [(f"{low:.1f}", f"{mean:.2f}", text(found), found.n) for low, mean, found in rows],
        "The medical scorer against the pocket world's exact truth.",
    )


def _failed(item: Item) -> bool:
    right = item.score("truth")
    if math.isnan(right):
        right = item.score("closed") if item.kind == "closed" else item.score("right")
    return right == 0.0


def _shown(item: Item) -> Mapping[str, Any]:
    return {
        "question": item.question,
        "answer": item.answer or "(none)",
        "reference": " | ".join(item.references),
        "why": item.reason or item.verdict,
        "said": item.completion,
    }


def _remark(evaluation: Evaluation) -> str:
    parts = [f"closed: {', '.join(f'{name} {count}' for name, count in evaluation.counts('verdict').items())}"]
    vetoes = evaluation.counts("veto")
    if vetoes:
        parts.append(f"vetoed: {', '.join(f'{name} {count}' for name, count in vetoes.items())}")
    return "; ".join(part for part in parts if not part.endswith(": "))
