"""What a training run shows at its end: the before/after table in the terminal and the run's report."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from apps.medvqa.measures.evaluation import NAMES, Evaluation, Item, aligned
from common import ui
from common.report import Change, Report
from common.stats import PairedTest, paired_bootstrap
from common.training import outcome

if TYPE_CHECKING:
    from apps.medvqa.train import Result

CURVES = {
    "reward": "mean reward",
    "heldout/truth_open": "held-out open questions, exactly right",
    "heldout/right": "held-out open questions, scorer >= 0.8",
    "heldout/closed": "held-out closed questions",
    "entropy": "entropy (nats a token)",
    "groups/flat": "share of groups without a gradient",
    "completions/mean_length": "tokens a completion",
    "grad_norm": "gradient norm",
}
#: Figures of the headline table.
_SHOWN = ("truth_open", "right", "scorer", "f1", "closed", "truth", "form")


def gain(result: Result, metric: str = "") -> float:
    """Gain in a figure, the headline by default, as a share of 1."""
    metric = metric or result.after.headline
    return change(result, metric, metric, lambda item: True).difference.mean  # type: ignore[union-attr]


def change(result: Result, name: str, metric: str, keep: Callable[[Item], bool]) -> Change:
    """A figure before and after and the paired difference, over some of the held-out questions."""
    before, after = aligned(result.before, result.after)
    pairs = [
        (one, other)
        for one, other in zip(before, after, strict=True)
        if keep(other) and not math.isnan(one.score(metric) + other.score(metric))
    ]
    test = _test(pairs, metric)
    first, second = Evaluation([pair[0] for pair in pairs]), Evaluation([pair[1] for pair in pairs])
    return Change(name, first.metric(metric), second.metric(metric), test.difference)


def changes(result: Result) -> list[Change]:
    """The rows of the headline table: the headline figure, by combination, then the other figures."""
    headline = result.after.headline
    rows = [change(result, NAMES[headline], headline, lambda item: True)]
    for name in ("seen", "held-out"):
        if any(item.combination == name for item in result.after.items):
            rows.append(change(result, f"  {name} combinations", headline, lambda item, n=name: item.combination == n))  # type: ignore[misc]
    present = {name for item in result.after.items for name in item.scores}
    others = [name for name in _SHOWN if name in present and name != headline]
    return rows + [change(result, NAMES[name], name, lambda item: True) for name in others]


def paired(result: Result) -> PairedTest:
    """The paired test of the headline figure; questions about one study are resampled together."""
    before, after = aligned(result.before, result.after)
    return _test(list(zip(before, after, strict=True)), result.after.headline)


def _test(pairs: list[tuple[Item, Item]], metric: str) -> PairedTest:
    return paired_bootstrap(
        [one.score(metric) for one, _ in pairs],
        [other.score(metric) for _, other in pairs],
        groups=[one.unit for one, _ in pairs],
    )


def show(result: Result, json_output: bool) -> None:
    """Print the before/after table, or the same as JSON."""
    found = changes(result)
    if json_output:
        outcome.print_json(result.run, outcome.plain(found), p=paired(result).p)
        return
    rows = [
        (row.name, *(value.text(100, 1) if value else "–" for value in (row.before, row.after, row.difference)))
        for row in found
    ]
    caption = f"{found[0].after.n} open questions; brackets: 95 % bootstrap interval over studies"
    ui.table("Held-out questions, %", ("measure", "before", "after", "difference"), rows, caption)
    outcome.print_places(result.run)


def write_report(result: Result) -> Path:
    """`report.html` of a run: headline table, curves, slices, samples with what was thought, settings."""
    from common.plots import bars

    run, found, test = result.run, changes(result), paired(result)
    title = f"{outcome.rewarded(run)} reward, seed {run.seed}. Not for clinical use."
    report = Report("Medical VQA training", title)
    report.section("Before and after")
    report.headline(found, caption=f"Held-out questions, %; paired p of the first line = {test.p:.2g}.")
    for line in outcome.alarms(run):
        report.alarm(line)
    for name in ("question_type", "organ"):
        before, after = (one.by(name, result.after.headline) for one in (result.before, result.after))
        names = [value for value in after if value in before]
        if len(names) > 1:
            series = {"before": [before[value] for value in names], "after": [after[value] for value in names]}
            report.section(f"By {name.replace('_', ' ')}")
            report.figure(bars(names, series, "%", 100), f"{NAMES[result.after.headline]}, with 95 % intervals")
    outcome.add_curves(report, run, "sft", "Supervised stage", {"loss": "loss", **CURVES})
    outcome.add_curves(report, run, "grpo", "Reinforcement stage", CURVES)
    _moved(report, result)
    return outcome.finish(report, run, "grpo", "What the policy said last")


def _moved(report: Report, result: Result) -> None:
    """Held-out questions whose answer became right or wrong."""
    before, after = aligned(result.before, result.after)
    metric = "truth" if "truth" in after[0].scores else "right"
    moved = [
        {"question": other.question, "reference": " | ".join(other.references)}
        | {"before": one.completion, "after": other.completion}
        | {"right before": bool(one.score(metric)), "right after": bool(other.score(metric))}
        for one, other in zip(before, after, strict=True)
        if one.score(metric) != other.score(metric) and not math.isnan(one.score(metric) + other.score(metric))
    ]
    if moved:
        report.section("Answers that changed").samples(outcome.spread_out(moved))
