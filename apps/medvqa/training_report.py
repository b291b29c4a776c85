"""What a training run shows at its end: the before/after table in the terminal and the run's report."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.medvqa.measures.evaluation import NAMES, Evaluation, Item, aligned
from common import ui
from common.files import read_jsonl
from common.report import Change, Report
from common.stats import Interval, PairedTest, paired_bootstrap

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
SHOWN_SAMPLES = 12
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
    found, folder = changes(result), result.run.folder
    if json_output:
        keys = ("before", "after", "difference")
        ui.print_json(
            {
                "run": str(folder),
                "changes": {row.name.strip(): {key: _plain(getattr(row, key)) for key in keys} for row in found},
                "p": paired(result).p,
                "alarms": result.run.alarms(),
                "report": str(folder / "report.html"),
            }
        )
        return
    rows = [
        (row.name, *(value.text(100, 1) if value else "–" for value in (row.before, row.after, row.difference)))
        for row in found
    ]
    caption = f"{found[0].after.n} open questions; brackets: 95 % bootstrap interval over studies"
    ui.table("Held-out questions, %", ("measure", "before", "after", "difference"), rows, caption)
    for alarm in result.run.alarms():
        ui.warn(f"{alarm['stage']} step {alarm['step']}: {alarm['message']}")
    ui.say(f"model:  {folder / 'model'}")
    ui.say(f"report: {folder / 'report.html'}")


def _plain(value: Interval | None) -> dict[str, Any] | None:
    return None if value is None else value.to_dict()


def write_report(result: Result) -> Path:
    """`report.html` of a run: headline table, curves, slices, samples with what was thought, settings."""
    from common.plots import bars, curves

    run, found, test = result.run, changes(result), paired(result)
    title = f"{run.config['reward']['recipe']} reward, seed {run.seed}. Not for clinical use."
    report = Report("Medical VQA training", title)
    report.section("Before and after")
    report.headline(found, caption=f"Held-out questions, %; paired p of the first line = {test.p:.2g}.")
    for alarm in run.alarms():
        report.alarm(f"{alarm['stage']} step {alarm['step']}: {alarm['message']}")
    for name in ("question_type", "organ"):
        before, after = (one.by(name, result.after.headline) for one in (result.before, result.after))
        names = [value for value in after if value in before]
        if len(names) > 1:
            series = {"before": [before[value] for value in names], "after": [after[value] for value in names]}
            report.section(f"By {name.replace('_', ' ')}")
            report.figure(bars(names, series, "%", 100), f"{NAMES[result.after.headline]}, with 95 % intervals")
    for stage, heading in (("sft", "Supervised stage"), ("grpo", "Reinforcement stage")):
        rows = run.rows(stage)
        keys = {key: label for key, label in CURVES.items() if any(_number(row.get(key)) for row in rows)}
        if stage == "sft" and rows:
            keys = {"loss": "loss", **keys}
        if rows and keys:
            report.section(heading).figure(curves(rows, keys, smooth=9), "Faint: each step. Strong: running mean.")
    _samples(report, result)
    report.section("Settings").facts({**run.facts, **run.facts.get("versions", {})})
    return report.save(run.folder / "report.html")


def _samples(report: Report, result: Result) -> None:
    """Held-out questions whose answer became right or wrong, then what the policy said in its last steps."""
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
        step = max(1, len(moved) // SHOWN_SAMPLES)
        report.section("Answers that changed").samples(moved[::step][:SHOWN_SAMPLES])
    files = sorted(result.run.samples.glob("grpo-*.jsonl"))
    if files:
        rows = [row for _, row in read_jsonl(files[-1])][:SHOWN_SAMPLES]
        report.section("What the policy said last").samples(rows)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)
