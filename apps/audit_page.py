"""Shows an audit across applications: tables in the terminal, a picture of rewards by tests, and a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ui
from common.assays import TESTS, Assay
from common.rewards.audit.report import folded, percent
from common.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from apps.audit import Part
    from common.report import Report

TITLE = "Rewards and what they see"
HEADERS = ("reward", *TESTS, "ms a row", "flags")
#: Flags of one reward that a terminal shows.
SHOWN = 3


def print_parts(parts: Sequence[Part]) -> None:
    """A table for each application, in per cent, and what should be looked into."""
    for part in parts:
        if part.failed:
            continue
        rows = [(one.name, *map(percent, one.tests.values()), _cost(one), len(one.flags)) for one in part.assays]
        ui.table(f"{part.app}, %", HEADERS, rows, f"{_rows(part)} rows, {part.seconds:.0f} s")
        for note in part.notes:
            ui.say(f"{part.app}: {note}")
        if part.settings.get("own"):
            for one in part.assays:
                for flag in one.flags[: SHOWN if len(part.assays) > 1 else None]:
                    ui.warn(f"{one.name}: {flag}")


def picture(parts: Sequence[Part]) -> Figure:
    """Rewards down, tests across; blue passes, amber fails."""
    from common.heat_map import Line, heat_map

    found = [(part.app, one) for part in parts for one in part.assays]
    lines = [Line(app, one.name, list(one.tests.values())) for app, one in found]
    return heat_map(lines, [folded(name) for name in TESTS], ends=False)


def write_page(parts: Sequence[Part], path: Path) -> Path:
    """The page: the picture, and for each application its rewards, operators and flags."""
    from common.report import Report

    rewards = sum(len(part.assays) for part in parts)
    report = Report(TITLE, f"{rewards} rewards of {len(parts)} applications, on pocket worlds: no benchmark results")
    for part in parts:
        if part.failed:
            report.alarm(f"{part.app} failed and is left out: {part.failed}")
    report.section("All rewards")
    if rewards:
        report.figure(picture(parts), "Per cent; blue passes, amber fails, a dash: the test says nothing here.")
    report.table(("test", "share"), TESTS.items())
    for part in parts:
        if part.assays:
            _add_part(report, part)
    return report.save(path)


def _add_part(report: Report, part: Part) -> None:
    from common.heat_map import Line, heat_map

    report.section(part.app).text(f"{_rows(part)} rows, {part.seconds:.0f} seconds.")
    for note in part.notes:
        report.text(f"* {note}")
    table = [(one.name, *(_text(value) for value in one.tests.values()), _cost(one)) for one in part.assays]
    report.table((*HEADERS[:-1],), table, "per cent [95 % interval]")
    names = [one.name for one in part.assays]
    lines = [
        *_lines("facts changed, % that score lower", [one.facts for one in part.assays]),
        *_lines("controls, % beaten", [one.controls for one in part.assays]),
    ]
    if lines:
        report.figure(heat_map([Line(*line) for line in lines], [folded(name) for name in names]))
    flagged = [(one.name, flag) for one in part.assays for flag in one.flags]
    if flagged:
        report.table(("reward", "to look into before training"), flagged)


def _lines(group: str, several: Sequence[Any]) -> list[tuple[str, str, list[Interval]]]:
    from common.assays import NONE

    operators = list(dict.fromkeys(name for one in several for name in one))
    return [(group, name, [one.get(name, NONE) for one in several]) for name in operators]


def _text(value: Interval) -> str:
    return value.text(100, 0) if value.n else "–"


def _cost(one: Assay) -> str:
    return "–" if math.isnan(one.milliseconds) else f"{one.milliseconds:.3g}"


def _rows(part: Part) -> str:
    return "/".join(sorted({str(one.rows) for one in part.assays})) or "0"
