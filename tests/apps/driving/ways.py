"""Routes made of points, for tests that need no road network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from apps.driving.roads.routes import Command, Route


def route(points: Sequence[Sequence[float]], width: float = 3.5, name: str = "route") -> Route:
    """A route through points `(x, y)` or `(x, y, z)`, a metre apart or so."""
    xyz = np.array([(*point, 0.0)[:3] for point in points], float)
    steps = np.diff(xyz[:, :2], axis=0)
    yaw = np.arctan2(steps[:, 1], steps[:, 0])
    count = len(xyz)
    return Route(
        "made",
        "0" * 64,
        xyz,
        np.append(yaw, yaw[-1]),
        np.full(count, width),
        np.full(count, Command.LANE_FOLLOW, np.int8),
        np.full(count, 13.9),
        np.append(0.0, np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))),
        np.arange(count, dtype=np.int32),
        name,
    )


def straight(length: int = 100, slope: float = 0.0) -> Route:
    """Along x, from 0."""
    return route([(x, 0.0, slope * x) for x in range(length + 1)])


def circle(radius: float = 20.0, turns: float = 1.0) -> Route:
    """To the right round (0, radius), from the origin; its end is its start for whole turns."""
    count = round(2 * math.pi * radius * turns)
    angles = np.linspace(0.0, 2 * math.pi * turns, count + 1)
    return route([(radius * math.sin(one), radius * (1 - math.cos(one))) for one in angles])


def crossing() -> Route:
    """East, round three corners, then north over its own beginning."""
    east = [(x, 0.0) for x in range(0, 61)]
    south = [(60.0, y) for y in range(1, 31)]
    west = [(x, 30.0) for x in range(59, 29, -1)]
    north = [(30.0, y) for y in range(29, -31, -1)]
    return route([*east, *south, *west, *north])
