"""Makes the shipped maps again, byte for byte: `python -m apps.driving.roads.build`.

`--export FILE.xodr` makes the `.npz` of any OpenDRIVE map instead, for machines without the carla wheel.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from apps.driving.roads.layouts import LAYOUTS
from apps.driving.roads.library import HELD_OUT, MAPS
from apps.driving.roads.network import SPACING, RoadNetwork
from apps.driving.roads.opendrive import from_opendrive, read_opendrive
from apps.driving.roads.planner import random_routes
from apps.driving.roads.route_files import ROUTES, write_routes
from apps.driving.roads.site import Site
from common.errors import TouchstoneError, UsageError
from common.files import write_text

COMMAND = "python -m apps.driving.roads.build"
ROUTE_COUNT, ROUTE_LENGTHS, ROUTE_SEED = 10, (150.0, 400.0), 0


def draw(name: str) -> str:
    """The OpenDRIVE text of a shipped map.

    Raises:
        UsageError: there is no such map.
        MissingDependency: scenariogeneration is not installed.
    """
    if name not in LAYOUTS:
        raise UsageError(f"no layout {name!r}; there are: {', '.join(LAYOUTS)}")
    site = Site(name)
    LAYOUTS[name](site)
    return site.text()


def build(folder: Path, names: list[str]) -> dict[str, RoadNetwork]:
    """Write `.xodr` and `.npz` of each map into the folder, and its card when all are made."""
    made: dict[str, RoadNetwork] = {}
    for name in names:
        text = draw(name)
        write_text(folder / f"{name}.xodr", text)
        made[name] = from_opendrive(text, name)
        made[name].save(folder / f"{name}.npz")
    if set(names) == set(LAYOUTS):
        write_text(folder / "README.md", card(folder, made))
    return made


def build_routes(folder: Path, made: dict[str, RoadNetwork]) -> None:
    """Write the fixed routes of each map, and their card when all are made."""
    rows = []
    for name, roads in made.items():
        routes = random_routes(roads, ROUTE_COUNT, ROUTE_LENGTHS, ROUTE_SEED)
        path = write_routes(folder / f"{name}.json", routes)
        lengths = [route.length for route in routes]
        sums = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(f"| {name} | {len(routes)} | {min(lengths):.0f} to {max(lengths):.0f} | {sums} |")
    if set(made) == set(LAYOUTS):
        text = [
            "# Routes",
            "",
            "Fixed routes that driving policies are evaluated on, one file per map of our own. A file names points of "
            "its map's network and the map's digest; `apps.driving.roads.route_files.read_routes` gives the routes.",
            "",
            f"- command: `{COMMAND}`, seed {ROUTE_SEED}",
            "",
            "| map | routes | metres | sha256 |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
        write_text(folder / "README.md", "\n".join(text))


def card(folder: Path, made: dict[str, RoadNetwork]) -> str:
    """What the maps are, and how they were made."""
    rows = []
    for name, roads in made.items():
        lanes = len(roads) * SPACING / 1000
        files = [folder / f"{name}{suffix}" for suffix in (".xodr", ".npz")]
        sizes = " + ".join(f"{file.stat().st_size / 1000:.0f}" for file in files)
        junctions = len({int(number) for number in roads.junction if number >= 0})
        rows.append(
            f"| {name}{' (held out)' if name == HELD_OUT else ''} | {_summary(name)} | {lanes:.1f} | {junctions} | "
            f"{len(roads.spawns)} | {len(roads.crossings)} | {roads.xyz[:, 2].max():.0f} | {sizes} |"
        )
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}"
        for name in made
        for file in (folder / f"{name}.xodr", folder / f"{name}.npz")
    ]
    return "\n".join(
        [
            "# Maps",
            "",
            "Road maps of our own, drawn by code (`apps/driving/roads/layouts.py`) with the scenariogeneration "
            "library: OpenDRIVE 1.4 (`.xodr`, which a CARLA server builds with `generate_opendrive_world`) and the "
            "same as points along the lanes (`.npz`, which needs no carla wheel). Right-hand traffic. Licence: as "
            "this repository.",
            "",
            f"- command: `{COMMAND}`; seed: none, nothing in them is random",
            "- nothing is trained on the held-out map",
            "",
            "| map | | km of lanes | junctions | spawn points | crosswalks | highest point, m | kB (.xodr + .npz) |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "```",
            *sums,
            "```",
            "",
        ]
    )


def _summary(name: str) -> str:
    return " ".join((LAYOUTS[name].__doc__ or "").split("\n\n")[0].split())


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(LAYOUTS)}; all where absent")
    parser.add_argument("--out", type=Path, default=Path(MAPS), help="folder to write to")
    parser.add_argument("--routes", type=Path, default=Path(ROUTES), help="folder for their fixed routes")
    parser.add_argument("--export", type=Path, nargs="+", metavar="FILE.xodr", help="write NAME.npz of these instead")
    options = parser.parse_args(arguments)
    try:
        if options.export:
            made = {path.stem: read_opendrive(path) for path in options.export}
            for name, roads in made.items():
                roads.save(options.out / f"{name}.npz")
        else:
            made = build(options.out, options.names or list(LAYOUTS))
            build_routes(options.routes, made)
    except TouchstoneError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for name, roads in made.items():
        sys.stdout.write(f"{options.out / name}: {len(roads)} points, {len(roads.spawns)} spawn points\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
