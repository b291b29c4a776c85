"""A road network as the environment sees it: points along every lane's centre, and how they hang together.

It is made from OpenDRIVE by `apps.driving.roads.opendrive` (through `carla.Map`) and kept as `.npz`, so that it is
the same with and without the carla wheel. Axes and units are those of `apps.driving.backends.base`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Made = TypeVar("Made")

SPACING = 1.0
NEIGHBOURS = 24
"""Points that `nearest` looks at when a heading or a height is to decide: four metres of six crossing lanes."""
HEADING_COST = 0.7
"""Metres that a heading wrong by one radian counts as; a lane of the other direction costs 2.2 m, less than a lane's
width: a car that is wholly on the wrong lane is said to be there."""
HEIGHT_COST = 1.0
"""Metres that a metre of height above the first two counts as: bridges are higher, slopes are not."""


@dataclass(frozen=True, eq=False)
class RoadNetwork:
    """Points along the centres of all driving lanes, about every `SPACING` metres, and the edges between them.

    The points of one lane have consecutive numbers in its driving direction. Positions are whole millimetres and
    angles whole 1e-5 rad, so that a network is the same after `save` and `load`.

    Attributes:
        name: of the town, as a CARLA server knows it.
        digest: sha256 of the OpenDRIVE text it was made from, in hex.
        xyz: `(N, 3)` float64.
        yaw: `(N,)` float64, the lane's driving direction, in (-pi, pi].
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

    def __post_init__(self) -> None:
        from apps.driving.roads.network_checks import check

        check(self)

    def __len__(self) -> int:
        """Points."""
        return len(self.xyz)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the search tree, and what is `kept`, which every process makes for itself."""
        return RoadNetwork, tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def following(self, node: int) -> NDArray[np.int32]:
        """The points that follow a point."""
        return self.next_node[self.next_start[node] : self.next_start[node + 1]]

    @cached_property
    def edge_from(self) -> NDArray[np.int32]:
        """`(E,)` int32: the point that edge `next_node[e]` leads away from."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.next_start))

    @cached_property
    def tree(self) -> cKDTree:
        """Search tree over `xyz[:, :2]`, made at first use."""
        try:
            from scipy.spatial import cKDTree
        except ImportError as error:
            raise MissingDependency("scipy", "driving") from error
        return cKDTree(self.xyz[:, :2])

    @overload
    def nearest(self, x: float, y: float, yaw: float | None = None, z: float | None = None) -> int: ...

    @overload
    def nearest(
        self, x: NDArray[Any], y: NDArray[Any], yaw: ArrayLike | None = None, z: ArrayLike | None = None
    ) -> NDArray[np.int32]: ...

    def nearest(self, x: Any, y: Any, yaw: Any = None, z: Any = None) -> Any:
        """The point next to a position; where lanes cross or lie above each other, the one that fits best.

        Args:
            x, y: metres, numbers or arrays of one shape.
            yaw: heading in rad. With it, of the `NEIGHBOURS` next points the one with the least
                distance + `HEADING_COST` * |heading - lane's heading| is taken.
            z: height in metres, for bridges: `HEIGHT_COST` metres for each metre above the first two.

        Returns:
            A number for numbers, an int32 array of the same shape for arrays.

        Raises:
            UsageError: a coordinate is NaN or infinite.
        """
        if isinstance(x, np.ndarray) and x.ndim:
            return self._nearest_of_many(x, y, yaw, z)
        x, y = float(x), float(y)
        if not (math.isfinite(x) and math.isfinite(y)):
            raise UsageError(f"position ({x}, {y}) must be finite numbers")
        if yaw is None and z is None:
            return int(self.tree.query((x, y))[1])
        near, nodes = self.tree.query((x, y), min(NEIGHBOURS, len(self)))
        near, nodes = np.atleast_1d(near), np.atleast_1d(nodes)
        return int(nodes[np.argmin(self._cost(near, nodes, yaw, z))])

    def _nearest_of_many(self, x: NDArray[Any], y: Any, yaw: Any, z: Any) -> NDArray[np.int32]:
        at = np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float64)
        if not np.isfinite(at).all():
            raise UsageError(f"{int((~np.isfinite(at).all(-1)).sum())} of the positions are not finite numbers")
        if yaw is None and z is None:
            return np.asarray(self.tree.query(at)[1], np.int32)
        near, nodes = self.tree.query(at, np.arange(1, min(NEIGHBOURS, len(self)) + 1))
        beside = [None if value is None else np.asarray(value, np.float64)[..., None] for value in (yaw, z)]
        best = np.argmin(self._cost(near, nodes, *beside), axis=-1)[..., None]
        return np.take_along_axis(nodes, best, axis=-1)[..., 0].astype(np.int32)

    def _cost(self, near: NDArray[Any], nodes: NDArray[Any], yaw: Any, z: Any) -> NDArray[Any]:
        cost = near
        if yaw is not None:
            turn = np.abs(self.yaw[nodes] - yaw) % (2 * math.pi)
            cost = cost + HEADING_COST * np.minimum(turn, 2 * math.pi - turn)
        if z is not None:
            cost = cost + HEIGHT_COST * np.maximum(np.abs(self.xyz[nodes, 2] - z) - 2.0, 0.0)
        return cost

    def kept(self, make: Callable[[RoadNetwork], Made]) -> Made:
        """What `make` makes of this network, made at first use and let go with the network."""
        # On the network itself: a table beside it, even one of weak keys, would hold what holds the network.
        made: dict[Any, Any] = self.__dict__.setdefault("_kept", {})
        if make not in made:
            made[make] = make(self)
        return made[make]  # type: ignore[no-any-return]

    def save(self, path: Path | str) -> Path:
        """Write it as `.npz`, atomically; equal networks give equal bytes."""
        from apps.driving.roads.network_files import save

        return save(self, path)

    @staticmethod
    def load(path: Path | str) -> RoadNetwork:
        """Read what `save` wrote.

        Raises:
            DataError: the file is absent, is no road network or is damaged.
        """
        from apps.driving.roads.network_files import load

        return load(path)
