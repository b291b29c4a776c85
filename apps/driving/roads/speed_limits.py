"""Speed limits of a map: signs, `<speed>` elements, or a default."""

from __future__ import annotations

import heapq
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.network import SPACING

if TYPE_CHECKING:
    from apps.driving.roads.opendrive import LanePiece

DEFAULT_LIMIT = 50.0
"""km/h, where a map says nothing: the limit in European towns."""
_UNITS = {"km/h": 1.0, "kmh": 1.0, "mph": 1.609344, "m/s": 3.6, "": 3.6}
_SIGN = "274"


def kilometres_per_hour(element: ElementTree.Element) -> float | None:
    """The limit of a `<speed>` element; None for other elements and for "no limit" and "undefined"."""
    if element.tag != "speed":
        return None
    try:
        value = float(element.get("max", "")) * _UNITS[element.get("unit", "")]
    except (ValueError, KeyError):
        return None
    return value if 0 < value < 1000 else None


def sign_limits(
    world: Any,
    pieces: list[LanePiece],
    stations: NDArray[np.float64],
    next_start: NDArray[np.int32],
    next_node: NDArray[np.int32],
) -> NDArray[np.float64]:
    """km/h at every point from the nearest sign upstream on any way that leads to it; NaN where there is none.

    Args:
        world: the `carla.Map`.
        pieces: lanes of the network, with the numbers of their points.
        stations: `(N,)` s of each point.
        next_start, next_node: edges of the network.
    """
    limits = np.full(len(stations), np.nan)
    queue: list[tuple[float, int, float]] = []
    by_road: dict[int, list[LanePiece]] = {}
    for piece in pieces:
        by_road.setdefault(piece.key[0], []).append(piece)
    for sign in world.get_all_landmarks_of_type(_SIGN):
        value = _value(sign)
        for piece in by_road.get(sign.road_id, ()) if value else ():
            if not _holds_for(sign, piece.key[2]) or not piece.start <= sign.s <= piece.end:
                continue
            along = stations[piece.first : piece.first + piece.count]
            passed = np.flatnonzero(along >= sign.s if piece.key[2] < 0 else along <= sign.s)
            if len(passed):
                queue.append((0.0, piece.first + int(passed[0]), value))
    heapq.heapify(queue)
    while queue:
        way, node, value = heapq.heappop(queue)
        if not np.isnan(limits[node]):
            continue
        limits[node] = value
        for follower in next_node[next_start[node] : next_start[node + 1]]:
            if np.isnan(limits[follower]):
                heapq.heappush(queue, (way + SPACING, int(follower), value))
    return limits


def _value(sign: Any) -> float:
    # CARLA's own signs are called Speed_30 and mean km/h, whatever unit their maps write beside it: the server's
    # speed limit is 30 km/h there.
    if named := re.fullmatch(r"Speed_(\d+)", sign.name):
        return float(named[1])
    value = sign.value * _UNITS.get(sign.unit, 1.0)
    return value if 0 < value < 1000 else 0.0


def _holds_for(sign: Any, lane: int) -> bool:
    ranges = sign.get_lane_validities()
    if ranges:
        return any(min(pair) <= lane <= max(pair) for pair in ranges)
    # As in CARLA's own maps, where signs for the lanes that run against s are the "positive" ones.
    towards = str(sign.orientation)
    return towards == "Both" or (lane > 0) == (towards == "Positive")
