"""Several recipes and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.train import Result, train_one
from apps.text2sql.training_report import gain, languages_of
from common import ui
from common.files import write_json
from common.stats import Interval, mean_interval_over_seeds
from common.training.comparison import begin, run_all
from common.training.comparison import resume as go_on

#: One trained run by (recipe, seed).
Results = Mapping[tuple[str, int], Result]


def run_comparison(config: Text2SqlConfig, name: str | None, json_output: bool) -> int:
    """Train every recipe with every seed of `config.comparison`, then compare them on the same held-out questions."""
    return _finish(config, begin(config, config.runs, name), json_output)


def resume(folder: Path, json_output: bool) -> int:
    """Go on with an interrupted run or comparison, with the settings it was started with."""
    from apps.text2sql.training_report import show

    def one(config: Text2SqlConfig) -> int:
        show(train_one(config, resume=folder), json_output)
        return 0

    return go_on(folder, Text2SqlConfig, lambda config: _finish(config, folder, json_output), one)


def _finish(config: Text2SqlConfig, folder: Path, json_output: bool) -> int:
    results = run_all(config, folder, "apps.text2sql", train_one)
    summary = summarise(results)
    write_json(folder / "comparison.json", summary)
    write_comparison_report(results, summary, folder)
    if json_output:
        ui.print_json(summary)
    else:
        _print(summary, folder)
    return 0


def summarise(results: Results) -> dict[str, Any]:
    """Gains in execution accuracy (shares of 1): mean over seeds, all and by language, and differences of recipes.

    The interval over seeds is Student's t on the seeds' means, so one seed gives no interval.
    """
    recipes = list(dict.fromkeys(recipe for recipe, _ in results))
    seeds = list(dict.fromkeys(seed for _, seed in results))
    languages = languages_of(next(iter(results.values())).after)
    summary: dict[str, Any] = {"seeds": seeds, "recipes": {}, "differences": {}}
    for recipe in recipes:
        own = [results[recipe, seed] for seed in seeds]
        summary["recipes"][recipe] = {
            "before": _over_seeds([result.before.accuracy().mean for result in own]),
            "after": _over_seeds([result.after.accuracy().mean for result in own]),
            "gain": _over_seeds([gain(result) for result in own]),
            "seeds": {str(seed): gain(result) for seed, result in zip(seeds, own, strict=True)},
            "languages": {name: _over_seeds([gain(result, name) for result in own]) for name in languages},
            "alarms": [
                f"seed {seed}: {alarm['kind']}" for seed, r in zip(seeds, own, strict=True) for alarm in r.run.alarms()
            ],
        }
    first = recipes[0]
    for other in recipes[1:]:
        gaps = [gain(results[first, seed]) - gain(results[other, seed]) for seed in seeds]
        summary["differences"][f"{first} - {other}"] = _over_seeds(gaps)
    return summary


def _over_seeds(values: list[float]) -> dict[str, Any]:
    return mean_interval_over_seeds(values).to_dict()


def _print(summary: Mapping[str, Any], folder: Path) -> None:
    columns = ("recipe", "before", "after", "gain", "least gain of a language", "alarms")
    ui.table(f"Held-out execution accuracy, {len(summary['seeds'])} seeds", columns, _rows(summary))
    ui.say(f"report: {folder / 'report.html'}")


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
        recipe: [_curve(result) for (name, _), result in results.items() if name == recipe] for recipe in recipes
    }
    report.figure(lines(curves, "step", "held-out execution accuracy, %"), "During GRPO; one line a seed")
    for (recipe, seed), result in results.items():
        for alarm in result.run.alarms():
            report.alarm(f"{recipe}, seed {seed}: {alarm['message']}")
    return report.save(folder / "report.html")


def _curve(result: Result) -> list[tuple[float, float]]:
    """Held-out accuracy over the steps, from before training to its end."""
    key = "heldout/execution_accuracy"
    start = (0.0, 100 * result.before.accuracy().mean)
    return [start, *((float(row["step"]), 100 * row[key]) for row in result.run.rows("grpo") if key in row)]
