"""A road network as the environment sees it: points along every lane's centre, and how they hang together.

It is made from OpenDRIVE by `apps.driving.roads.opendrive` (through `carla.Map`) and kept as `.npz`, so that it is
the same with and without the carla wheel. Axes and units are those of `apps.driving.backends.base`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

SPACING = 1.0


@dataclass(frozen=True, eq=False)
class RoadNetwork:
    """Points along the centres of all driving lanes, every `SPACING` metres, and the edges between them.

    Attributes:
        name: of the town, as a CARLA server knows it.
        digest: sha256 of the OpenDRIVE text it was made from, in hex.
        xyz: `(N, 3)` float64.
        yaw: `(N,)` float64, the lane's driving direction.
        width: `(N,)` float32, of the lane.
        lane: `(N, 3)` int32: road, lane section, lane, as OpenDRIVE numbers them.
        s: `(N,)` float32, OpenDRIVE's distance along the road.
        junction: `(N,)` int32, the junction's id, or -1.
        speed_limit: `(N,)` float32 in m/s.
        next_start: `(N + 1,)` int32, and
        next_node: `(E,)` int32: the points that follow point i are `next_node[next_start[i]:next_start[i + 1]]`.
        left, right: `(N,)` int32: the point beside it on a lane of the same direction that may be changed to, or -1.
        spawns: `(S,)` int32: points where a car may be put, outside of junctions.
        crossings: `(C, P, 3)` float64: crosswalks as closed polygons of P corners (the first corner is not repeated;
            shorter ones repeat their last corner); none: `(0, 4, 3)`.
    """

    name: str
    digest: str
    xyz: NDArray[np.float64]
    yaw: NDArray[np.float64]
    width: NDArray[np.float32]
    lane: NDArray[np.int32]
    s: NDArray[np.float32]
    junction: NDArray[np.int32]
    speed_limit: NDArray[np.float32]
    next_start: NDArray[np.int32]
    next_node: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    spawns: NDArray[np.int32]
    crossings: NDArray[np.float64]

    def __len__(self) -> int:
        """Points."""
        return len(self.xyz)

    def following(self, node: int) -> NDArray[np.int32]:
        """The points that follow a point."""
        return self.next_node[self.next_start[node] : self.next_start[node + 1]]

    @cached_property
    def _tree(self):  # type: ignore[no-untyped-def]
        from scipy.spatial import cKDTree

        return cKDTree(self.xyz[:, :2])
