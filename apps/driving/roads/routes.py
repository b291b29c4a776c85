"""Routes: the way that the driver is asked to go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from common.errors import UsageError

#: Shorter routes, in metres, are refused: the car would stand at the goal.
SHORTEST_ROUTE = 5.0


class RouteError(UsageError, ValueError):
    """There is no such way, or none that can be driven; the message names the next step."""


class Command(IntEnum):
    """What the navigator says at a point of the route; numbers are those of CARLA's RoadOption."""

    LEFT = 1
    RIGHT = 2
    STRAIGHT = 3
    LANE_FOLLOW = 4
    CHANGE_LEFT = 5
    CHANGE_RIGHT = 6


@dataclass(frozen=True, eq=False)
class Route:
    """A way through a road network, as points about a metre apart.

    Attributes:
        town: name of the network it lies in.
        digest: of the network's OpenDRIVE text; a backend refuses a route of another map.
        xyz: `(M, 3)` float64, M at least 2.
        yaw: `(M,)` float64, along the lane.
        width: `(M,)` float64, of the lane.
        commands: `(M,)` int8, of `Command`.
        speed_limit: `(M,)` float64 in m/s.
        s: `(M,)` float64, horizontal distance along the route from its start, strictly increasing from 0.
        nodes: `(M,)` int32, the network's points.
        name: for tables; unique in a route file.
    """

    town: str
    digest: str
    xyz: NDArray[np.float64]
    yaw: NDArray[np.float64]
    width: NDArray[np.float64]
    commands: NDArray[np.int8]
    speed_limit: NDArray[np.float64]
    s: NDArray[np.float64]
    nodes: NDArray[np.int32]
    name: str = ""

    @property
    def length(self) -> float:
        """In metres."""
        return float(self.s[-1])
