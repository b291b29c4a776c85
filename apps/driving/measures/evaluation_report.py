"""Shows an evaluation: tables in the terminal, and a page with tables, trajectories and moving pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.driving.measures import tables
from apps.driving.measures.comparison import Comparison
from apps.driving.measures.episodes import Episode, driven
from apps.driving.measures.figures import OURS, VLM_RL
from apps.driving.measures.scores import driving_score
from common import ui

if TYPE_CHECKING:
    from apps.driving.measures.films import Shown
    from apps.driving.roads.network import RoadNetwork
    from common.report import Report

#: What a page of another simulator must not be taken for.
NOT_CARLA = "These figures are of the embedded simulator; they are not CARLA figures and say nothing of CARLA."
#: Under a contact sheet.
SHEET = "the car is green and looks upwards, its route is blue, other cars are orange, people pink; a red frame is a "
SHEET += "collision. From the start on the left to the end on the right."


def print_tables(episodes: Sequence[Episode], comparison: Comparison | None = None) -> None:
    """Print all figures, those by town and density, how episodes ended, and the paired test."""
    found, note = tables.groups(episodes), tables.remark(episodes)
    ui.table("Drivers", *tables.rows_by_measure(found), caption=note)
    ui.table("By town and number of vehicles", *tables.rows_by_group(found), caption=note)
    ui.table("How episodes ended", *tables.rows_of_causes(episodes), caption=note)
    if comparison is not None:
        ui.table("Paired test", *tables.rows_of_comparison(comparison), caption=remark(comparison))


def remark(comparison: Comparison) -> str:
    """What stands under a paired test."""
    text = (
        f"Simulator: {comparison.backend}. {comparison.pairs} episodes that both drove (same town, route, traffic and "
        f"seed) on {comparison.routes} routes; n is the same. Rates: McNemar's test, others: paired bootstrap; 95 % "
        "intervals and p over whole routes."
    )
    return text + (f" {comparison.alone} episodes of one alone are left out." if comparison.alone else "")


def write_report(
    path: Path,
    episodes: Sequence[Episode],
    roads: Mapping[str, RoadNetwork],
    shown: Sequence[Shown] = (),
    comparison: Comparison | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page.

    Args:
        path: of the HTML file.
        episodes: of all drivers, with their tracks.
        roads: maps by town.
        shown: episodes with pictures.
        comparison: paired test.
        settings: what was driven and how.
    """
    from common.report import Report

    note, found = tables.remark(episodes), tables.groups(episodes)
    names = tables.policies(episodes)
    report = Report("Drivers evaluated", f"{', '.join(names)}: {len(driven(episodes))} episodes")
    if episodes[0].backend != "carla":
        report.text(NOT_CARLA)
    report.section("Figures").table(*_whole(tables.rows_by_measure(found)), note)
    report.section("By town and traffic").table(*_whole(tables.rows_by_group(found)), note)
    _bars(report, found, note)
    if comparison is not None:
        test = _whole(tables.rows_of_comparison(comparison))
        report.section("Paired test").table(*test, remark(comparison))
    report.section("Endings and infractions").table(*tables.rows_of_causes(episodes), note)
    report.table(*tables.rows_of_infractions(episodes), "Numbers of infractions. " + note)
    _trajectories(report, episodes, roads)
    _drives(report, shown)
    report.section("As VLM-RL counts").table(*_whole(tables.rows_of_vlm_rl(episodes, found)), note)
    report.section("What the figures mean")
    report.table(("measure", "definition"), [(one.title, one.definition) for one in OURS])
    report.table(
        ("as VLM-RL counts", "definition"),
        [(one.title, one.definition) for one in VLM_RL],
        "Beside ours, not instead.",
    )
    report.section("Settings").facts(settings or {})
    return report.save(path)


def _whole(table: tuple[list[str], list[list[Any]]]) -> tuple[list[str], list[list[Any]]]:
    """The same table with intervals that are not broken over two lines."""
    headers, rows = table
    return headers, [
        [value.replace(", ", ",\u00a0").replace(" [", "\u00a0[") if _interval(value) else value for value in row]
        for row in rows
    ]


def _interval(value: Any) -> bool:
    return isinstance(value, str) and value.endswith("]")


def _bars(report: Report, found: Sequence[tables.Group], note: str) -> None:
    from common.plots import bars

    crowds = list(dict.fromkeys(one.density for one in found if one.density != tables.EVERYONE))
    towns = sorted({one.town for one in found})
    town = tables.EVERYWHERE if any(one.town == tables.EVERYWHERE and one.density in crowds for one in found) else None
    if len(crowds) < 2:
        return
    series = {}
    for policy in dict.fromkeys(one.policy for one in found):
        chosen = {
            one.density: one.figures["driving_score"]
            for one in found
            if one.policy == policy and one.density in crowds and one.town == (town or towns[-1])
        }
        if len(chosen) == len(crowds):
            series[policy] = [chosen[crowd] for crowd in crowds]
    if series:
        report.figure(bars([f"{crowd} vehicles" for crowd in crowds], series, "driving score"), note)


def _trajectories(report: Report, episodes: Sequence[Episode], roads: Mapping[str, RoadNetwork]) -> None:
    from apps.driving.measures.trajectories import trajectories

    tracked = [one for one in driven(episodes) if one.track]
    if not tracked:
        return
    report.section("Trajectories")
    for policy in tables.policies(tracked):
        for town in sorted({one.case.town for one in tracked}):
            own = [one for one in tracked if one.policy == policy and one.case.town == town]
            if own and town in roads:
                report.figure(trajectories(roads[town], own), f"{policy} in {town}. {tables.remark(own)}")


def _drives(report: Report, shown: Sequence[Shown]) -> None:
    from apps.driving.recording import contact_sheet

    filmed = [one for one in shown if one.frames]
    if not filmed:
        return
    report.section("Drives")
    for policy in dict.fromkeys(one.episode.policy for one in filmed):
        own = [one for one in filmed if one.episode.policy == policy]
        lines = [f"{number}. {_told(one)}" for number, one in enumerate(own, 1)]
        report.text(f"**{policy}**, rows of the sheet from above:\n\n" + "\n".join(lines))
        report.image(contact_sheet([one.frames for one in own]), f"{policy}: {SHEET}")
        for one in own:
            speed = f"Every {one.stride} steps a frame." if one.stride > 1 else "Every step a frame."
            report.animation(one.gif, f"Play: {_told(one)}", speed if one.mp4 is None else f"{speed} {one.mp4.name}")


def _told(shown: Shown) -> str:
    episode = shown.episode
    text = (
        f"{episode.policy}, {' and '.join(shown.why)}: {episode.case.text}; {episode.cause}, "
        f"{100 * episode.route_completion:.0f} % of the route, driving score {driving_score(episode):.2f}"
    )
    if not shown.same:
        text += " (driven again for the pictures: this simulator does not repeat a drive exactly)"
    return text
