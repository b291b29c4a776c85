"""Route files: JSON of our own, which gives a route back exactly.

A route is kept as ranges of the network's points (those of one lane have consecutive numbers), so a file is short, and
as the digest of its map, so that a route is never driven on another map than it was planned on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.assembly import assemble, path_of
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route, RouteError
from common.errors import DataError, UsageError
from common.files import locate, read_json, write_json

FORMAT = 1
ROUTES = "assets/driving/routes"
"""Routes that policies are evaluated on: one file per shipped map."""
_LENGTH_SLACK = 0.01
#: Times that a route passes all points of its map.
_MOST_ROUNDS = 10


def write_routes(path: Path | str, routes: Sequence[Route]) -> Path:
    """Write routes of one map, atomically.

    Raises:
        UsageError: there is none, they are of several maps, or two have one name.
    """
    if not routes:
        raise UsageError(f"{path}: no routes to write")
    if len(maps := {(route.town, route.digest) for route in routes}) > 1:
        raise UsageError(f"{path}: a route file is of one map; these routes are of {sorted(town for town, _ in maps)}")
    counts = Counter(route.name for route in routes)
    if double := [name for name, count in counts.items() if count > 1 or not name]:
        raise UsageError(f"{path}: every route needs a name of its own; {double[0]!r} is not")
    return write_json(
        path,
        {
            "format": FORMAT,
            "town": routes[0].town,
            "digest": routes[0].digest,
            "routes": [_row(route) for route in routes],
        },
    )


def _row(route: Route) -> dict[str, Any]:
    ends = {name: [round(float(v), 2) for v in route.xyz[at]] for name, at in (("start", 0), ("end", -1))}
    return {"name": route.name, "length": round(route.length, 2), **ends, "points": _ranges(path_of(route))}


def _ranges(path: NDArray[np.int32]) -> list[list[int]]:
    breaks = np.flatnonzero(np.diff(path) != 1) + 1
    return [[int(part[0]), int(part[-1])] for part in np.split(path, breaks)]


def read_routes(path: Path | str, roads: RoadNetwork) -> list[Route]:
    """The routes of a file.

    Args:
        roads: the map that they were planned on.

    Raises:
        DataError: the file is absent, no route file, of another map, or damaged.
    """
    path = locate(path)
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("routes"), list):
        raise DataError(f"not a route file of format {FORMAT}", path=path)
    if content.get("town") != roads.name:
        raise DataError(f"these are routes of map {content.get('town')!r}, not of {roads.name!r}", path=path)
    if content.get("digest") != roads.digest:
        raise DataError(
            f"these routes were planned on another version of map {roads.name!r} (digest "
            f"{str(content.get('digest'))[:12]}, the map has {roads.digest[:12]}); plan them again",
            path=path,
        )
    routes = [_read_row(row, number, path, roads) for number, row in enumerate(content["routes"], start=1)]
    counts = Counter(route.name for route in routes)
    if double := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"two routes are called {double[0]!r}", path=path)
    return routes


def _read_row(row: Any, number: int, path: Path, roads: RoadNetwork) -> Route:
    try:
        route = assemble(roads, _points(row["points"], len(roads.xyz)), str(row["name"]))
        length = float(row["length"])
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        what = str(error) if type(error) in (RouteError, ValueError) else f"{type(error).__name__}: {error}"
        raise DataError(f"route {number} cannot be read: {what}", path=path) from error
    if abs(route.length - length) > _LENGTH_SLACK:
        raise DataError(f"route {number} says {length} m but is {route.length:.2f} m long", path=path)
    return route


def _points(pieces: Any, size: int) -> NDArray[np.int32]:
    """The points from the first to the last of each piece, of a map of `size` points.

    Raises:
        ValueError: the map has no such points, or they are more than any drive passes.
    """
    ends = [(int(first), int(last)) for first, last in pieces]
    if not all(0 <= first <= last < size for first, last in ends):
        raise ValueError(f"its points are not among the map's {size:,}")
    if sum(last - first + 1 for first, last in ends) > _MOST_ROUNDS * size:
        raise ValueError(f"it passes more than {_MOST_ROUNDS} times as many points as the map has")
    return np.concatenate([np.arange(first, last + 1, dtype=np.int32) for first, last in ends])


def evaluation_routes(roads: RoadNetwork) -> list[Route]:
    """The fixed routes of a shipped map.

    Raises:
        DataError: there are none for this map; the message says how to make some.
    """
    path = locate(f"{ROUTES}/{roads.name}.json")
    if not path.is_file():
        raise DataError(
            f"no fixed routes for map {roads.name!r}; make some with apps.driving.roads.planner.random_routes and "
            "write_routes",
            path=path,
        )
    return read_routes(path, roads)
