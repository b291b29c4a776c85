"""What every application's comparison of runs needs: a folder with the settings, and the way back into it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from common import ui
from common.config import load
from common.errors import UsageError
from common.files import write_json, write_text
from common.stats import mean_interval_over_seeds
from common.training.run import Run, plain, set_threads

if TYPE_CHECKING:
    from common.report import Report

SETTINGS = "comparison.yaml"

ConfigT = TypeVar("ConfigT", bound=Any)
ResultT = TypeVar("ResultT")


def begin(config: Any, runs: str, name: str | None) -> Path:
    """Make the folder of a comparison, with its settings; one run of it after another goes in there.

    Args:
        config: the application's config dataclass.
        runs: folder of the run folders.
        name: of the comparison; date and time where not given.

    Raises:
        UsageError: there is such a comparison already.
    """
    folder = Path(runs) / (name or f"compare-{datetime.now():%Y%m%d-%H%M%S}")
    if (folder / SETTINGS).exists():
        raise UsageError(f"{folder}: there is such a comparison; go on with --resume {folder}, or choose another name")
    keep(config, folder)
    return folder


def keep(config: Any, folder: Path) -> None:
    """Write a comparison's settings into its folder, in place of those that were there."""
    import yaml

    write_text(folder / SETTINGS, yaml.safe_dump(plain(asdict(config)), sort_keys=False, allow_unicode=True))


def run_all(
    config: ConfigT, folder: Path, app: str, train: Callable[[ConfigT, str, Path | None, str], ResultT]
) -> dict[tuple[str, int], ResultT]:
    """Train every recipe with every seed of `config.comparison`; what is done already is only loaded.

    Args:
        config: the application's settings, with `comparison`, `reward.recipe` and `.title`, `seed` and `runs`.
        folder: of the comparison.
        app: the application's module, for the command that goes on.
        train: trains one run: its settings, its name, its folder where it was begun before, the command to go on.

    Returns:
        The results by (recipe, seed).
    """
    results: dict[tuple[str, int], ResultT] = {}
    for recipe in config.comparison.recipes or [config.reward.title]:
        for seed in config.comparison.seeds or [config.seed]:
            own = deepcopy(config)
            own.seed, own.runs = seed, str(folder)
            if config.comparison.recipes:
                own.reward.recipe = recipe
            own.comparison.recipes, own.comparison.seeds = [], []
            # A reward of the user's own is called package.module:thing.
            name = f"{recipe}-seed{seed}".replace(":", ".")
            ui.say(f"{recipe}, seed {seed}")
            started = folder / name
            begun = started if (started / "run.json").is_file() else None
            results[recipe, seed] = train(
                own, name, begun, f"python -m {app} train --resume {shlex.quote(str(folder))}"
            )
    return results


def reopen(folder: Path, kind: type[ConfigT]) -> tuple[ConfigT, bool]:
    """The settings that an interrupted run was started with, and whether it is a comparison; its threads are set.

    Raises:
        UsageError: the folder is neither.
    """
    whole = (folder / SETTINGS).is_file()
    if not whole and not (folder / "config.yaml").is_file():
        raise UsageError(f"{folder}: no run to go on with (it holds no config.yaml)")
    config = load(kind, folder / (SETTINGS if whole else "config.yaml"))
    set_threads(config.threads)
    return config, whole


def recipes_and_seeds(results: Mapping[tuple[str, int], Any]) -> tuple[list[str], list[int]]:
    """The recipes and the seeds of a comparison, in the order they were trained in."""
    return list(dict.fromkeys(recipe for recipe, _ in results)), list(dict.fromkeys(seed for _, seed in results))


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean and Student's t interval over seeds as plain values; one seed gives no interval."""
    return mean_interval_over_seeds(values).to_dict()


def differences(gains: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """How much more the first recipe gained than each other one: means over seeds, of recipes' gains by seed."""
    first, *others = gains
    return {
        f"{first} - {other}": over_seeds([a - b for a, b in zip(gains[first], gains[other], strict=True)])
        for other in others
    }


def alarm_kinds(runs: Mapping[int, Run]) -> list[str]:
    """A line for each alarm of one recipe's runs, by seed."""
    return [f"seed {seed}: {alarm['kind']}" for seed, run in runs.items() for alarm in run.alarms()]


def add_alarms(report: Report, results: Mapping[tuple[str, int], Any]) -> None:
    """Add every run's alarms to a comparison's page."""
    for (recipe, seed), result in results.items():
        for alarm in result.run.alarms():
            report.alarm(f"{recipe or 'run'}, seed {seed}: {alarm['message']}")


def curve(run: Run, figure: str, start: float) -> list[tuple[float, float]]:
    """A held-out figure in % over the steps of `grpo`, from before training (`start`, a share) to its end."""
    key = f"heldout/{figure}"
    return [(0.0, 100 * start), *((float(row["step"]), 100 * row[key]) for row in run.rows("grpo") if key in row)]


@dataclass(frozen=True)
class Training(Generic[ConfigT, ResultT]):
    """An application's `train`: one run, or every recipe and seed of `config.comparison`, begun or gone on with.

    Attributes:
        app: the application's module, for the command that goes on.
        kind: its config dataclass.
        train: takes one run to its end: settings, name, folder where it was begun before, the command to go on.
        show: prints what one run came to, or the same as JSON.
        summarise: plain figures of all runs, by (recipe, seed).
        report: writes the comparison's `report.html` into its folder.
        table: of the summary: title, columns, rows, caption.
    """

    app: str
    kind: type[ConfigT]
    train: Callable[..., ResultT]
    show: Callable[[ResultT, bool], None]
    summarise: Callable[[Mapping[tuple[str, int], ResultT]], dict[str, Any]]
    report: Callable[[Mapping[tuple[str, int], ResultT], Mapping[str, Any], Path], Any]
    table: Callable[[Mapping[str, Any]], tuple[str, Sequence[str], Iterable[Sequence[Any]], str]]

    def start(self, config: ConfigT, resume: str | None, name: str | None, json_output: bool) -> int:
        """What `train` does with its options, but for `--dry_run`."""
        set_threads(config.threads)
        if resume is not None:
            return self.resume(Path(resume), json_output)
        if config.comparison.recipes or config.comparison.seeds:
            return self._compare(config, begin(config, config.runs, name), json_output)
        self.show(self.train(config, name), json_output)
        return 0

    def resume(self, folder: Path, json_output: bool) -> int:
        """Go on with an interrupted run or comparison, with the settings and the threads that it was started with.

        Raises:
            UsageError: the folder is neither.
        """
        config, whole = reopen(folder, self.kind)
        if whole:
            return self._compare(config, folder, json_output)
        self.show(self.train(config, resume=folder), json_output)
        return 0

    def _compare(self, config: ConfigT, folder: Path, json_output: bool) -> int:
        results = run_all(config, folder, self.app, self.train)
        summary = self.summarise(results)
        write_json(folder / "comparison.json", summary)
        self.report(results, summary, folder)
        if json_output:
            ui.print_json(summary)
        else:
            title, columns, rows, caption = self.table(summary)
            ui.table(title, columns, rows, caption)
            ui.say(f"report: {folder / 'report.html'}")
        return 0
