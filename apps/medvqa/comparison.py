"""Several recipes and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.measures.evaluation import NAMES
from apps.medvqa.train import Result, train_one
from apps.medvqa.training_report import gain, show
from common.stats import Interval
from common.training.comparison import (
    Training,
    add_alarms,
    alarm_kinds,
    curve,
    differences,
    over_seeds,
    recipes_and_seeds,
)

#: One trained run by (recipe, seed).
Results = Mapping[tuple[str, int], Result]
_COLUMNS = ("recipe", "before", "after", "gain", "held-out combinations", "closed", "flat groups, %", "alarms")


def summarise(results: Results) -> dict[str, Any]:
    """The headline figure (shares of 1) and its gain: mean over seeds, and differences of recipes.

    The interval over seeds is Student's t on the seeds' means, so one seed gives no interval.
    """
    recipes, seeds = recipes_and_seeds(results)
    metric = next(iter(results.values())).after.headline
    summary: dict[str, Any] = {"metric": metric, "seeds": seeds, "recipes": {}}
    for recipe in recipes:
        own = [results[recipe, seed] for seed in seeds]
        held = [result.after.by("combination", metric).get("held-out") for result in own]
        flat = [_flat(result) for result in own]
        summary["recipes"][recipe] = {
            "before": over_seeds([result.before.metric(metric).mean for result in own]),
            "after": over_seeds([result.after.metric(metric).mean for result in own]),
            "gain": over_seeds([gain(result) for result in own]),
            "closed": over_seeds([result.after.metric("closed").mean for result in own]),
            "combinations": over_seeds([one.mean for one in held if one is not None]) if any(held) else None,
            "flat": over_seeds(flat),
            "seeds": {str(seed): gain(result) for seed, result in zip(seeds, own, strict=True)},
            "alarms": alarm_kinds({seed: results[recipe, seed].run for seed in seeds}),
        }
    gains = {recipe: list(found["seeds"].values()) for recipe, found in summary["recipes"].items()}
    summary["differences"] = differences(gains)
    return summary


def _flat(result: Result) -> float:
    """Mean share of groups without a gradient during GRPO: what a collapsed or saturated reward looks like."""
    shares = [float(row["groups/flat"]) for row in result.run.rows("grpo") if "groups/flat" in row]
    return sum(shares) / len(shares) if shares else 0.0


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
        recipe: [
            curve(result.run, metric, result.before.metric(metric).mean)
            for (name, _), result in results.items()
            if name == recipe
        ]
        for recipe in summary["recipes"]
    }
    report.section("Learning curves").figure(lines(curves, "step", f"{NAMES[metric]}, %"), "One line a seed")
    add_alarms(report, results)
    return report.save(folder / "report.html")


TRAINING = Training("apps.medvqa", MedVqaConfig, train_one, show, summarise, write_comparison_report, _table)
