"""Finds road networks by name: the shipped maps, `.npz` and `.xodr` files, CARLA's own towns where they lie."""

from __future__ import annotations

import difflib
from functools import lru_cache
from pathlib import Path

from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.opendrive import digest_of
from common.errors import UsageError
from common.files import locate

MAPS = "assets/driving/maps"
SHIPPED = ("town", "village", "ring", "highway", "hills")
HELD_OUT = "village"
"""Of the shipped maps, the one that nothing is trained on."""
_IN_CARLA = "CarlaUE4/Content/Carla/Maps/OpenDrive"
#: By the digest of a network, the folder of the file that it was read from last.
_READ_FROM: dict[str, Path] = {}


def map_folders(folders: tuple[Path | str, ...] = ()) -> list[Path]:
    """Where maps are looked for, in this order: `folders` (of maps, or of a CARLA release), the shipped ones."""
    found = []
    for folder in map(Path, folders):
        inside = folder.expanduser() / _IN_CARLA
        found.append(inside if inside.is_dir() else folder.expanduser())
    return [folder for folder in (*found, locate(MAPS)) if folder.is_dir()]


def known_maps(folders: tuple[Path | str, ...] = ()) -> dict[str, Path]:
    """All maps that can be named, with their files; an `.npz` goes before the `.xodr` beside it."""
    maps: dict[str, Path] = {}
    for folder in map_folders(folders):
        for suffix in (".npz", ".xodr"):
            for path in sorted(folder.glob(f"*{suffix}")):
                maps.setdefault(path.stem, path)
    return maps


def load_roads(name: str | Path, folders: tuple[Path | str, ...] = ()) -> RoadNetwork:
    """A road network by name ("town", "Town02") or by the path of its `.npz` or `.xodr`.

    A name is looked up in `map_folders`. Networks are kept: a second call for an unchanged file costs nothing.

    Raises:
        UsageError: there is none of that name; the message names those that there are.
        DataError: the file cannot be used.
        MissingDependency: it is OpenDRIVE only, and the carla wheel is not installed.
    """
    text = str(name)
    if text.lower().endswith((".npz", ".xodr")):
        path = locate(Path(text).expanduser())
        if not path.is_file():
            raise UsageError(f"{path}: no such map file; known maps: {', '.join(known_maps(folders))}")
    else:
        # A server calls its maps "Carla/Maps/Town02" or "Town02_Opt".
        maps = known_maps(folders)
        short = text.replace("\\", "/").rsplit("/", 1)[-1]
        found = maps.get(text) or maps.get(short) or maps.get(short.removesuffix("_Opt"))
        if found is None:
            raise UsageError(_unknown(text, maps))
        path = found
    path = path.resolve()
    status = path.stat()
    roads = _read(path, status.st_mtime_ns, status.st_size)
    _READ_FROM[roads.digest] = path.parent
    return roads


@lru_cache(maxsize=16)
def _read(path: Path, changed: int, size: int) -> RoadNetwork:
    if path.suffix.lower() == ".npz":
        return RoadNetwork.load(path)
    from apps.driving.roads.opendrive import read_opendrive

    return read_opendrive(path)


def opendrive_of(roads: RoadNetwork) -> str | None:
    """The OpenDRIVE text that a network was made from, for a server that shall build it; None where it is not found.

    It is the `.xodr` of that name and digest beside the file that `load_roads` read, or among the shipped maps.
    """
    places = [_READ_FROM[roads.digest]] if roads.digest in _READ_FROM else []
    for folder in [*places, *map_folders()]:
        path = folder / f"{roads.name}.xodr"
        if path.is_file():
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            if digest_of(text) == roads.digest:
                return text
    return None


def _unknown(name: str, maps: dict[str, Path]) -> str:
    near = difflib.get_close_matches(name, maps, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return (
        f"no map {name!r}{hint}; known: {', '.join(maps)}. Maps of CARLA: put a folder of .xodr files, or a CARLA "
        "release, into routes.folders, or give the path of an .xodr or .npz"
    )
