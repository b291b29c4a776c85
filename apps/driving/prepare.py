"""`prepare`: road networks of OpenDRIVE maps, checked; fixed routes on them; the routes of a leaderboard file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from common import ui
from common.errors import DataError, UsageError
from common.files import write_json

if TYPE_CHECKING:
    from apps.driving.env_config import EnvConfig
    from apps.driving.roads.network import RoadNetwork

#: Where a CARLA release keeps its maps.
RELEASE = "CarlaUE4/Content/Carla/Maps/OpenDrive"
SUFFIXES = (".xodr", ".npz")
REPORT = "report.json"


class Settings(Protocol):
    """The part of the application's settings that the verb reads."""

    env: EnvConfig
    seed: int


def run_prepare(
    config: Settings,
    source: str,
    out: str,
    routes: int = 0,
    shortest: float = 150.0,
    longest: float = 400.0,
    json_output: bool = False,
) -> int:
    """Read `source` and write `OUT/<map>.npz`, `OUT/<map>.json` (routes) and `OUT/report.json`.

    The folder can then be named in `env.routes.folders`, and a route file in `env.routes.file` or `evaluate.routes`.

    Args:
        config: `seed` decides which routes are planned (equal seeds give equal files); `env.routes.folders` are looked
            through for the maps of leaderboard routes.
        source: an `.xodr` or `.npz`, a folder of them, the folder of a CARLA release, or a leaderboard route XML.
        out: folder to write to.
        routes: fixed routes to plan on each map.
        shortest: metres of the shortest.
        longest: metres of the longest.
        json_output: print the report as JSON.

    Returns:
        0, or 1 where a map or a route could not be used, or no map of a leaderboard file is there.

    Raises:
        UsageError: there is nothing of that kind in `source`, or `out` is a file.
        DataError: a leaderboard file is broken.
        MissingDependency: the carla wheel is not installed and there is an `.xodr` to read.
    """
    path, folder = Path(source).expanduser(), Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    if path.suffix.lower() == ".xml":
        report = _leaderboard(path, folder, tuple(config.env.routes.folders))
    else:
        report = _maps(_files(path), folder, routes, (shortest, longest), config.seed, json_output)
    write_json(folder / REPORT, {"source": str(path), **report})
    if json_output:
        ui.print_json({**report, "out": str(folder)})
    else:
        _show(report)
        ui.say(f"written to {folder}; {folder / REPORT} has everything")
    nothing = "towns" in report and not any(found["routes"] for found in report["towns"].values())
    return int(nothing or bool(report["failed"]))


def _files(path: Path) -> list[Path]:
    """The map files that are meant; an `.xodr` goes before the `.npz` of its name, which is made of it.

    Raises:
        UsageError: there are none.
    """
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{path}: give an .xodr or .npz, a folder of them, or a leaderboard route .xml")
        return [path]
    inside = path / RELEASE if (path / RELEASE).is_dir() else path
    found: dict[str, Path] = {}
    for suffix in SUFFIXES:
        for file in sorted(inside.glob(f"*{suffix}")):
            found.setdefault(file.stem, file)
    if not found:
        raise UsageError(f"{path}: no .xodr or .npz there; a CARLA release has them in {RELEASE}")
    return [found[name] for name in sorted(found)]


def _maps(
    files: Sequence[Path], folder: Path, routes: int, lengths: tuple[float, float], seed: int, quiet: bool
) -> dict[str, Any]:
    maps: dict[str, Any] = {}
    failed: dict[str, str] = {}
    with ui.progress("reading maps", len(files), quiet) as bar:
        for number, file in enumerate(files):
            bar(number, file.name)
            try:
                maps[file.stem] = _map(file, folder, routes, lengths, seed)
            except DataError as error:
                failed[file.stem] = str(error)
    for name, found in maps.items():
        if problem := found.pop("problem", ""):
            failed[name] = problem
    if not maps:
        raise DataError("no map could be used: " + "; ".join(failed.values()))
    return {"maps": maps, "failed": failed}


def _map(file: Path, folder: Path, routes: int, lengths: tuple[float, float], seed: int) -> dict[str, Any]:
    """One map: its network is written and looked at, and its routes are planned."""
    from apps.driving.roads.library import load_roads
    from apps.driving.roads.survey import left_out, survey

    roads = load_roads(file)
    written = roads.save(folder / f"{roads.name}.npz")
    looked = survey(roads)
    found: dict[str, Any] = {
        "file": written.name,
        "digest": roads.digest,
        **looked.to_dict(),
        "remarks": looked.remarks,
        "left out": {},
    }
    if file.suffix.lower() == ".xodr":
        found["left out"] = left_out(file.read_text(encoding="utf-8-sig"), roads)
    if routes:
        found |= _routes(roads, folder, routes, lengths, seed)
    return found


def _routes(roads: RoadNetwork, folder: Path, count: int, lengths: tuple[float, float], seed: int) -> dict[str, Any]:
    from apps.driving.roads.planner import random_routes
    from apps.driving.roads.route_files import write_routes

    try:
        planned = random_routes(roads, count, lengths, seed)
    except UsageError as error:
        return {"routes": 0, "problem": str(error)}
    written = write_routes(folder / f"{roads.name}.json", planned)
    metres = [round(route.length) for route in planned]
    return {"routes": len(planned), "route file": written.name, "route metres": [min(metres), max(metres)]}


def _leaderboard(path: Path, folder: Path, folders: tuple[str, ...]) -> dict[str, Any]:
    """Every route of the file that its map is there for, as route files; and which maps are not there."""
    from apps.driving.roads.leaderboard import plan_leaderboard, read_leaderboard
    from apps.driving.roads.library import known_maps, load_roads
    from apps.driving.roads.route_files import write_routes

    given = read_leaderboard(path)
    known = known_maps(folders)
    towns: dict[str, Any] = {}
    missing: dict[str, int] = {}
    failed: dict[str, str] = {}
    for town, count in Counter(route.town for route in given).items():
        if town not in known:
            missing[town] = count
            continue
        roads, planned = load_roads(town, folders), []
        for route in given:
            if route.town != town:
                continue
            try:
                planned.append(plan_leaderboard(route, roads))
            except UsageError as error:
                failed[f"{town} {route.name}"] = str(error)
        towns[town] = {"routes in the file": count, "routes": len(planned)}
        if planned:
            metres = [round(route.length) for route in planned]
            written = write_routes(folder / f"{town}.json", planned)
            towns[town] |= {"route file": written.name, "route metres": [min(metres), max(metres)]}
    scenarios = Counter(scenario for route in given for scenario in route.scenarios)
    return {
        "routes": len(given),
        "towns": towns,
        "missing maps": missing,
        "scenarios, which are not played": dict(scenarios.most_common()),
        "failed": failed,
    }


def _show(report: dict[str, Any]) -> None:
    if "maps" in report:
        _show_maps(report["maps"])
    else:
        rows = [
            (town, found["routes in the file"], found["routes"], found.get("route file"))
            for town, found in report["towns"].items()
        ]
        rows += [(town, count, 0, "map is missing") for town, count in report["missing maps"].items()]
        ui.table(f"{report['routes']} leaderboard routes", ("map", "in the file", "planned", "written to"), rows)
        if report["missing maps"]:
            ui.warn(
                f"missing maps: {', '.join(report['missing maps'])}; put their .xodr, or a CARLA release, into a "
                "folder and name it: --env.routes.folders [FOLDER]"
            )
        if count := sum(report["scenarios, which are not played"].values()):
            ui.say(f"{count} scenarios of the file are not played: the routes are driven among ordinary traffic")
    for name, problem in report["failed"].items():
        ui.warn(f"{name}: {problem}")


def _show_maps(maps: dict[str, Any]) -> None:
    columns = ("map", "lanes", "km", "junctions", "spawns", "connected %", "dead ends", "km/h", "routes")
    rows = [
        (
            name,
            one["lanes"],
            one["kilometres"],
            one["junctions"],
            one["spawns"],
            round(100 * one["connected"], 1),
            one["dead_ends"],
            "–".join(f"{limit:g}" for limit in dict.fromkeys(one["limits"])),
            one.get("routes"),
        )
        for name, one in maps.items()
    ]
    ui.table("Maps", columns, rows, "connected: points that all reach each other; dead ends: lanes that lead nowhere")
    dropped = [(name, kind, count) for name, one in maps.items() for kind, count in one["left out"].items()]
    if dropped:
        ui.table("Left out", ("map", "what", "how many"), dropped)
    for name, one in maps.items():
        for remark in one["remarks"]:
            ui.say(f"{name}: {remark}")
