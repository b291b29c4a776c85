"""What a training run shows at its end: the before/after table in the terminal and the run's report."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from apps.text2sql.measures.evaluation import Evaluation, Item, aligned
from common import ui
from common.report import Change, Report
from common.stats import PairedTest, paired_bootstrap
from common.training import outcome

if TYPE_CHECKING:
    from apps.text2sql.train import Result

CURVES = {
    "reward": "mean reward",
    "heldout/execution_accuracy": "held-out execution accuracy",
    "entropy": "entropy (nats a token)",
    "groups/flat": "share of groups without a gradient",
    "completions/mean_length": "tokens a completion",
    "grad_norm": "gradient norm",
}


def gain(result: Result, language: str | None = None) -> float:
    """Gain in held-out execution accuracy, as a share of 1."""
    return change(result, "", lambda item: language in (None, item.language)).difference.mean  # type: ignore[union-attr]


def change(result: Result, name: str, keep: Callable[[Item], bool]) -> Change:
    """Before, after and their paired difference over some of the held-out questions."""
    before, after = aligned(result.before, result.after)
    pairs = [(first, second) for first, second in zip(before, after, strict=True) if keep(first)]
    groups = [first.parallel or first.id for first, _ in pairs]
    test = paired_bootstrap(
        [first.right() for first, _ in pairs], [second.right() for _, second in pairs], groups=groups
    )
    first, second = Evaluation([pair[0] for pair in pairs]), Evaluation([pair[1] for pair in pairs])
    return Change(name, first.accuracy(), second.accuracy(), test.difference)


def changes(result: Result) -> list[Change]:
    """The rows of the headline table: all questions, then each language."""
    rows = [change(result, "all", lambda item: True)]
    languages = result.after.languages
    if len(languages) > 1:
        rows += [change(result, name, lambda item, name=name: item.language == name) for name in languages]  # type: ignore[misc]
    return rows


def paired(result: Result) -> PairedTest:
    """The paired test over all held-out questions; translations of one question are resampled together."""
    before, after = aligned(result.before, result.after)
    groups = [item.parallel or item.id for item in before]
    return paired_bootstrap([item.right() for item in before], [item.right() for item in after], groups=groups)


def show(result: Result, json_output: bool) -> None:
    """Print the before/after table, or the same as JSON."""
    found = changes(result)
    if json_output:
        outcome.print_json(result.run, outcome.plain(found), p=paired(result).p)
        return
    rows = [
        (
            row.name,
            row.before.text(100, 1),
            row.after.text(100, 1),
            row.difference.text(100, 1) if row.difference else "–",
        )
        for row in found
    ]
    caption = f"{found[0].after.n} questions; brackets: 95 % bootstrap interval, translations of a question together"
    ui.table("Held-out execution accuracy, %", ("questions", "before", "after", "difference"), rows, caption)
    outcome.print_places(result.run)


def write_report(result: Result) -> Path:
    """`report.html` of a run: headline table, curves, languages, samples, settings."""
    from common.plots import bars

    run = result.run
    found = changes(result)
    test = paired(result)
    report = Report("Text-to-SQL training", f"{outcome.rewarded(run)} reward, seed {run.seed}")
    report.section("Before and after")
    report.headline(
        found, caption=f"Held-out execution accuracy, %; {found[0].after.n} questions; paired p = {test.p:.2g}."
    )
    for line in outcome.alarms(run):
        report.alarm(line)
    if len(found) > 1:
        names = [row.name for row in found[1:]]
        series = {"before": [row.before for row in found[1:]], "after": [row.after for row in found[1:]]}
        report.figure(bars(names, series, "execution accuracy, %", 100), "By language, with 95 % intervals")
    outcome.add_curves(report, run, "sft", "Supervised stage", {"loss": "loss", **CURVES})
    outcome.add_curves(report, run, "grpo", "Reinforcement stage", CURVES)
    for name in ("hardness", "database"):
        _breakdown(report, result, name)
    _verdicts(report, result)
    _moved(report, result)
    return outcome.finish(report, run, "grpo", "What the policy said last")


def _breakdown(report: Report, result: Result, name: str) -> None:
    before, after = result.before.by(name), result.after.by(name)
    rows = [(value, before[value].text(100, 1), after[value].text(100, 1), after[value].n) for value in after]
    report.section(f"By {name}").table((name, "before %", "after %", "questions"), rows)


def _verdicts(report: Report, result: Result) -> None:
    before, after = result.before.verdict_counts(), result.after.verdict_counts()
    names = list(dict.fromkeys([*after, *before]))
    report.section("Verdicts").table(
        ("verdict", "before", "after"), [(name, before.get(name, 0), after.get(name, 0)) for name in names]
    )


def _moved(report: Report, result: Result) -> None:
    """Held-out questions whose answer changed."""
    before, after = aligned(result.before, result.after)
    moved = [
        {"question": second.question, "language": second.language, "gold": second.gold}
        | {"before": first.predictions[0], "verdict before": first.verdicts["strict"][0]}
        | {"after": second.predictions[0], "verdict after": second.verdicts["strict"][0]}
        for first, second in zip(before, after, strict=True)
        if first.right() != second.right() and not math.isnan(first.right() + second.right())
    ]
    if moved:
        report.section("Answers that changed").samples(outcome.spread_out(moved), ("gold", "before", "after"))
