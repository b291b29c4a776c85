"""Several recipes and seeds in one command: each a run of its own, one table with intervals over seeds at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.driving.config import DrivingConfig
from apps.driving.measures.figures import figures
from apps.driving.train import Result, train_one
from apps.driving.training_report import show
from common.stats import Interval, mean_interval_over_seeds
from common.training.comparison import Training

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


def summarise(results: Results) -> dict[str, Any]:
    """Every figure as mean over seeds with Student's interval.

    With one seed, and of the drivers beside them, which are not trained, the interval is over routes.
    """
    recipes = list(dict.fromkeys(recipe for recipe, _ in results))
    seeds = list(dict.fromkeys(seed for _, seed in results))
    rows: dict[str, Any] = {}
    for recipe in recipes:
        own = [figures(results[recipe, seed].trained.episodes) for seed in seeds]
        rows[recipe] = {name: _over([one[name] for one in own]).to_dict() for name, _, _ in SHOWN} | {
            "seeds": {str(seed): one["driving_score"].mean for seed, one in zip(seeds, own, strict=True)}
        }
    first = next(iter(results.values()))
    beside = {one.name: {name: figures(one.episodes)[name].to_dict() for name, _, _ in SHOWN} for one in first.beside}
    return {"seeds": seeds, "episodes": len(first.trained.episodes), "recipes": rows, "beside": beside}


def _over(seeds: Sequence[Interval]) -> Interval:
    return seeds[0] if len(seeds) == 1 else mean_interval_over_seeds([one.mean for one in seeds])


def _columns() -> list[str]:
    return ["driver", *(heading for _, heading, _ in SHOWN)]


def _rows(summary: Mapping[str, Any]) -> list[list[Any]]:
    found = {**summary["recipes"], **summary["beside"]}
    return [
        [name, *(Interval.from_dict(dict(row[key])).text(factor, 1 if factor > 1 else 3) for key, _, factor in SHOWN)]
        for name, row in found.items()
    ]


def _caption(summary: Mapping[str, Any]) -> str:
    seeds, beside = summary["seeds"], " and ".join(summary["beside"])
    if len(seeds) == 1:
        brackets = (
            "Brackets: 95 % intervals over routes; how far another seed would be from this one, they do not tell"
        )
    else:
        brackets = f"Brackets: 95 % Student interval over seeds; of {beside}, which are not trained, over routes"
    named = ", ".join(map(str, seeds))
    return f"{summary['episodes']} held-out episodes a run, embedded simulator; seeds {named}. {brackets}."


def _table(summary: Mapping[str, Any]) -> tuple[str, list[str], list[list[Any]], str]:
    return "Held-out routes", _columns(), _rows(summary), _caption(summary)


def write_comparison_report(results: Results, summary: Mapping[str, Any], folder: Path) -> Path:
    """The page of a comparison: the table, and every run's curve."""
    from common.plots import lines
    from common.report import Report

    report = Report("Driving: rewards compared", f"seeds {', '.join(map(str, summary['seeds']))}")
    report.section("Result").table(*_table(summary)[1:])
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


TRAINING = Training("apps.driving", DrivingConfig, train_one, show, summarise, write_comparison_report, _table)
