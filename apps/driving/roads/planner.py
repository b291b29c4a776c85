"""The global planner: shortest ways through a road network, with lane changes where markings allow them."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from apps.driving.roads.assembly import assemble
from apps.driving.roads.lane_changes import Changes, find_changes
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import SHORTEST_ROUTE as SHORTEST_ROUTE
from apps.driving.roads.routes import Route, RouteError
from common.errors import MissingDependency, UsageError

CHANGE_COST = 10.0
"""Metres that a driver goes round to save a lane change."""
HURRY_COST = 1.0
"""Metres per point that a change is shorter than comfort asks for."""
LATE_COST = 0.01
"""Metres per point that a change comes late on its stretch: of equal ways the one that changes early is taken."""
EVERY = 4
"""Points between places where a change may begin."""
KEPT = 2048
"""Routes that one planner remembers."""


class Planner:
    """Shortest ways through one network. `planner_of` keeps one per network.

    Args:
        roads: the network.
    """

    def __init__(self, roads: RoadNetwork) -> None:
        self._roads = roads
        self._kept: OrderedDict[tuple[int, int], Route] = OrderedDict()

    @cached_property
    def _graph(self) -> Any:
        try:
            from scipy.sparse import csr_array
        except ImportError as error:
            raise MissingDependency("scipy", "driving") from error
        roads = self._roads
        changes = find_changes(roads)
        place = _place_in_lane(roads)
        # Not every metre needs its own change: a fourth of the edges make searches twice as fast.
        changes = Changes(*(column[place[changes.start] % EVERY == 0] for column in changes))
        start = np.concatenate([roads.edge_from, changes.start])
        end = np.concatenate([roads.next_node, changes.end])
        way = np.hypot(*(roads.xyz[end, :2] - roads.xyz[start, :2]).T)
        late = CHANGE_COST + LATE_COST * place[changes.start]
        way[len(roads.next_node) :] += late + HURRY_COST * (changes.wanted - changes.points)
        # Two edges between the same points would be added up: the shorter one counts.
        order = np.lexsort((way, end, start))
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(start[order]) != 0) | (np.diff(end[order]) != 0)
        order = order[first]
        return csr_array((np.maximum(way[order], 1e-6), (start[order], end[order])), (len(roads), len(roads)))

    def search(self, start: int, limit: float = math.inf) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """`(N,)` cost from a point to every other (inf beyond the limit), and the point before each on the way."""
        from scipy.sparse.csgraph import dijkstra

        cost, before = dijkstra(self._graph, indices=start, limit=limit, return_predecessors=True)
        return cost, before

    def route(self, start: int, end: int) -> Route:
        """The cheapest way, assembled; the last `KEPT` are remembered.

        Raises:
            RouteError: there is none.
        """
        key = start, end
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        xyz = self._roads.xyz
        # Most ways are not much longer than the crow flies: look there first.
        near = 2.0 * math.dist(xyz[start, :2], xyz[end, :2]) + 100.0
        for limit in (near, 3 * near, math.inf):
            cost, before = self.search(start, limit)
            if math.isfinite(cost[end]):
                break
        else:
            raise RouteError(
                f"no way from point {start} to point {end} on map {self._roads.name!r}; choose an end on roads that "
                "it leads to (random_routes finds some)"
            )
        route = self._kept[key] = assemble(self._roads, follow_back(before, start, end))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return route


def follow_back(before: NDArray[np.int32], start: int, end: int) -> NDArray[np.int32]:
    """The path from `start` to `end` out of what `search` returned."""
    path = [end]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return np.array(path[::-1], np.int32)


def _place_in_lane(roads: RoadNetwork) -> NDArray[np.int32]:
    """How many points of its lane lie before each point."""
    index = np.arange(len(roads))
    first = np.ones(len(roads), bool)
    first[1:] = (np.diff(roads.lane, axis=0) != 0).any(axis=1)
    return (index - np.maximum.accumulate(np.where(first, index, 0))).astype(np.int32)


def planner_of(roads: RoadNetwork) -> Planner:
    """The network's planner, made at first use."""
    return roads.kept(Planner)


def plan(roads: RoadNetwork, start: int, end: int, name: str = "") -> Route:
    """The shortest route between two points of the network.

    Raises:
        RouteError: there is no way, or it is shorter than `SHORTEST_ROUTE`.
        UsageError: a point does not exist.
    """
    for node in (start, end):
        if not 0 <= node < len(roads):
            raise UsageError(f"map {roads.name!r} has points 0 to {len(roads) - 1}; {node} is none of them")
    if start == end:
        raise RouteError(
            f"the route starts and ends at point {start}; for a loop, give plan_through a position on the way"
        )
    return _long_enough(replace(planner_of(roads).route(int(start), int(end)), name=name))


def plan_through(roads: RoadNetwork, positions: ArrayLike, yaw: float | None = None, name: str = "") -> Route:
    """The cheapest route that passes all positions in their order; it may cross itself or end where it began.

    Args:
        positions: `(K, 2)` or `(K, 3)` metres, K at least 2; each within `FURTHEST` of a lane's centre.
        yaw: heading at the first one, where it matters which lane it starts on.

    Raises:
        RouteError: no way leads through them, or one of them is not on a road; the message says which.
    """
    from apps.driving.roads.through import path_through

    return _long_enough(assemble(roads, path_through(roads, positions, yaw), name))


def _long_enough(route: Route) -> Route:
    if route.length < SHORTEST_ROUTE:
        raise RouteError(
            f"the route is {route.length:.1f} m long; at least {SHORTEST_ROUTE:g} m are needed: choose a later end"
        )
    return route


def random_routes(
    roads: RoadNetwork, count: int, length: tuple[float, float] = (150.0, 400.0), seed: int = 0
) -> list[Route]:
    """Different routes between spawn points; their lengths are spread over the range.

    Args:
        length: shortest and longest, in metres.
        seed: equal seeds give equal routes.

    Raises:
        UsageError: the map has not so many routes of that length.
    """
    shortest, longest = length
    if not SHORTEST_ROUTE <= shortest <= longest:
        raise UsageError(f"lengths from {shortest} to {longest} m: give {SHORTEST_ROUTE:g} <= shortest <= longest")
    if count < 0 or not len(roads.spawns):
        raise UsageError(f"{count} routes on map {roads.name!r} with {len(roads.spawns)} spawn points cannot be made")
    random = np.random.default_rng(seed)
    planner = planner_of(roads)
    taken: set[tuple[int, int]] = set()
    routes: list[Route] = []
    for _ in range(50 * count + 200):
        if len(routes) == count:
            return routes
        start, target = int(random.choice(roads.spawns)), float(random.uniform(shortest, longest))
        cost, before = planner.search(start, longest + 5 * CHANGE_COST)
        reached = roads.spawns[np.isfinite(cost[roads.spawns]) & (cost[roads.spawns] >= shortest)]
        if not len(reached):
            continue
        end = int(reached[np.argmin(np.abs(cost[reached] - target))])
        if (start, end) in taken:
            continue
        route = assemble(roads, follow_back(before, start, end), f"{roads.name}-{seed}-{len(routes):03d}")
        if shortest <= route.length <= longest:
            taken.add((start, end))
            routes.append(route)
    raise UsageError(
        f"map {roads.name!r} gave only {len(routes)} of {count} routes of {shortest:g} to {longest:g} m; ask "
        "for fewer or for other lengths"
    )
