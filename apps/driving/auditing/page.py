"""What an audit of driving rewards looks like: tables in the terminal, and a report with pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from apps.driving.auditing.assay import MARGIN
from common.assays import NONE
from common.heat_map import Line, heat_map
from common.rewards.audit.report import percent
from common.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from apps.driving.auditing.result import Cell, DrivingAudit, RewardAssay
    from apps.driving.config import DrivingConfig
    from common.report import Report

_OVERVIEW = (
    *("reward", "acts killed %", "edits killed %", "good > wrong", "rank with score"),
    *("pairs %", "scenes alike %", "steps alike %", "ms/step"),
)
_OVERVIEW_NOTE = (
    f"Killed: costs at least {MARGIN:.0%} of what good driving earns beyond standing still over the same time; good > "
    "wrong: chance that good driving earns more than a wrong act of any scene; rank: Spearman correlation of return "
    "and driving score over whole drives; pairs: two drives of one route that the return orders as the score does; "
    "scenes alike: good and wrong driving within 5 % of the range; steps alike: share of the most frequent value."
)
_HOW = (
    "Percent of trials, with 95 % Wilson intervals; n is their number. Where good driving earns no more than standing "
    "(no unit), any loss counts as a kill. *Played*: a puppet drives three seconds through the environment itself, "
    "which says what that comes to; an act that ends the episode earns nothing more, and what is lost after the three "
    "seconds is not counted. *Edited*: single transitions of good driving on the embedded simulator with one thing "
    "made wrong; the picture stays, so a reward that looks at nothing else cannot tell. Good driving keeps "
    "`env.target_speed`: a reward that was made for another speed is judged by this one."
)
Cells = Callable[["RewardAssay"], Mapping[str, "Cell"]]


def print_audit(found: DrivingAudit) -> None:
    """Tables for the terminal, then what to look into."""
    from common.ui import say, table, warn

    table(f"{_subtitle(found)}; configured: {found.configured}", _OVERVIEW, _overview(found, percent), _OVERVIEW_NOTE)
    for title, cells in _blocks():
        table(f"{title}, %", ["", "n", *_heads(found)], _rows(found, cells, lambda cell: percent(cell.killed)))
    for note in found.notes:
        say(note)
    for flag in found.rewards[found.configured].flags if found.configured in found.rewards else ():
        warn(f"{found.configured}: {flag}")


def write_report(found: DrivingAudit, config: DrivingConfig) -> Report:
    """The page: overview, the picture of kills, losses, agreement, flags and settings."""
    from common.report import Report

    report = Report(f"Audit of the driving reward {found.configured!r}", _subtitle(found))
    own = found.rewards.get(found.configured)
    for flag in own.flags if own is not None else ["the configured reward could not be made, see the notes"]:
        report.alarm(flag)
    if own is not None and not own.flags:
        report.text("Nothing was found that speaks against training with this reward.")
    report.section("Overview").table(_OVERVIEW, _overview(found, lambda value: value.text(100, 0))).text(
        _OVERVIEW_NOTE
    )
    if found.notes:
        report.text("\n".join(f"- {note}" for note in found.notes))
    report.section("Wrong ways to drive").text(_HOW)
    report.figure(kill_map(found), "Killed, %")
    for title, cells in _blocks():
        report.table(
            ["", "n", *found.rewards],
            _rows(found, cells, _loss),
            f"{title}: mean loss in units of what good driving earns beyond standing still (negative: it pays), and "
            "in brackets the percentage that cost anything",
        )
    drives = found.drives
    report.section("Whole drives").text(
        f"{len(drives.scores)} drives on {len(set(drives.routes))} routes by {len(set(drives.drivers))} drivers, from "
        "rule-based to random. A reward that ranks them as the driving score does can stand in for it."
    )
    report.figure(agreement_plot(found), "Undiscounted return against driving score; one point a drive")
    report.table(
        ("reward", "Spearman", "pairs of one route ordered rightly"),
        [[name, one.ranking.spearman, one.ranking.pairwise] for name, one in found.rewards.items()],
    )
    report.section("What to look into").text(
        "\n".join(f"- **{name}**: {flag}" for name, one in found.rewards.items() for flag in one.flags) or "Nothing."
    )
    report.section("Settings").facts(
        {
            "maps": ", ".join(found.maps),
            "scenes": found.scenes,
            "edited transitions": found.edited,
            "margin": MARGIN,
            "rules of ending": config.env.end,
            "clip": config.reward.clip.name,
            "picture": config.env.picture.kind,
            "seed": config.seed,
        }
    )
    return report


def kill_map(found: DrivingAudit, title: str = "") -> Figure:
    """Kill rates, rewards across and wrong behaviours down."""
    lines = []
    for block, cells in _blocks():
        several = [cells(one) for one in found.rewards.values()]
        lines += [
            Line(block, name, [one[name].killed if name in one else NONE for one in several]) for name in several[0]
        ]
    whole = list(found.rewards.values())
    lines.append(Line("all together", "played", [one.killed_acts for one in whole]))
    lines.append(Line("all together", "edited", [one.killed_edits for one in whole]))
    lines.append(Line("all together", "good > wrong, any scene", [one.ordering for one in whole]))
    return heat_map(lines, _heads(found), _head(found.configured), title)


def kill_title(found: DrivingAudit) -> str:
    """What the picture shows, for a picture that stands alone."""
    return (
        f"Wrong ways to drive that cost {MARGIN:.0%} or more of what good driving earns beyond standing still, % (95% "
        f"interval); {_subtitle(found)}"
    )


def agreement_plot(found: DrivingAudit) -> Figure:
    """Return against driving score, a panel for each reward."""
    from matplotlib.figure import Figure

    from common.plots import COLOURS, WIDTH

    across = min(len(found.rewards), 4)
    down = math.ceil(len(found.rewards) / across)
    figure = Figure(figsize=(WIDTH, 1.7 * down + 0.3), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for panel in panels[len(found.rewards) :]:
        panel.set_visible(False)
    for panel, (name, one) in zip(panels, found.rewards.items(), strict=False):
        panel.scatter(found.drives.scores, one.ranking.returns, s=9, color=COLOURS[2], alpha=0.7, linewidths=0)
        panel.set_title(f"{name}: {one.ranking.spearman.mean:.2f}", fontsize=8)
        panel.tick_params(labelsize=6)
        panel.set_xlim(-0.03, 1.03)
    figure.supxlabel("driving score", fontsize=8)
    figure.supylabel("return", fontsize=8)
    return figure


def _subtitle(found: DrivingAudit) -> str:
    return (
        f"{len(found.rewards)} rewards, {found.scenes} scenes and {len(found.drives.scores)} drives on "
        f"{', '.join(found.maps)}; embedded simulator, no CARLA figures"
    )


def _blocks() -> tuple[tuple[str, Cells], ...]:
    return (
        ("played through the environment", lambda one: one.acts),
        ("edited transitions", lambda one: one.edits),
    )


def _head(name: str) -> str:
    """A column's name on two lines, so that a dozen columns stand side by side."""
    places = [place for place, letter in enumerate(name) if letter == "_"]
    if len(name) < 9 or not places:
        return name
    middle = min(places, key=lambda place: abs(place - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"


def _heads(found: DrivingAudit) -> list[str]:
    return [_head(name) for name in found.rewards]


def _overview(found: DrivingAudit, digits: Callable[[Interval], str]) -> list[list[Any]]:
    return [
        [
            name,
            digits(one.killed_acts),
            digits(one.killed_edits),
            round(one.ordering.mean, 3),
            one.ranking.spearman.text(1, 2),
            digits(one.ranking.pairwise),
            digits(one.collapse),
            round(one.flat * 100),
            round(one.milliseconds, 4),
        ]
        for name, one in found.rewards.items()
    ]


def _rows(found: DrivingAudit, cells: Cells, show: Callable[[Cell], str]) -> list[list[Any]]:
    several = [cells(one) for one in found.rewards.values()]
    return [
        [name, several[0][name].killed.n + several[0][name].failed, *(show(one[name]) for one in several)]
        for name in several[0]
    ]


def _loss(cell: Cell) -> str:
    loss = "–" if math.isnan(cell.drop.mean) else f"{cell.drop.mean:.2f}"
    return f"{loss} ({cell.lower.mean * 100:.0f})"
