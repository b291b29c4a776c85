"""Where a route may change lanes, and over how many points: a change takes a stretch, not a point."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.network import RoadNetwork

SIDEWAYS = 2.0
"""m/s² that a change may take sideways at the speed limit: passengers find that comfortable."""
LANE_WIDTH = 3.5
SHORTEST, SHORT, LONGEST = 8, 20, 90


class Changes(NamedTuple):
    """Possible lane changes, one per row.

    Attributes:
        start, end: `(C,)` int32 points, on the two lanes.
        points: `(C,)` int32: `end` lies beside the point so many steps after `start`.
        wanted: `(C,)` int32: how many points comfort asks for; never less than `points`.
    """

    start: NDArray[np.int32]
    end: NDArray[np.int32]
    points: NDArray[np.int32]
    wanted: NDArray[np.int32]


def straight_on(roads: RoadNetwork) -> NDArray[np.int32]:
    """`(N,)` int32: the point that follows where only one does, or -1."""
    only = np.diff(roads.next_start) == 1
    onward = np.full(len(roads), -1, np.int32)
    onward[only] = roads.next_node[roads.next_start[:-1][only]]
    return onward


def wanted_points(speed_limit: NDArray[np.floating]) -> NDArray[np.int32]:
    """How long a change should be: the blend 3w² - 2w³ over L metres takes 6 * `LANE_WIDTH` * v² / L² sideways."""
    length = speed_limit * math.sqrt(6 * LANE_WIDTH / SIDEWAYS)
    points: NDArray[np.int32] = np.clip(np.rint(length), SHORT, LONGEST).astype(np.int32)
    return points


def find_changes(roads: RoadNetwork) -> Changes:
    """From every point the longest change that comfort asks for and markings allow, and a short one of `SHORT`."""
    onward = straight_on(roads)
    found = [_to_side(roads, beside, onward) for beside in (roads.left, roads.right)]
    return Changes(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _to_side(roads: RoadNetwork, beside: NDArray[np.int32], onward: NDArray[np.int32]) -> Changes:
    start = np.flatnonzero(beside >= 0).astype(np.int32)
    wanted = wanted_points(roads.speed_limit[start])
    here, there = start.copy(), beside[start]
    possible = np.ones(len(start), bool)
    points, end = (np.zeros((2, len(start)), np.int32) for _ in range(2))
    limits = (np.minimum(wanted, LONGEST), np.full(len(start), SHORT))
    for step in range(1, LONGEST + 1):
        here, there = onward[here], onward[there]
        # Both lanes must go on side by side, with the change allowed all the way.
        possible &= (here >= 0) & (there >= 0) & (beside[here] == there)
        if not possible.any():
            break
        for row, limit in enumerate(limits):
            longer = possible & (step <= limit)
            points[row, longer], end[row, longer] = step, there[longer]
    keep = points >= SHORTEST
    keep[1] &= points[1] < points[0]
    return Changes(
        np.concatenate([start[row] for row in keep]),
        np.concatenate([nodes[row] for nodes, row in zip(end, keep, strict=True)]),
        np.concatenate([count[row] for count, row in zip(points, keep, strict=True)]),
        np.concatenate([wanted[row] for row in keep]),
    )


def walk(roads: RoadNetwork, start: int, end: int) -> tuple[list[int], list[int], bool] | None:
    """The points of both lanes strictly between the start and the end of a change, and whether it goes left.

    None where no change leads from the one to the other.
    """
    for beside, left in ((roads.left, True), (roads.right, False)):
        here, there = start, int(beside[start])
        before: list[int] = []
        after: list[int] = []
        for _ in range(LONGEST if there >= 0 else 0):
            followers = roads.following(here), roads.following(there)
            if len(followers[0]) != 1 or len(followers[1]) != 1:
                break
            here, there = int(followers[0][0]), int(followers[1][0])
            if beside[here] != there:
                break
            if there == end:
                return before, after, left
            before.append(here)
            after.append(there)
    return None
