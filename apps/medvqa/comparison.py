"""Several recipes and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.measures.evaluation import NAMES
from apps.medvqa.train import Result, train_one
from apps.medvqa.training_report import gain
from common import ui
from common.files import write_json
from common.stats import Interval, mean_interval_over_seeds
from common.training.comparison import begin, run_all
from common.training.comparison import resume as go_on

#: One trained run by (recipe, seed).
Results = Mapping[tuple[str, int], Result]
_COLUMNS = ("recipe", "before", "after", "gain", "held-out combinations", "closed", "flat groups, %", "alarms")


def run_comparison(config: MedVqaConfig, name: str | None, json_output: bool) -> int:
    """Train every recipe with every seed of `config.comparison`, then compare them on the same held-out questions."""
    return _finish(config, begin(config, config.runs, name), json_output)


def resume(folder: Path, json_output: bool) -> int:
    """Go on with an interrupted run or comparison, with the settings it was started with."""
    from apps.medvqa.training_report import show

    def one(config: MedVqaConfig) -> int:
        show(train_one(config, resume=folder), json_output)
        return 0

    return go_on(folder, MedVqaConfig, lambda config: _finish(config, folder, json_output), one)


def _finish(config: MedVqaConfig, folder: Path, json_output: bool) -> int:
    results = run_all(config, folder, "apps.medvqa", train_one)
    summary = summarise(results)
    write_json(folder / "comparison.json", summary)
    write_comparison_report(results, summary, folder)
    if json_output:
        ui.print_json(summary)
    else:
        title = f"Held-out {NAMES[summary['metric']]}, %, {len(summary['seeds'])} seeds"
        ui.table(title, _COLUMNS, _rows(summary))
        ui.say(f"report: {folder / 'report.html'}")
    return 0


def summarise(results: Results) -> dict[str, Any]:
    """The headline figure (shares of 1) and its gain: mean over seeds, and differences of recipes.

    The interval over seeds is Student's t on the seeds' means, so one seed gives no interval.
    """
    recipes = list(dict.fromkeys(recipe for recipe, _ in results))
    seeds = list(dict.fromkeys(seed for _, seed in results))
    metric = next(iter(results.values())).after.headline
    summary: dict[str, Any] = {"metric": metric, "seeds": seeds, "recipes": {}, "differences": {}}
    for recipe in recipes:
        own = [results[recipe, seed] for seed in seeds]
        held = [result.after.by("combination", metric).get("held-out") for result in own]
        flat = [_flat(result) for result in own]
        summary["recipes"][recipe] = {
            "before": _over_seeds([result.before.metric(metric).mean for result in own]),
            "after": _over_seeds([result.after.metric(metric).mean for result in own]),
            "gain": _over_seeds([gain(result) for result in own]),
            "closed": _over_seeds([result.after.metric("closed").mean for result in own]),
            "combinations": _over_seeds([one.mean for one in held if one is not None]) if any(held) else None,
            "flat": _over_seeds(flat),
            "seeds": {str(seed): gain(result) for seed, result in zip(seeds, own, strict=True)},
            "alarms": [
                f"seed {seed}: {alarm['kind']}" for seed, r in zip(seeds, own, strict=True) for alarm in r.run.alarms()
            ],
        }
    for other in recipes[1:]:
        gaps = [gain(results[recipes[0], seed]) - gain(results[other, seed]) for seed in seeds]
        summary["differences"][f"{recipes[0]} - {other}"] = _over_seeds(gaps)
    return summary


def _flat(result: Result) -> float:
    """Mean share of groups without a gradient during GRPO: what a collapsed or saturated reward looks like."""
    shares = [float(row["groups/flat"]) for row in result.run.rows("grpo") if "groups/flat" in row]
    return sum(shares) / len(shares) if shares else 0.0


def _over_seeds(values: list[float]) -> dict[str, Any]:
    return mean_interval_over_seeds(values).to_dict()


def _rows(summary: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    def shown(value: Mapping[str, Any] | None) -> str:
        return Interval.from_dict(dict(value)).text(100, 1) if value else "–"

    keys = ("before", "after", "gain", "combinations", "closed", "flat")
    return [
        (recipe, *(shown(found[key]) for key in keys), len(found["alarms"]))
        for recipe, found in summary["recipes"].items()
    ]


def write_comparison_report(results: Results, summary: Mapping[str, Any], folder: Path) -> Path:
    """The page of a comparison: table, differences, learning curves of every run."""
    from common.plots import lines
    from common.report import Report

    seeds, metric = summary["seeds"], summary["metric"]
    report = Report("Medical VQA: rewards compared", f"seeds {', '.join(map(str, seeds))}. Not for clinical use.")
    caption = f"Held-out {NAMES[metric]}, %, greedy. Brackets: 95 % Student interval over seeds."
    report.section("Result").table(_COLUMNS, _rows(summary), caption)
    for name, value in summary["differences"].items():
        report.text(f"Gain of **{name}**: {Interval.from_dict(value).text(100, 1)} points.")
    curves = {
        recipe: [_curve(result, metric) for (name, _), result in results.items() if name == recipe]
        for recipe in summary["recipes"]
    }
    report.section("Learning curves").figure(lines(curves, "step", f"{NAMES[metric]}, %"), "One line a seed")
    for (recipe, seed), result in results.items():
        for alarm in result.run.alarms():
            report.alarm(f"{recipe}, seed {seed}: {alarm['message']}")
    return report.save(folder / "report.html")


def _curve(result: Result, metric: str) -> list[tuple[float, float]]:
    """The held-out figure over the steps, from before training to its end."""
    key = f"heldout/{metric}"
    start = (0.0, 100 * result.before.metric(metric).mean)
    return [start, *((float(row["step"]), 100 * row[key]) for row in result.run.rows("grpo") if key in row)]
