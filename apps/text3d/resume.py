"""Going on with a run: its own settings, of which only how long it goes on may be changed, or who takes part in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from common.config import flat, load
from common.errors import UsageError

if TYPE_CHECKING:
    from common.training.run import Run

#: Settings that do not change the steps that were taken: those of a longer run are those of a shorter one.
LENGTH = ("optimise.steps", "optimise.minutes")
#: Settings of a comparison that add runs to it and leave those that it has as they are.
PARTS = ("comparison.recipes", "comparison.seeds")


def taken(run: Run, stage: str) -> int:
    """Steps that a run's newest checkpoint has."""
    from common.training.stage import newest_checkpoint

    newest = newest_checkpoint(run, stage)
    return 0 if newest is None else int(newest.stem.removeprefix("checkpoint-"))


def resumed(run: Run, given: Sequence[str], taken: int) -> Text3dConfig:
    """The run's settings, with the length that was asked for; what is changed is written into the run's folder.

    Args:
        run: to go on with.
        given: settings as they were typed, such as `["--optimise.steps=900"]`; see `common.cli.Verb.explicit`.
        taken: steps that its newest checkpoint has.

    Raises:
        UsageError: another setting than `LENGTH` is changed, or there are fewer steps than were taken.
    """
    wanted, changed = _asked(run.folder / "config.yaml", given, LENGTH)
    if wanted.optimise.steps < taken:
        raise UsageError(
            f"optimise.steps {wanted.optimise.steps}: {run.folder} has taken {taken}; give {taken} to end it there, "
            "or more"
        )
    if changed:
        run.change(wanted, **changed)
    return wanted


def widened(folder: Path, given: Sequence[str]) -> Text3dConfig:
    """A comparison's settings, with the recipes and seeds that were added, which are written into its folder.

    Args:
        folder: of the comparison.
        given: settings as they were typed; see `resumed`.

    Raises:
        UsageError: another setting than `PARTS` is changed, a recipe or seed that the comparison has is left out, or
            one that is new cannot run.
    """
    from apps.text3d.comparison import check
    from common.training.comparison import SETTINGS, keep

    wanted, changed = _asked(folder / SETTINGS, given, PARTS)
    implied: dict[str, list[Any]] = {"comparison.recipes": [""], "comparison.seeds": [wanted.seed]}
    for key, (before, after) in changed.items():
        if lost := [part for part in before or implied[key] if part not in after]:
            told = ", ".join(str(part) or "the settings without a recipe" for part in lost)
            raise UsageError(
                f"{key} {after}: {folder} has {told} too, and what it has stays; add to it, or begin a new comparison"
            )
    if changed:
        check(wanted)
        keep(wanted, folder)
    return wanted


def unchanged(folder: Path, given: Sequence[str]) -> Text3dConfig:
    """The settings of one training, where nothing may be changed.

    Raises:
        UsageError: something is.
    """
    return _asked(folder / "config.yaml", given, ())[0]


def _asked(file: Path, given: Sequence[str], free: Sequence[str]) -> tuple[Text3dConfig, dict[str, tuple[Any, Any]]]:
    """A file's settings with those that were typed, and what that changes: by dotted name, before and after.

    Raises:
        UsageError: a setting is changed that is not in `free`.
    """
    kept = load(Text3dConfig, file)
    if not given:
        return kept, {}
    wanted = load(Text3dConfig, file, given)
    before, after = dict(flat(asdict(kept))), dict(flat(asdict(wanted)))
    changed = {key: (before.get(key), after.get(key)) for key in before | after if before.get(key) != after.get(key)}
    if others := [key for key in changed if key not in free]:
        told = ", ".join(f"{key} ({changed[key][0]!r} there, {changed[key][1]!r} now)" for key in others)
        allowed = f"Only {' and '.join(free)} may be changed; leave the rest away" if free else "Leave that away"
        raise UsageError(
            f"{file.parent} cannot be gone on with otherwise than it began: {told}. {allowed}, or begin a new run"
        )
    return wanted, changed
