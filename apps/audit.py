"""`audit`: assays every application's every reward, or one that is not the suite's, and shows them side by side."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from apps.suite import APPS
from common import ui
from common.assays import Assay, Overview, Request
from common.config import nearest
from common.errors import DataError, TouchstoneError, UsageError
from common.files import read_json, write_json

log = logging.getLogger(__name__)

#: Of a file that is kept: another version of it is assayed anew.
FORMAT = 1


@dataclass(frozen=True)
class Part:
    """What was found of one application.

    Attributes:
        app: its name.
        settings: what was asked for; a file with other settings is not taken for this one.
        assays: by reward.
        notes: what was left out, and why.
        failed: why nothing was found; empty where something was.
        seconds: that it took.
    """

    app: str
    settings: Mapping[str, Any]
    assays: Sequence[Assay] = ()
    notes: Sequence[str] = ()
    failed: str = ""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {
            "app": self.app,
            "settings": dict(self.settings),
            "assays": [one.to_dict() for one in self.assays],
            "notes": list(self.notes),
            "failed": self.failed,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Wanted:
    """What is assayed.

    Attributes:
        apps: on whose rows.
        rewards: names of the suite's rewards; None for all of an application's.
        rows: reference rows; None for each application's own number.
        seed: of what is drawn.
        own: rewards that are not the suite's, as `apps.foreign.borrow` takes them.
        columns: names of columns for these.
        bounds: of these.
        style: of completions for these.
        conversational: hand completions over to these as chat messages.
    """

    apps: Sequence[str]
    rewards: Sequence[str] | None = None
    rows: int | None = None
    seed: int = 0
    own: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    bounds: Sequence[float] | None = None
    style: str = ""
    conversational: bool = False

    def names(self, app: str) -> list[str]:
        """The suite's rewards that are assayed on an application's rows."""
        known = list(_room(app).NAMES)
        if self.rewards is None:
            return [] if self.own else known
        return [name for name in known if name in self.rewards]

    def settings(self, app: str) -> dict[str, Any]:
        """What a kept file must have been made with."""
        from common.training.run import git_commit

        return {
            "format": FORMAT,
            "rewards": self.names(app),
            "rows": self.rows or _room(app).ROWS,
            "seed": self.seed,
            "own": list(self.own),
            "columns": dict(self.columns),
            "bounds": list(self.bounds or ()),
            "style": self.style,
            "conversational": self.conversational,
            "commit": git_commit(),
        }


def run_audit(
    apps: str | None = None,
    rewards: str | None = None,
    rows: int | None = None,
    reward: Sequence[str] | None = None,
    app: str | None = None,
    columns: str | None = None,
    bounds: Sequence[float] | None = None,
    style: str = "",
    conversational: bool = False,
    seed: int = 0,
    out: str | None = None,
    fresh: bool = False,
    json_output: bool = False,
) -> int:
    """Write `audit.json`, `report.html`, `audit.png` and a file for each application; exit code 1 if one failed.

    Args:
        apps: comma-separated; all where not given.
        rewards: comma-separated names of the suite's rewards; all where not given, none where `reward` is.
        rows: reference rows of each application, as its own `audit` counts them.
        reward: rewards that are not the suite's; see `apps.foreign.borrow`.
        app: on whose rows these are assayed.
        columns: comma-separated `name=column`: what these call a column of the application.
        bounds: least and greatest value of these; found out where not given.
        style: of completions for these, of the application's `reward.style`.
        conversational: hand completions over to these as chat messages.
        seed: of what is drawn.
        out: folder; `runs/audit` where not given, `runs/audit-own` with `reward`.
        fresh: assay applications anew that were finished before.
        json_output: print JSON instead of tables.

    Raises:
        UsageError: no such application or reward, or `reward` and `app` without each other.
    """
    wanted = _wanted(apps, rewards, rows, reward or (), app, columns, bounds, style, conversational, seed)
    folder = Path(out or ("runs/audit-own" if wanted.own else "runs/audit"))
    parts = [_kept_or_made(wanted, name, folder, fresh, json_output) for name in wanted.apps]
    from apps.audit_page import picture, print_parts, write_page

    write_json(folder / "audit.json", [part.to_dict() for part in parts])
    if any(part.assays for part in parts):
        picture(parts).savefig(folder / "audit.png", dpi=120, facecolor="white")
    page = write_page(parts, folder / "report.html")
    if json_output:
        ui.print_json([part.to_dict() for part in parts])
    else:
        print_parts(parts)
        ui.say(f"report: {page}")
    return int(any(part.failed for part in parts))


def _wanted(
    apps: str | None,
    rewards: str | None,
    rows: int | None,
    own: Sequence[str],
    app: str | None,
    columns: str | None,
    bounds: Sequence[float] | None,
    style: str,
    conversational: bool,
    seed: int,
) -> Wanted:
    if bool(own) != bool(app):
        raise UsageError(
            "--reward REWARD and --app APP go together: whose rows and mutations is the reward assayed on? "
            f"{', '.join(APPS)}"
        )
    if rows is not None and rows < 2:
        raise UsageError(f"--rows {rows}: an audit needs two reference rows or more")
    if bounds and not bounds[0] < bounds[1]:
        raise UsageError(f"--bounds {bounds[0]:g} {bounds[1]:g}: the least value comes first")
    chosen = [app] if app else _listed(apps) or list(APPS)
    for name in chosen:
        if name not in APPS:
            raise UsageError(f"no application {name!r}{nearest(name, list(APPS))}")
    named = _listed(rewards)
    known = [name for one in chosen for name in _room(one).NAMES]
    for name in named:
        if name not in known:
            raise UsageError(f"no reward {name!r} in {', '.join(chosen)}{nearest(name, known)}")
    chosen = [one for one in chosen if own or not named or set(named) & set(_room(one).NAMES)]
    pairs = [pair.partition("=") for pair in _listed(columns)]
    for name, equals, column in pairs:
        if not (name and equals and column):
            raise UsageError(f"--columns {columns!r}: give name=column, such as answer=gold")
    return Wanted(
        chosen,
        named or None,
        rows,
        seed,
        tuple(own),
        {name: column for name, _, column in pairs},
        bounds,
        style,
        conversational,
    )


def _kept_or_made(wanted: Wanted, app: str, folder: Path, fresh: bool, quiet: bool) -> Part:
    """What an earlier, interrupted call found of an application, or what is found now; kept where it did not fail."""
    file, settings = folder / f"{app}.json", wanted.settings(app)
    # What stands behind the name of somebody's own reward may have changed since.
    if not (fresh or wanted.own) and file.is_file():
        part = read_part(file)
        if part.settings == settings and not part.failed:
            ui.say(f"{app}: kept from {file}; --fresh assays it anew")
            return part
    part = assay_app(wanted, app, settings, quiet)
    if part.failed:
        ui.warn(f"{app} failed: {part.failed}")
    else:
        write_json(file, part.to_dict())
    return part


def assay_app(wanted: Wanted, app: str, settings: Mapping[str, Any], quiet: bool = False) -> Part:
    """Assay one application's rewards; whatever breaks in it, the others are still worth having.

    Raises:
        TouchstoneError: where one reward alone was asked for, and it is at fault.
    """
    began = perf_counter()
    try:
        found = _assayed(wanted, app, settings, quiet)
    except TouchstoneError as error:
        if wanted.own:
            raise
        return Part(app, settings, failed=str(error), seconds=perf_counter() - began)
    except Exception as error:  # an application may break in any way
        log.warning("the audit of %s broke", app, exc_info=True)
        return Part(app, settings, failed=f"{type(error).__name__}: {error}", seconds=perf_counter() - began)
    return Part(app, settings, found.assays, found.notes, seconds=perf_counter() - began)


def _assayed(wanted: Wanted, app: str, settings: Mapping[str, Any], quiet: bool) -> Overview:
    room = _room(app)
    request = Request(wanted.names(app), settings["rows"], wanted.seed, style=wanted.style, quiet=quiet)
    assays: Callable[[Request], Overview] = room.assays
    if not wanted.own:
        return assays(request)
    from dataclasses import replace

    from apps.foreign import borrow, within_range

    names = {**room.COLUMNS, **{name: room.COLUMNS.get(column, column) for name, column in wanted.columns.items()}}
    rewards = {
        _short(spec): borrow(spec, app, names, wanted.bounds, wanted.conversational, room.KEY) for spec in wanted.own
    }
    return within_range(list(rewards.values()), lambda: assays(replace(request, own=rewards)))


def read_part(file: Path) -> Part:
    """What an earlier call kept.

    Raises:
        DataError: it is something else.
    """
    content = read_json(file)
    try:
        assays = [Assay.from_dict(one) for one in content["assays"]]
        return Part(
            content["app"], content["settings"], assays, content["notes"], content["failed"], content["seconds"]
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"no part of an audit ({error!r}); delete it, or give --fresh", path=file) from error


def _short(spec: str) -> str:
    """A reward as tables call it."""
    if spec.startswith(("http://", "https://")):
        return spec.partition("://")[2]
    return Path(spec).stem if spec.endswith((".yaml", ".yml")) else spec.rpartition(":")[2]


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _room(app: str) -> Any:
    return importlib.import_module(f"apps.{app}.overview")
