"""Road networks as shapes, for drawing: what is road, and where its lines are."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.network import RoadNetwork


class Line(NamedTuple):
    """A marking.

    Attributes:
        points: `(P, 2)` float64.
        broken: whether it may be crossed.
    """

    points: NDArray[np.float64]
    broken: bool


def lane_edges(roads: RoadNetwork) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left and right edge beside every point, `(N, 2)` each."""
    to_right = np.stack([-np.sin(roads.yaw), np.cos(roads.yaw)], axis=1) * (roads.width[:, None] / 2)
    return roads.xyz[:, :2] - to_right, roads.xyz[:, :2] + to_right


def lane_quads(roads: RoadNetwork) -> NDArray[np.float64]:
    """Everything that is road, as `(E, 4, 2)` four-sided pieces, one per edge of the network; they leave no gaps."""
    left, right = lane_edges(roads)
    here, there = roads.edge_from, roads.next_node
    return np.stack([left[here], left[there], right[there], right[here]], axis=1)


def lane_runs(roads: RoadNetwork) -> list[tuple[int, int]]:
    """First point and the one after the last of every lane (of one lane section)."""
    borders = np.flatnonzero((np.diff(roads.lane, axis=0) != 0).any(axis=1)) + 1
    ends = [0, *borders.tolist(), len(roads)]
    return list(itertools.pairwise(ends))


def lane_polygons(roads: RoadNetwork) -> list[NDArray[np.float64]]:
    """Every lane as `(P, 2)` corners, up its left edge and down its right one; once for each lane that it leads to,
    whose first point it goes up to, so that they leave no gaps.
    """
    left, right = lane_edges(roads)
    polygons = []
    for first, beyond in lane_runs(roads):
        for last in roads.following(beyond - 1).tolist() or [beyond - 1]:
            along = [*range(first, beyond), last]
            polygons.append(np.concatenate([left[along], right[along[::-1]]]))
    return polygons


def lane_lines(roads: RoadNetwork) -> list[Line]:
    """Markings along all lanes outside of junctions: every lane's left line, and the right one of the outermost.

    A line is broken where a lane change from its right over it is allowed; the middle line of a road is solid.
    """
    left, right = lane_edges(roads)
    known = {tuple(lane) for lane in np.unique(roads.lane, axis=0).tolist()}
    lines: list[Line] = []
    for first, beyond in lane_runs(roads):
        if roads.junction[first] >= 0:
            continue
        onward = roads.following(beyond - 1)
        along = np.array([*range(first, beyond), *(onward if len(onward) == 1 else ())])
        lines += _pieces(left[along], roads.left[along] >= 0)
        road, section, lane = (int(number) for number in roads.lane[first])
        if (road, section, lane + (1 if lane > 0 else -1)) not in known:
            lines.append(Line(right[along], False))
    return lines


def _pieces(points: NDArray[np.float64], crossed: NDArray[np.bool_]) -> list[Line]:
    borders = [0, *(np.flatnonzero(np.diff(crossed)) + 1).tolist(), len(points)]
    return [
        Line(points[first : beyond + 1], bool(crossed[first]))
        for first, beyond in itertools.pairwise(borders)
        if len(points[first : beyond + 1]) > 1
    ]
