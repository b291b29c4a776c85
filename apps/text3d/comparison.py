"""Several recipes and seeds in one command: each a run of its own on the same prompts, one table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from apps.text3d.config import Text3dConfig
from apps.text3d.train import FIGURES, Made, Result, train_one
from common import ui
from common.errors import UsageError
from common.files import write_json
from common.schedule import read_schedule
from common.stats import Interval, bootstrap, paired_bootstrap

Results = Mapping[tuple[str, int], Result]
#: Every guidance that has a weight, as `guidance.…` names it.
TERMS = ("sds.weight", "clip.weight", "vlm.semantic", "vlm.spatial", "vlm.consistency", "analytic", "own.weight")

RECIPES: dict[str, tuple[str, ...]] = {
    "sds": ("sds.weight",),
    "sds-clip": ("sds.weight", "clip.weight"),
    "sds-vlm-semantic": ("sds.weight", "vlm.semantic"),
    "sds-vlm": ("sds.weight", "vlm.semantic", "vlm.spatial"),
    "clip": ("clip.weight",),
    "vlm": ("vlm.semantic", "vlm.spatial"),
    "analytic": ("analytic",),
    "own": ("own.weight",),
}


def with_recipe(config: Text3dConfig, recipe: str) -> Text3dConfig:
    """The settings with a recipe's guidances alone.

    Raises:
        UsageError: there is no such recipe, or a guidance of it has no weight to take.
    """
    if recipe not in RECIPES:
        raise UsageError(f"comparison.recipes: there is no {recipe!r}; choose from {', '.join(RECIPES)}")
    own = deepcopy(config)
    for term in TERMS:
        block, _, name = term.rpartition(".")
        holder = getattr(own.guidance, block) if block else own.guidance
        if term not in RECIPES[recipe]:
            setattr(holder, name, 0.0)
        elif not any(read_schedule(getattr(holder, name), f"guidance.{term}").bounds):
            raise UsageError(f"the recipe {recipe!r} needs guidance.{term}, whose weight is 0 in the settings")
    return own


def check(config: Text3dConfig) -> None:
    """Refuse a comparison that would stop halfway.

    Raises:
        UsageError: an unknown recipe, or one whose guidance has no weight.
    """
    for recipe in config.comparison.recipes:
        with_recipe(config, recipe)


def run_comparison(config: Text3dConfig, folder: Path, json_output: bool) -> int:
    """Train every recipe with every seed; what is done already is only read."""
    from apps.text3d.guidance.build import Models

    models = Models()
    results = {
        (recipe, seed): _one(config, folder, recipe, seed, models)
        for seed in config.comparison.seeds or [config.seed]
        for recipe in config.comparison.recipes or [""]
    }
    summary = summarise(results)
    write_json(folder / "comparison.json", summary)
    write_comparison_report(results, summary, folder)
    if json_output:
        ui.print_json(summary)
        return 0
    ui.table("Recipes compared", ("recipe", *(f"{name}, %" for name in FIGURES)), rows(summary), caption(summary))
    ui.say(f"report: {folder / 'report.html'}")
    return 0


def _one(config: Text3dConfig, folder: Path, recipe: str, seed: int, models: Any) -> Result:
    own = with_recipe(config, recipe) if recipe else deepcopy(config)
    own.seed, own.runs = seed, str(folder)
    own.comparison.recipes, own.comparison.seeds = [], []
    name = f"{recipe or 'run'}-seed{seed}"
    ui.say(f"{recipe or 'the settings'}, seed {seed}")
    begun = folder / name if (folder / name / "run.json").is_file() else None
    return train_one(own, name, begun, f"python -m apps.text3d train --resume {folder}", models)


def summarise(results: Results) -> dict[str, Any]:
    """Each recipe's shares of right facts, and its paired difference from the first recipe.

    Intervals are of a bootstrap over prompts: the seeds of a prompt are drawn together, as they share what makes it
    hard. A prompt that asks nothing of a sort does not count there.
    """
    recipes = list(dict.fromkeys(recipe for recipe, _ in results))
    seeds = list(dict.fromkeys(seed for _, seed in results))
    table = {recipe: [results[recipe, seed].scenes for seed in seeds] for recipe in recipes}
    first = {name: _by_prompt(table[recipes[0]], name) for name in FIGURES}
    summary: dict[str, Any] = {"seeds": seeds, "prompts": len(table[recipes[0]][0]), "recipes": {}}
    for recipe in recipes:
        shares = {name: _by_prompt(table[recipe], name) for name in FIGURES}
        summary["recipes"][recipe or "run"] = {
            "right": {name: bootstrap(values).to_dict() for name, values in shares.items()},
            "difference": {name: paired_bootstrap(first[name], shares[name]).to_dict() for name in FIGURES},
            "seeds": {name: [_mean(scenes, name) for scenes in table[recipe]] for name in FIGURES},
        }
    return summary


def _by_prompt(runs: Sequence[Sequence[Made]], name: str) -> list[float]:
    """The mean over seeds for each prompt."""
    return [float(np.mean([made.share(name) for made in scenes])) for scenes in zip(*runs, strict=True)]


def _mean(scenes: Sequence[Made], name: str) -> float | None:
    values = [each for made in scenes if not np.isnan(each := made.share(name))]
    return float(np.mean(values)) if values else None


def rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """A row for each recipe: shares in % with their interval."""
    return [
        [recipe, *(Interval.from_dict(found["right"][name]).text(100, 1) for name in FIGURES)]
        for recipe, found in summary["recipes"].items()
    ]


def difference_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """The same of the differences from the first recipe, in points, with p."""
    told = []
    for recipe, found in list(summary["recipes"].items())[1:]:
        told.append([recipe, *(_difference(found["difference"][name]) for name in FIGURES)])
    return told


def _difference(test: Mapping[str, Any]) -> str:
    if test["p"] is None:
        return "–"
    return f"{Interval.from_dict(test['difference']).text(100, 1)}, p {test['p']:.3f}"


def caption(summary: Mapping[str, Any]) -> str:
    """What the figures are of."""
    seeds = ", ".join(map(str, summary["seeds"]))
    return (
        f"{summary['prompts']} prompts, seeds {seeds}; right by the field's geometry, which no guidance sees. "
        "Brackets: 95 % bootstrap interval over prompts"
    )


def write_comparison_report(results: Results, summary: Mapping[str, Any], folder: Path) -> Path:
    """The page: tables, a plot, and every prompt's scenes beside each other."""
    from apps.text3d.training_report import side_by_side
    from common.plots import bars
    from common.report import Report

    report = Report("Text-to-3D: recipes compared", f"seeds {', '.join(map(str, summary['seeds']))}")
    report.section("Result")
    report.table(("recipe", *(f"{name}, %" for name in FIGURES)), rows(summary), caption(summary))
    names = list(summary["recipes"])
    if len(names) > 1:
        words = f"Difference from {names[0]} in points, paired by prompt; p of no difference"
        report.table(("recipe", *FIGURES), difference_rows(summary), words)
    series = {
        recipe: [Interval.from_dict(found["right"][name]) for name in FIGURES]
        for recipe, found in summary["recipes"].items()
    }
    report.figure(bars(FIGURES, series, "right, %", 100), caption(summary))
    report.section("Scenes")
    for seed in summary["seeds"]:
        columns = {recipe or "run": result.scenes for (recipe, own), result in results.items() if own == seed}
        report.image(side_by_side(columns), f"seed {seed}: each prompt from its own side, a recipe to a column")
    return report.save(folder / "report.html")
