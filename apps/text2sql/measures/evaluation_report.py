"""Shows an evaluation: tables in the terminal, a page with plots, a paired test against another one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.text2sql.measures.evaluation import RIGHT, UNJUDGED, Evaluation, aligned
from common import ui
from common.stats import Interval, PairedTest, mcnemar, paired_bootstrap

_NAMES = {
    "semantic_accuracy": "semantic accuracy (gold returns rows)",
    "soft_f1": "Soft-F1",
    "exact_match": "exact-set match",
    "r_ves": "R-VES",
}
_SHOWN_FAILURES = 30


def print_tables(evaluation: Evaluation, other: Evaluation | None = None) -> None:
    """Print every figure with its interval, in percent."""
    rows = [(name, text(value), value.n) for name, value in named_metrics(evaluation).items()]
    ui.table(
        f"{len(evaluation.items):,} questions", ("measure", "% [95 % interval]", "judged"), rows, _remark(evaluation)
    )
    for title, found in slices(evaluation).items():
        if len(found) > 1:
            ui.table(title, ("", "% [95 % interval]", "judged"), [(name, text(v), v.n) for name, v in found.items()])
    if other is not None:
        ui.table(
            "This against the other, on the questions both have",
            ("measure", "difference, points [95 % interval]", "p", "better here", "better there"),
            [
                (name, text(test.difference), test.p, test.n01, test.n10)
                for name, test in paired_tests(other, evaluation).items()
            ],
        )


def named_metrics(evaluation: Evaluation) -> dict[str, Interval]:
    """The figures under names for people."""
    return {_name(name): value for name, value in evaluation.metrics().items()}


def slices(evaluation: Evaluation) -> dict[str, dict[str, Interval]]:
    """Execution accuracy by language and hardness, and what goes wrong."""
    return {
        "Execution accuracy by language": evaluation.by("language"),
        "Execution accuracy by hardness": evaluation.by("hardness"),
        "Wrong in respect of (share of questions)": evaluation.error_shares(),
    }


def text(value: Interval) -> str:
    """An interval in percent."""
    return value.text(scale=100, digits=1)


def _name(name: str) -> str:
    if name.startswith("ex_"):
        return f"execution accuracy ({name[3:]})"
    return _NAMES.get(name, name)


def _remark(evaluation: Evaluation) -> str:
    counts = evaluation.verdict_counts()
    parts = [f"{name} {count}" for name, count in counts.items()]
    unjudged = sum(counts.get(name, 0) for name in UNJUDGED)
    left_out = f"; {unjudged} cannot be judged and are left out" if unjudged else ""
    return f"strict: {', '.join(parts)}{left_out}"


def paired_tests(other: Evaluation, evaluation: Evaluation) -> dict[str, PairedTest]:
    """This evaluation against another one, on the questions both have: McNemar for right or wrong, else the bootstrap.

    Raises:
        DataError: they have no question in common.
    """
    first, second = aligned(other, evaluation)
    groups = [item.parallel or item.id for item in second]
    tests: dict[str, PairedTest] = {}
    for preset in evaluation.presets:
        if preset not in other.presets:
            continue
        pair = [item.right(preset) for item in first], [item.right(preset) for item in second]
        binary = all(value in (0, 1) or math.isnan(value) for values in pair for value in values)
        test = mcnemar if binary else paired_bootstrap
        tests[_name(f"ex_{preset}")] = test(*pair, groups=groups)
    soft = [item.mean("soft_f1") for item in first], [item.mean("soft_f1") for item in second]
    tests[_name("soft_f1")] = paired_bootstrap(*soft, groups=groups)
    return tests


def comparison(other: Evaluation, evaluation: Evaluation) -> dict[str, Any]:
    """`paired_tests` as plain values."""
    return {name: test.to_dict() for name, test in paired_tests(other, evaluation).items()}


def write_report(evaluation: Evaluation, path: Path, other: Evaluation | None = None) -> Path:
    """Write the page: figures, slices with plots, the paired test, and failures to look at."""
    from common.report import Report, bars

    source = str(evaluation.settings.get("source", ""))
    report = Report("Text-to-SQL evaluation", f"{len(evaluation.items):,} questions, {source}")
    report.section("Figures").table(
        ("measure", "percent [95 % interval]", "judged"),
        [(name, text(value), value.n) for name, value in named_metrics(evaluation).items()],
        _remark(evaluation),
    )
    for title, found in slices(evaluation).items():
        if not found or (len(found) == 1 and "language" in title):
            continue
        series: dict[str, list[Interval]] = {"this": list(found.values())}
        if other is not None:
            before = slices(other)[title]
            nothing = Interval(math.nan, math.nan, math.nan, 0)
            series = {"the other": [before.get(name, nothing) for name in found], **series}
        report.section(title).figure(bars(list(found), series, "percent", scale=100))
        report.table(("", "percent [95 % interval]", "judged"), [(n, text(v), v.n) for n, v in found.items()])
    if other is not None:
        _add_comparison(report, other, evaluation)
    report.section("Verdicts").table(
        ("verdict", *evaluation.presets), _verdict_rows(evaluation), "Questions by verdict and result comparison."
    )
    failures = list(_failures(evaluation))
    if failures:
        report.section("Failures").text(f"The first {len(failures)} questions that are not right under `strict`.")
        report.samples(failures)
    report.section("Settings").facts(evaluation.settings)
    return report.save(path)


def _add_comparison(report: Any, other: Evaluation, evaluation: Evaluation) -> None:
    tests = paired_tests(other, evaluation)
    report.section("Paired test").table(
        ("measure", "difference, points [95 % interval]", "p", "better here", "better there"),
        [(name, text(test.difference), test.p, test.n01, test.n10) for name, test in tests.items()],
        f"Against {other.settings.get('source', 'the other evaluation')}; exact McNemar test for right or wrong, "
        "paired bootstrap otherwise; translations of one question count as one.",
    )


def _verdict_rows(evaluation: Evaluation) -> list[list[Any]]:
    counts: Mapping[str, Mapping[str, int]] = {name: evaluation.verdict_counts(name) for name in evaluation.presets}
    verdicts = list(dict.fromkeys(verdict for found in counts.values() for verdict in found))
    return [[verdict, *(counts[preset].get(verdict, 0) for preset in evaluation.presets)] for verdict in verdicts]


def _failures(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    shown = 0
    for item in evaluation.items:
        verdict = item.verdicts["strict"][0]
        if verdict in RIGHT or shown == _SHOWN_FAILURES:
            continue
        shown += 1
        yield {
            "question": item.question,
            "language": item.language,
            "database": item.database,
            "prediction": item.predictions[0] or "(none)",
            "gold": item.gold,
            "verdict": f"{verdict}: {item.reasons[0]}" if item.reasons[0] else verdict,
            "differs in": ", ".join(item.errors[0]) if item.errors and item.errors[0] else "–",
        }
