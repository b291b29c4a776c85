"""From a path through the network to a route: lane changes smoothed, commands at junctions, distance along it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.lane_changes import walk
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Command, Route, RouteError

STRAIGHT = math.radians(30)
"""Turns by less than this are "straight on"."""
CHANGES = (Command.CHANGE_LEFT, Command.CHANGE_RIGHT)


def assemble(roads: RoadNetwork, path: Sequence[int] | NDArray[np.int32], name: str = "") -> Route:
    """The route along a path.

    Args:
        path: points of the network, each following the one before or ending a lane change that begins there.

    Returns:
        A route whose arrays cannot be written to. During a lane change the commands are `CHANGE_LEFT` or
        `CHANGE_RIGHT`, within junctions `LEFT`, `RIGHT` or `STRAIGHT` by the angle turned in it, else `LANE_FOLLOW`.

    Raises:
        RouteError: it has fewer than two points, or two points of it do not hang together.
    """
    way = np.asarray(path, np.int64)
    if len(way) < 2:
        raise RouteError(f"a route needs at least two points; this one has {len(way)}: choose an end further away")
    if way.min() < 0 or way.max() >= len(roads):
        raise RouteError(f"the path names points outside of map {roads.name!r} (0 to {len(roads) - 1})")
    nodes, partner = [way[:1]], [way[:1]]
    share, commands = [np.zeros(1)], [np.full(1, Command.LANE_FOLLOW)]
    done = 1
    for index in [*np.flatnonzero(~_follows(roads, way[:-1], way[1:])), len(way) - 1]:
        plain = way[done : index + 1]
        nodes.append(plain)
        partner.append(plain)
        share.append(np.zeros(len(plain)))
        commands.append(np.full(len(plain), Command.LANE_FOLLOW))
        done = index + 1
        if done == len(way):
            break
        change = walk(roads, int(way[index]), int(way[done]))
        if change is None:
            raise RouteError(
                f"point {way[done]} of map {roads.name!r} cannot be reached from point {way[index]} directly"
            )
        before, after, left = change
        shares = np.arange(1, len(before) + 1) / (len(before) + 1)
        nodes.append(np.array(before, np.int64))
        partner.append(np.array(after, np.int64))
        share.append(3 * shares**2 - 2 * shares**3)
        commands.append(np.full(len(before), Command.CHANGE_LEFT if left else Command.CHANGE_RIGHT))
    marks = np.concatenate(commands).astype(np.int8)
    return _route(roads, np.concatenate(nodes), np.concatenate(partner), np.concatenate(share), marks, name)


def _follows(roads: RoadNetwork, here: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.bool_]:
    first, beyond = roads.next_start[here], roads.next_start[here + 1]
    found = np.zeros(len(here), bool)
    for place in range(int((beyond - first).max())):
        edge = np.minimum(first + place, len(roads.next_node) - 1)
        found |= (first + place < beyond) & (roads.next_node[edge] == there)
    return found


def _route(
    roads: RoadNetwork,
    nodes: NDArray[np.int64],
    partner: NDArray[np.int64],
    share: NDArray[np.float64],
    commands: NDArray[np.int8],
    name: str,
) -> Route:
    xyz = roads.xyz[nodes] * (1 - share[:, None]) + roads.xyz[partner] * share[:, None]
    width = roads.width[nodes] * (1 - share) + roads.width[partner] * share
    on = np.where(share < 0.5, nodes, partner).astype(np.int32)
    yaw = roads.yaw[on].copy()
    changing = share > 0
    if changing.any():
        slope = np.gradient(xyz[:, :2], axis=0)
        yaw[changing] = np.arctan2(slope[changing, 1], slope[changing, 0])
    _mark_turns(roads, on, yaw, commands)
    steps = np.hypot(*np.diff(xyz[:, :2], axis=0).T)
    if not (steps > 0).all():
        raise RouteError(f"two points of the route lie in one place on map {roads.name!r}")
    route = Route(
        town=roads.name,
        digest=roads.digest,
        xyz=xyz,
        yaw=yaw,
        width=width.astype(np.float64),
        commands=commands,
        speed_limit=roads.speed_limit[on].astype(np.float64),
        s=np.concatenate([[0.0], np.cumsum(steps)]),
        nodes=on,
        name=name,
    )
    for array in (route.xyz, route.yaw, route.width, route.commands, route.speed_limit, route.s, route.nodes):
        array.setflags(write=False)
    return route


def _mark_turns(
    roads: RoadNetwork, nodes: NDArray[np.int32], yaw: NDArray[np.float64], commands: NDArray[np.int8]
) -> None:
    for first, last in _junction_runs(roads.junction[nodes]):
        before, after = max(first - 1, 0), min(last + 1, len(nodes) - 1)
        turned = (yaw[after] - yaw[before] + math.pi) % (2 * math.pi) - math.pi
        side = Command.RIGHT if turned > 0 else Command.LEFT
        command = Command.STRAIGHT if abs(turned) < STRAIGHT else side
        inside = slice(first, last + 1)
        commands[inside] = np.where(np.isin(commands[inside], CHANGES), commands[inside], command)


def _junction_runs(junction: NDArray[np.int32]) -> Iterable[tuple[int, int]]:
    """First and last point of every passage of a junction."""
    borders = np.flatnonzero(np.diff(junction)) + 1
    for first, beyond in itertools.pairwise([0, *borders.tolist(), len(junction)]):
        if junction[first] >= 0:
            yield first, beyond - 1


def path_of(route: Route) -> NDArray[np.int32]:
    """The path that `assemble` made the route from: what lies within lane changes is left out."""
    return route.nodes[~np.isin(route.commands, CHANGES)]
