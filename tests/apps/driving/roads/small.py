"""Networks small enough to be checked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.driving.roads.network import RoadNetwork


def network(**changes: Any) -> RoadNetwork:
    """Two lanes of one direction (road 1, lanes -1 and -2) of 60 points each, 3.5 m apart, going along x; changes are
    allowed. The points of lane -1 are 0 to 59, those of lane -2 (to its right, y = 3.5) 60 to 119."""
    count = 60
    along = np.arange(count, dtype=np.float64)
    nodes = np.arange(2 * count, dtype=np.int32)
    ends = np.isin(nodes, (count - 1, 2 * count - 1))
    columns: dict[str, Any] = {
        "name": "strip",
        "digest": "0" * 64,
        "xyz": np.stack([np.tile(along, 2), np.repeat([0.0, 3.5], count), np.zeros(2 * count)], axis=1),
        "yaw": np.zeros(2 * count),
        "width": np.full(2 * count, 3.5, np.float32),
        "lane": np.stack([np.ones(2 * count), np.zeros(2 * count), np.repeat([-1, -2], count)], 1).astype(np.int32),
        "s": np.tile(along, 2).astype(np.float32),
        "junction": np.full(2 * count, -1, np.int32),
        "speed_limit": np.full(2 * count, 5.0, np.float32),
        "next_start": np.concatenate([[0], np.cumsum(~ends)]).astype(np.int32),
        "next_node": (nodes[~ends] + 1).astype(np.int32),
        "left": np.where(nodes >= count, nodes - count, -1).astype(np.int32),
        "right": np.where(nodes < count, nodes + count, -1).astype(np.int32),
        "spawns": np.array([5, 65], np.int32),
        "crossings": np.zeros((0, 4, 3)),
    }
    return RoadNetwork(**{**columns, **changes})


def same(one: RoadNetwork, other: RoadNetwork) -> bool:
    """Equal to the last bit, types included."""
    for name in one.__dataclass_fields__:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, str):
            if a != b:
                return False
        elif a.dtype != b.dtype or a.shape != b.shape or not (a == b).all():
            return False
    return True
