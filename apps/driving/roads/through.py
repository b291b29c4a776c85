"""A path through given positions: which lane each of them lies on is settled by what makes the whole way cheapest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from apps.driving.roads.network import HEADING_COST, RoadNetwork
from apps.driving.roads.routes import RouteError

FURTHEST = 8.0
"""Metres from a lane's centre that a position may lie."""
AROUND = 2.5
"""Metres beyond the nearest lane within which other lanes are thought of."""
STOREY = 4.0
"""Metres of height that make it another road."""
MOST = 6
SNAP_COST = 5.0
"""Metres of way that a metre between position and lane counts as."""


def path_through(roads: RoadNetwork, positions: ArrayLike, yaw: float | None) -> NDArray[np.int32]:
    """Points of the network, for `assemble`.

    Raises:
        RouteError: a position is on no road, or no way leads through them.
    """
    from apps.driving.roads.planner import follow_back, planner_of

    places = np.asarray(positions, np.float64)
    if places.ndim != 2 or places.shape[1] not in (2, 3) or len(places) < 2 or not np.isfinite(places).all():
        raise RouteError(f"positions must be (K, 2) or (K, 3) finite numbers with K >= 2, not {places.shape}")
    planner = planner_of(roads)
    nodes, costs = _candidates(roads, places[0], 0, yaw)
    paths: list[NDArray[np.int32]] = [np.array([node], np.int32) for node in nodes]
    for index in range(1, len(places)):
        ends, snaps = _candidates(roads, places[index], index, None)
        best = np.full(len(ends), math.inf)
        ways: list[NDArray[np.int32] | None] = [None] * len(ends)
        apart = math.dist(places[index - 1, :2], places[index, :2])
        for reach in (2 * apart + 100.0, math.inf):
            for start, so_far, path in zip(nodes, costs, paths, strict=True):
                cost, before = planner.search(int(start), reach)
                for place, end in enumerate(ends):
                    total = so_far + cost[end] + snaps[place]
                    if total < best[place]:
                        best[place] = total
                        ways[place] = np.concatenate([path, follow_back(before, int(start), int(end))[1:]])
            if np.isfinite(best).any():
                break
        reached = [place for place, way in enumerate(ways) if way is not None]
        if not reached:
            raise RouteError(
                f"no way on map {roads.name!r} leads from position {index - 1} {_show(places[index - 1])} to position "
                f"{index} {_show(places[index])}; move one of them to another lane"
            )
        nodes, costs = ends[reached], best[reached]
        paths = [way for way in ways if way is not None]
    return paths[int(np.argmin(costs))]


def _candidates(
    roads: RoadNetwork, place: NDArray[np.float64], index: int, yaw: float | None
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The nearest point of every lane around a position, and what it costs to take it."""
    distance = float(roads.tree.query(place[:2])[0])
    if distance > FURTHEST:
        raise RouteError(
            f"position {index} {_show(place)} lies {distance:.1f} m off the nearest lane of map {roads.name!r}; is it "
            "a route of this map?"
        )
    near = np.array(sorted(roads.tree.query_ball_point(place[:2], distance + AROUND)), np.int32)
    away = np.hypot(*(roads.xyz[near, :2] - place[:2]).T)
    if len(place) == 3:
        height = np.abs(roads.xyz[near, 2] - place[2])
        same = height < height.min() + STOREY
        near, away = near[same], away[same]
    cost = SNAP_COST * away
    if yaw is not None:
        turn = np.abs((roads.yaw[near] - yaw + math.pi) % (2 * math.pi) - math.pi)
        cost = cost + 100 * HEADING_COST * turn
    order = np.argsort(cost, kind="stable")
    lanes: dict[tuple[int, ...], int] = {}
    for place_in in order:
        lanes.setdefault(tuple(roads.lane[near[place_in]].tolist()), int(place_in))
    chosen = list(lanes.values())[:MOST]
    return near[chosen], cost[chosen]


def _show(place: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in place) + ")"
