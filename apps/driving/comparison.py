"""Several recipes and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.driving.config import DrivingConfig
from apps.driving.measures.episodes import Episode
from apps.driving.measures.figures import figures
from apps.driving.train import Result, train_one
from common import ui
from common.files import write_json
from common.stats import Interval, mean_interval_over_seeds
from common.training.comparison import begin, run_all
from common.training.comparison import resume as go_on

#: One trained run by (recipe, seed).
Results = Mapping[tuple[str, int], Result]
#: Figures of the table: name, heading, factor.
SHOWN = (
    ("driving_score", "driving score", 1.0),
    ("route_completion", "route completion", 1.0),
    ("success_rate", "success, %", 100.0),
    ("collision_rate", "collisions, %", 100.0),
    ("average_speed", "km/h", 1.0),
)


def run_comparison(config: DrivingConfig, name: str | None, json_output: bool) -> int:
    """Train every recipe with every seed of `config.comparison`, then compare them on the same held-out routes."""
    return _finish(config, begin(config, config.runs, name), json_output)


def resume(folder: Path, json_output: bool) -> int:
    """Go on with an interrupted run or comparison, with the settings it was started with."""
    from apps.driving.training_report import show

    def one(config: DrivingConfig) -> int:
        show(train_one(config, resume=folder), json_output)
        return 0

    return go_on(folder, DrivingConfig, lambda config: _finish(config, folder, json_output), one)


def _finish(config: DrivingConfig, folder: Path, json_output: bool) -> int:
    results = run_all(config, folder, "apps.driving", train_one)
    summary = summarise(results)
    write_json(folder / "comparison.json", summary)
    _write_report(results, summary, folder)
    if json_output:
        ui.print_json(summary)
    else:
        ui.table("Held-out routes", _columns(), _rows(summary), _caption(summary))
        ui.say(f"report: {folder / 'report.html'}")
    return 0


def summarise(results: Results) -> dict[str, Any]:
    """Every figure as mean over seeds with Student's interval; of the drivers beside them, which are not trained, the
    interval over routes.
    """
    recipes = list(dict.fromkeys(recipe for recipe, _ in results))
    seeds = list(dict.fromkeys(seed for _, seed in results))
    rows: dict[str, Any] = {}
    for recipe in recipes:
        own = [_figures(results[recipe, seed].trained.episodes) for seed in seeds]
        rows[recipe] = {
            name: mean_interval_over_seeds([one[name].mean for one in own]).to_dict() for name, _, _ in SHOWN
        } | {"seeds": {str(seed): one["driving_score"].mean for seed, one in zip(seeds, own, strict=True)}}
    first = next(iter(results.values()))
    beside = {one.name: {name: _figures(one.episodes)[name].to_dict() for name, _, _ in SHOWN} for one in first.beside}
    return {"seeds": seeds, "episodes": len(first.trained.episodes), "recipes": rows, "beside": beside}


def _figures(episodes: Sequence[Episode]) -> dict[str, Interval]:
    return figures(episodes)


def _columns() -> list[str]:
    return ["driver", *(heading for _, heading, _ in SHOWN)]


def _rows(summary: Mapping[str, Any]) -> list[list[Any]]:
    found = {**summary["recipes"], **summary["beside"]}
    return [
        [name, *(Interval.from_dict(dict(row[key])).text(factor, 1 if factor > 1 else 3) for key, _, factor in SHOWN)]
        for name, row in found.items()
    ]


def _caption(summary: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, summary["seeds"]))
    return (
        f"{summary['episodes']} held-out episodes a run, embedded simulator; seeds {seeds}. Brackets: 95 % Student "
        f"interval over seeds; of {' and '.join(summary['beside'])}, which are not trained, over routes."
    )


def _write_report(results: Results, summary: Mapping[str, Any], folder: Path) -> Path:
    """The page of a comparison: the table, and every run's curve."""
    from common.plots import lines
    from common.report import Report

    report = Report("Driving: rewards compared", f"seeds {', '.join(map(str, summary['seeds']))}")
    report.section("Result").table(_columns(), _rows(summary), _caption(summary))
    curves: dict[str, list[list[tuple[float, float]]]] = {}
    for (recipe, _), result in results.items():
        points = [
            (float(row["step"]), float(row["heldout/route_completion"]))
            for row in result.run.rows("control")
            if row.get("heldout/route_completion") is not None
        ]
        if points:
            curves.setdefault(recipe, []).append(points)
    if curves:
        report.section("Learning").figure(lines(curves, "steps", "held-out route completion"), "A line a seed.")
    return report.save(folder / "report.html")
