"""What every application's comparison of runs needs: a folder with the settings, and the way back into it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from common import ui
from common.config import load
from common.errors import UsageError
from common.files import write_text
from common.training.run import plain, set_threads

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
    import yaml

    folder = Path(runs) / (name or f"compare-{datetime.now():%Y%m%d-%H%M%S}")
    if (folder / SETTINGS).exists():
        raise UsageError(f"{folder}: there is such a comparison; go on with --resume {folder}, or choose another name")
    write_text(folder / SETTINGS, yaml.safe_dump(plain(asdict(config)), sort_keys=False, allow_unicode=True))
    return folder


def run_all(
    config: ConfigT, folder: Path, app: str, train: Callable[[ConfigT, str, Path | None, str], ResultT]
) -> dict[tuple[str, int], ResultT]:
    """Train every recipe with every seed of `config.comparison`; what is done already is only loaded.

    Args:
        config: the application's settings, with `comparison`, `reward.recipe`, `seed` and `runs`.
        folder: of the comparison.
        app: the application's module, for the command that goes on.
        train: trains one run: its settings, its name, its folder where it was begun before, the command to go on.

    Returns:
        The results by (recipe, seed).
    """
    results: dict[tuple[str, int], ResultT] = {}
    for recipe in config.comparison.recipes or [config.reward.recipe]:
        for seed in config.comparison.seeds or [config.seed]:
            own = deepcopy(config)
            own.reward.recipe, own.seed, own.runs = recipe, seed, str(folder)
            own.comparison.recipes, own.comparison.seeds = [], []
            name = f"{recipe}-seed{seed}"
            ui.say(f"{recipe}, seed {seed}")
            started = folder / name
            begun = started if (started / "run.json").is_file() else None
            results[recipe, seed] = train(own, name, begun, f"python -m {app} train --resume {folder}")
    return results


def resume(
    folder: Path, kind: type[ConfigT], comparison: Callable[[ConfigT], int], one: Callable[[ConfigT], int]
) -> int:
    """Go on with an interrupted run or comparison, with the settings and the threads that it was started with.

    Args:
        folder: of the run, or of the comparison.
        kind: the application's config dataclass.
        comparison: takes a comparison to its end.
        one: takes a run to its end.

    Raises:
        UsageError: the folder is neither.
    """
    whole = (folder / SETTINGS).is_file()
    if not whole and not (folder / "config.yaml").is_file():
        raise UsageError(f"{folder}: no run to go on with (it holds no config.yaml)")
    config = load(kind, folder / (SETTINGS if whole else "config.yaml"))
    set_threads(config.threads)
    return comparison(config) if whole else one(config)
