"""Routes in the XML files of the CARLA leaderboard, versions 1 and 2."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.library import load_roads
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.planner import plan_through
from apps.driving.roads.routes import Route, RouteError
from common.errors import DataError, UsageError


@dataclass(frozen=True, eq=False)
class LeaderboardRoute:
    """A route as the file gives it: positions that a planner must join.

    Attributes:
        name: the route's id.
        town: CARLA's map.
        positions: `(K, 3)` float64 metres, K at least 2.
        scenarios: types of the traffic situations on it, in the file's order; they are not played by us.
    """

    name: str
    town: str
    positions: NDArray[np.float64]
    scenarios: tuple[str, ...] = ()


def read_leaderboard(path: Path | str) -> list[LeaderboardRoute]:
    """All routes of a leaderboard file; their maps need not be there.

    Raises:
        DataError: the file is absent, not XML or not such a file; a route is broken; two have one id.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text ({error})", path=path) from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError("route files declare no document type or entities; this one is refused", path=path)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"not XML: {error}", path=path, line=error.position[0]) from error
    if root.tag != "routes":
        raise DataError(f"not a leaderboard file: its outermost element is <{root.tag}>, not <routes>", path=path)
    routes = [_route(element, number, path) for number, element in enumerate(root.findall("route"), start=1)]
    if not routes:
        raise DataError("no <route> in it", path=path)
    counts = Counter(route.name for route in routes)
    if double := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"two routes have the id {double[0]!r}", path=path)
    return routes


def _route(element: ElementTree.Element, number: int, path: Path) -> LeaderboardRoute:
    # Version 2 has <waypoints><position/>...; version 1 has <waypoint/> in the route itself.
    places = element.findall("waypoints/position") or element.findall("waypoint")
    try:
        positions = np.array([[float(place.attrib[axis]) for axis in "xyz"] for place in places], np.float64)
        name, town = element.attrib["id"], element.attrib["town"]
    except (KeyError, ValueError) as error:
        raise DataError(f"route {number} lacks a number or an attribute: {error}", path=path) from error
    if len(positions) < 2 or not np.isfinite(positions).all():
        raise DataError(f"route {name!r} has {len(positions)} finite positions; it needs at least 2", path=path)
    scenarios = tuple(scenario.get("type", "") for scenario in element.iter("scenario"))
    return LeaderboardRoute(name, town, positions, scenarios)


def plan_leaderboard(route: LeaderboardRoute, roads: RoadNetwork | None = None) -> Route:
    """The route on its map.

    Args:
        roads: the map; where absent, looked up by its name.

    Raises:
        UsageError: the map is not there (the message says where it is looked for) or is another one.
        RouteError: no way leads through the positions.
    """
    if roads is None:
        try:
            roads = load_roads(route.town)
        except UsageError as error:
            raise UsageError(f"route {route.name!r} needs map {route.town!r}: {error}") from error
    if roads.name != route.town:
        raise UsageError(f"route {route.name!r} is on map {route.town!r}, not on {roads.name!r}")
    try:
        return plan_through(roads, route.positions, name=route.name)
    except RouteError as error:
        raise RouteError(f"route {route.name!r}: {error}") from error
