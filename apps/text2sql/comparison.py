"""Several recipes and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.train import Result, train_one
from apps.text2sql.training_report import gain, show
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


def summarise(results: Results) -> dict[str, Any]:
    """Gains in execution accuracy (shares of 1): mean over seeds, all and by language, and differences of recipes.

    The interval over seeds is Student's t on the seeds' means, so one seed gives no interval.
    """
    recipes, seeds = recipes_and_seeds(results)
    languages = next(iter(results.values())).after.languages
    summary: dict[str, Any] = {"seeds": seeds, "recipes": {}}
    for recipe in recipes:
        own = [results[recipe, seed] for seed in seeds]
        summary["recipes"][recipe] = {
            "before": over_seeds([result.before.accuracy().mean for result in own]),
            "after": over_seeds([result.after.accuracy().mean for result in own]),
            "gain": over_seeds([gain(result) for result in own]),
            "seeds": {str(seed): gain(result) for seed, result in zip(seeds, own, strict=True)},
            "languages": {name: over_seeds([gain(result, name) for result in own]) for name in languages},
            "alarms": alarm_kinds({seed: results[recipe, seed].run for seed in seeds}),
        }
    gains = {recipe: list(found["seeds"].values()) for recipe, found in summary["recipes"].items()}
    summary["differences"] = differences(gains)
    return summary


def _table(summary: Mapping[str, Any]) -> tuple[str, tuple[str, ...], list[tuple[Any, ...]], str]:
    columns = ("recipe", "before", "after", "gain", "least gain of a language", "alarms")
    return f"Held-out execution accuracy, {len(summary['seeds'])} seeds", columns, _rows(summary), ""


def _rows(summary: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows = []
    for recipe, found in summary["recipes"].items():
        worst = min(found["languages"], key=lambda name: found["languages"][name]["mean"])
        rows.append(
            (
                recipe,
                Interval.from_dict(found["before"]).text(100, 1),
                Interval.from_dict(found["after"]).text(100, 1),
                Interval.from_dict(found["gain"]).text(100, 1),
                f"{worst} {100 * found['languages'][worst]['mean']:+.1f}",
                len(found["alarms"]),
            )
        )
    return rows


def write_comparison_report(results: Results, summary: Mapping[str, Any], folder: Path) -> Path:
    """The page of a comparison: table, gain by language, learning curves of every run."""
    from common.plots import bars, lines
    from common.report import Report

    recipes = summary["recipes"]
    languages = list(next(iter(recipes.values()))["languages"])
    report = Report("Text-to-SQL: rewards compared", f"seeds {', '.join(map(str, summary['seeds']))}")
    report.section("Result")
    report.table(
        ("recipe", "before %", "after %", "gain in points", "least gain of a language", "alarms"),
        _rows(summary),
        "Held-out execution accuracy (greedy, strict). Brackets: 95 % Student interval over seeds.",
    )
    for name, value in summary["differences"].items():
        report.text(f"Gain of **{name}**: {Interval.from_dict(value).text(100, 1)} points.")
    series = {
        recipe: [Interval.from_dict(found["languages"][name]) for name in languages]
        for recipe, found in recipes.items()
    }
    report.section("By language")
    report.figure(bars(languages, series, "gain in points", 100), "Gain in held-out execution accuracy, by language")
    report.section("Learning curves")
    curves = {
        recipe: [
            curve(result.run, "execution_accuracy", result.before.accuracy().mean)
            for (name, _), result in results.items()
            if name == recipe
        ]
        for recipe in recipes
    }
    report.figure(lines(curves, "step", "held-out execution accuracy, %"), "During GRPO; one line a seed")
    add_alarms(report, results)
    return report.save(folder / "report.html")


TRAINING = Training("apps.text2sql", Text2SqlConfig, train_one, show, summarise, write_comparison_report, _table)
