"""What the driver knows in numbers: its own car, the way ahead, its nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import Actors, Ego
from apps.driving.env_config import FINE, ObservationConfig
from apps.driving.environment.tracker import Place
from apps.driving.roads.routes import Route

MEASURES = ("steer", "pedals", "speed", "yaw rate", "offset", "heading", "lane width", "left of the route", "free way")
NEIGHBOUR = ("there", "ahead", "right", "cosine", "sine", "speed", "half length", "half width")
#: Speeds are divided by this many m/s, lengths of cars by this many metres.
SPEED, CAR = 10.0, 5.0


class Way:
    """The route as points every `FINE` metres, which go straight on beyond its end.

    Args:
        route: the route.
        ahead: metres beyond the end that may be asked for.
    """

    def __init__(self, route: Route, ahead: float) -> None:
        s = np.arange(0.0, route.length + ahead + 2 * FINE, FINE)
        beyond = np.maximum(s - route.length, 0.0)
        x = np.interp(s, route.s, route.xyz[:, 0]) + beyond * math.cos(route.yaw[-1])
        y = np.interp(s, route.s, route.xyz[:, 1]) + beyond * math.sin(route.yaw[-1])
        self.points: NDArray[np.float64] = np.stack([x, y], 1)

    def ahead(self, s: float, count: int, spacing: float) -> NDArray[np.float64]:
        """`(count, 2)` points that lie `spacing`, `2 spacing`, ... metres ahead of `s`."""
        stride = max(round(spacing / FINE), 1)
        first = int(s / FINE + 0.5) + stride
        return self.points[first : first + count * stride : stride]


def measures(ego: Ego, place: Place, left: float, tolerance: float, free: float) -> NDArray[np.float32]:
    """`(9,)` the car's own state, each about within [-1, 1]; see `MEASURES`.

    Args:
        ego: the car.
        place: on its route.
        left: metres of the route.
        tolerance: metres from the lane's centre at which the car is off the route.
        free: share of the waypoints ahead before the first that somebody stands in, 1 where none is.
    """
    return np.array(
        (
            ego.steer,
            ego.throttle - ego.brake,
            ego.speed / SPEED,
            ego.yaw_rate,
            place.offset / tolerance,
            place.heading / math.pi,
            place.lane_width / CAR,
            min(left / 100.0, 1.0),
            free,
        ),
        np.float32,
    )


def in_ego_frame(points: NDArray[np.float64], ego: Ego) -> NDArray[np.float64]:
    """`(N, 2)` points as metres ahead of the car and to its right."""
    cosine, sine = math.cos(ego.yaw), math.sin(ego.yaw)
    moved = points - (ego.x, ego.y)
    rotated: NDArray[np.float64] = moved @ np.array(((cosine, -sine), (sine, cosine)))
    return rotated


def neighbours(ego: Ego, actors: Actors, config: ObservationConfig) -> NDArray[np.float32]:
    """`(K, 8)` the nearest participants within sight, nearest first; rows of zeros where there are fewer."""
    found = np.zeros((config.neighbours, len(NEIGHBOUR)), np.float32)
    if not len(actors) or not config.neighbours:
        return found
    places = in_ego_frame(actors.poses[:, :2], ego)
    distances = np.hypot(places[:, 0], places[:, 1])
    order = np.argsort(distances, kind="stable")[: config.neighbours]
    order = order[distances[order] <= config.sight]
    turn = actors.poses[order, 3] - ego.yaw
    rows = found[: len(order)]
    rows[:, 0] = 1.0
    rows[:, 1:3] = places[order] / config.sight
    rows[:, 3], rows[:, 4] = np.cos(turn), np.sin(turn)
    rows[:, 5] = actors.speeds[order] / SPEED
    rows[:, 6:] = actors.extents[order] / CAR
    return found


def hazard(way: NDArray[np.float64], actors: Actors, spacing: float, half_width: float) -> float:
    """Metres along the way to the first participant that stands in it; inf where there is none.

    Args:
        way: `(P, 2)` points ahead, `spacing` metres apart.
        actors: everyone else.
        spacing: in metres.
        half_width: of the corridor that must be free, in metres.
    """
    if not len(actors):
        return math.inf
    # A car is three discs: its middle, its front and its rear.
    yaw = actors.poses[:, 3]
    arm = np.stack([np.cos(yaw), np.sin(yaw)], 1) * np.maximum(actors.extents[:, :1] - actors.extents[:, 1:], 0.0)
    discs = np.stack([actors.poses[:, :2] + share * arm for share in (-1.0, 0.0, 1.0)])
    apart = discs[:, :, None] - way
    squares = np.einsum("knpd,knpd->knp", apart, apart)
    reach = np.hypot(half_width + actors.extents[:, 1], spacing / 2)
    blocked = (squares <= reach[:, None] ** 2).any((0, 1))
    first = int(blocked.argmax())
    return (first + 1) * spacing if blocked[first] else math.inf


def spread(values: Collection[float]) -> float:
    """Standard deviation of a few numbers; 0 for one."""
    count = len(values)
    mean = sum(values) / count
    return math.sqrt(sum((one - mean) ** 2 for one in values) / count)
