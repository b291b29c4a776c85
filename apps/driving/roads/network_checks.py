"""What must hold for a road network, checked whenever one is made: a broken map fails here and not in an episode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.errors import UsageError

if TYPE_CHECKING:
    from apps.driving.roads.network import RoadNetwork

COLUMNS: dict[str, tuple[type, tuple[int, ...]]] = {
    "xyz": (np.float64, (3,)),
    "yaw": (np.float64, ()),
    "width": (np.float32, ()),
    "lane": (np.int32, (3,)),
    "s": (np.float32, ()),
    "junction": (np.int32, ()),
    "speed_limit": (np.float32, ()),
    "left": (np.int32, ()),
    "right": (np.int32, ()),
}
"""Arrays with one row per point: type and the shape of a row."""


def check(roads: RoadNetwork) -> None:
    """Refuse a network whose arrays do not fit each other.

    Raises:
        UsageError: says which array is wrong, and how.
    """
    points = len(roads.xyz)
    if not points:
        raise UsageError(f"road network {roads.name!r} has no driving lane")
    for name, (kind, shape) in COLUMNS.items():
        array = getattr(roads, name)
        if array.dtype != kind or array.shape != (points, *shape):
            _refuse(roads, name, f"is {array.dtype}{array.shape}, not {np.dtype(kind)}{(points, *shape)}")
    for name in ("xyz", "yaw", "width", "speed_limit", "crossings"):
        if not np.isfinite(getattr(roads, name)).all():
            _refuse(roads, name, "has values that are not finite")
    for name in ("width", "speed_limit"):
        if (getattr(roads, name) <= 0).any():
            _refuse(roads, name, "has values that are not above 0")
    starts = roads.next_start
    if starts.dtype != np.int32 or starts.shape != (points + 1,) or starts[0] != 0 or (np.diff(starts) < 0).any():
        _refuse(roads, "next_start", f"must be int32{(points + 1,)}, rising from 0")
    if starts[-1] != len(roads.next_node):
        _refuse(roads, "next_node", f"has {len(roads.next_node)} edges, next_start counts {starts[-1]}")
    for name, lowest in (("next_node", 0), ("left", -1), ("right", -1), ("spawns", 0)):
        array = getattr(roads, name)
        if array.dtype != np.int32 or array.ndim != 1:
            _refuse(roads, name, f"is {array.dtype}{array.shape}, not one row of int32")
        if len(array) and (array.min() < lowest or array.max() >= points):
            _refuse(roads, name, f"names points outside of {lowest} to {points - 1}")
    if roads.crossings.ndim != 3 or roads.crossings.shape[-1] != 3 or roads.crossings.dtype != np.float64:
        _refuse(roads, "crossings", f"is {roads.crossings.dtype}{roads.crossings.shape}, not float64(C, P, 3)")


def _refuse(roads: RoadNetwork, name: str, what: str) -> None:
    raise UsageError(f"road network {roads.name!r}: {name} {what}")
