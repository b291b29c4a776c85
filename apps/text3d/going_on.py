"""Going on with a run: its own settings, of which only how long it goes on may be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from common.config import load
from common.errors import UsageError

if TYPE_CHECKING:
    from common.training.run import Run

#: Settings that do not change the steps that were taken: those of a longer run are those of a shorter one.
LENGTH = ("optimise.steps", "optimise.minutes")


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
    kept = load(Text3dConfig, run.folder / "config.yaml")
    if not given:
        return kept
    wanted = load(Text3dConfig, run.folder / "config.yaml", given)
    before, after = dict(_flat(asdict(kept))), dict(_flat(asdict(wanted)))
    changed = {key: (before.get(key), after.get(key)) for key in before | after if before.get(key) != after.get(key)}
    if others := [key for key in changed if key not in LENGTH]:
        told = ", ".join(f"{key} ({changed[key][0]!r} there, {changed[key][1]!r} now)" for key in others)
        raise UsageError(
            f"{run.folder} cannot be gone on with otherwise than it began: {told}. Only {' and '.join(LENGTH)} may "
            "be changed; leave the rest away, or begin a new run"
        )
    if wanted.optimise.steps < taken:
        raise UsageError(
            f"optimise.steps {wanted.optimise.steps}: {run.folder} has taken {taken}; give {taken} to end it there, "
            "or more"
        )
    if changed:
        run.change(wanted, **changed)
    return wanted


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
