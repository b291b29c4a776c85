"""What an audit of a SQL reward looks like: tables in the terminal, and a report with figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from common.rewards.audit.report import add_flags, percent, percent_interval

if TYPE_CHECKING:
    from apps.text2sql.auditing.result import SqlAudit
    from apps.text2sql.config import Text2SqlConfig
    from apps.text2sql.data import Example
    from common.report import Report
    from common.stats import Interval

_MUTANTS = (
    "same: same result as the gold on this data; open: not to be judged; execution: % of the rest that it kills; "
    "parts: % of the killed that each scores below the gold on its own"
)
_CONTROLS = ("completion", "mean score", "gold scores higher %", "not scored")
_SPREADS = ("reward", "queries", "mean spread", "largest spread")


def print_audit(found: SqlAudit, config: Text2SqlConfig) -> None:
    """Tables for the terminal, then what to look into."""
    from common.ui import table, warn

    table(f"Controls, {config.reward.recipe}", _CONTROLS, _control_rows(found))
    headers, rows = _operator_rows(found, percent)
    table("Mutants of the gold that are told from it", headers, rows, _MUTANTS)
    if found.spreads:
        table("The same query asked in several languages", _SPREADS, _spread_rows(found))
    for flag in found.flags:
        warn(flag)


def write_report(found: SqlAudit, config: Text2SqlConfig, examples: Sequence[Example]) -> Report:
    """The page: controls, mutants, languages, length and cost."""
    from common.report import Report, bars

    recipe, general = config.reward.recipe, found.general
    report = Report(
        f"Audit of the reward {recipe!r}", f"{general.rows} questions, {general.latency.mean * 1000:.2f} ms a row"
    )
    add_flags(report, found.flags)
    report.section("Controls").text(
        "Completions that a lazy, a broken or a hostile policy would write. Each must score below the gold."
    )
    names = ["gold", *(one.name.replace("_", "\n") for one in general.controls)]
    means = [general.reference, *(one.mean for one in general.controls)]
    report.figure(bars(names, {"mean score": means}, "score")).table(_CONTROLS, _control_rows(found))
    headers, rows = _operator_rows(found, percent_interval)
    operators = found.strengths
    killed = {"execution": [one.execution for one in operators]}
    killed |= {name: [one.parts[name] for one in operators] for name in operators[-1].parts if name != "execution"}
    report.section("Mutants").text("The gold with one change. One with the same result may mean the same.")
    report.figure(bars([one.operator for one in operators], killed, "killed, %", 100)).table(headers, rows, _MUTANTS)
    if found.spreads:
        report.section("Languages").text("One query, asked in several languages, must score alike.")
        languages = sorted({language for one in found.spreads.values() for language in one.by_language})
        shown = {name: [one.by_language[language] for language in languages] for name, one in found.spreads.items()}
        report.figure(bars(languages, shown, "mean score")).table(_SPREADS, _spread_rows(found))
    report.section("Length and cost")
    report.facts(
        {
            "rank correlation of score and length": general.length.slope.text(1, 2),
            "references that gain by padding": general.length.gaining.text(100, 0) + " %",
            "greatest change when scored again": general.repeatability,
            "references that could not be scored": f"{general.failed:.0%}",
            "questions": len(examples),
            "encoder": config.reward.encoder,
            "comparison": config.reward.preset,
        }
    )
    return report


def _operator_rows(found: SqlAudit, digits: Callable[[Interval], str]) -> tuple[list[str], list[list[Any]]]:
    parts = [name for name in found.strengths[-1].parts if name != "execution"]
    headers = ["operator", "tried", "same", "open", "execution", *parts]
    rows = [
        [one.operator, one.tried, one.equivalent, one.unjudged, digits(one.execution)]
        + [digits(one.parts[name]) for name in parts]
        for one in found.strengths
    ]
    return headers, rows


def _control_rows(found: SqlAudit) -> list[list[Any]]:
    reference = found.general.reference
    return [
        ["gold", reference.text(1, 3), "–", "–"],
        *([one.name, one.mean.text(1, 3), one.beaten.text(100, 0), one.failed] for one in found.general.controls),
    ]


def _spread_rows(found: SqlAudit) -> list[list[Any]]:
    return [[name, one.queries, one.mean.text(1, 4), round(one.largest, 4)] for name, one in found.spreads.items()]
