"""Several recipes and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.measures.evaluation import NAMES
from apps.medvqa.train import Result, train_one
from apps.medvqa.training_report import gain, show
from common.stats import Interval, mean_interval_over_seeds
from common.training.comparison import Training

#: One trained run by (recipe, seed).
Results = Mapping[tuple[str, int], Result]
_COLUMNS = ("recipe", "before", "after", "gain", "held-out combinations", "closed", "flat groups, %", "alarms")


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


def _table(summary: Mapping[str, Any]) -> tuple[str, tuple[str, ...], list[tuple[Any, ...]], str]:
    title = f"Held-out {NAMES[summary['metric']]}, %, {len(summary['seeds'])} seeds"
    return title, _COLUMNS, _rows(summary), ""


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


TRAINING = Training("apps.medvqa", MedVqaConfig, train_one, show, summarise, write_comparison_report, _table)
