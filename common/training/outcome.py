"""What every training run shows at its end: in the terminal alarms and places, in its report curves and samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import ui
from common.files import read_jsonl
from common.report import Change, Report
from common.training.run import Run

#: Samples of a section, at most.
SHOWN = 12


def plain(changes: Sequence[Change]) -> dict[str, Any]:
    """Rows of a before/after table for JSON, by their names."""
    return {
        row.name.strip(): {"before": row.before, "after": row.after, "difference": row.difference} for row in changes
    }


def print_json(run: Run, changes: Mapping[str, Any], **more: Any) -> None:
    """Print what a run came to as JSON: its folder, the changes and more, alarms, report."""
    report = str(run.folder / "report.html")
    ui.print_json({"run": str(run.folder), "changes": changes, **more, "alarms": run.alarms(), "report": report})


def print_places(run: Run) -> None:
    """Print the alarms of a run, and where its model and its report are."""
    for line in alarms(run):
        ui.warn(line)
    ui.say(f"model:  {run.folder / 'model'}")
    ui.say(f"report: {run.folder / 'report.html'}")


def rewarded(run: Run) -> str:
    """What a run was rewarded by: its recipe, or the reward in its place."""
    reward = run.config["reward"]
    return str((reward.get("own") or {}).get("name", reward["recipe"]))


def alarms(run: Run) -> list[str]:
    """A line for each alarm of a run."""
    return [f"{alarm['stage']} step {alarm['step']}: {alarm['message']}" for alarm in run.alarms()]


def add_curves(report: Report, run: Run, stage: str, title: str, labels: Mapping[str, str]) -> None:
    """Add a stage's curves as a section: those of `labels`, by their fields of the log, that have numbers."""
    from common.plots import curves

    rows = run.rows(stage)
    found = {key: label for key, label in labels.items() if any(_number(row.get(key)) for row in rows)}
    if found:
        report.section(title).figure(curves(rows, found, smooth=9), "Faint: each step. Strong: running mean.")


def finish(report: Report, run: Run, stage: str, title: str) -> Path:
    """Add a stage's last samples under a title, then the settings; writes `report.html` into the run's folder."""
    files = sorted(run.samples.glob(f"{stage}-*.jsonl"))
    if files:
        report.section(title).samples([row for _, row in read_jsonl(files[-1])][:SHOWN])
    report.section("Settings").facts({**run.facts, **run.facts.get("versions", {})})
    return report.save(run.folder / "report.html")


def spread_out(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """At most `SHOWN` rows, from everywhere."""
    return list(rows[:: max(1, len(rows) // SHOWN)][:SHOWN])


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)
