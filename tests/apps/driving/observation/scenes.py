"""Moments made by hand on a street along x: the ego's lane to the right of y = 0, the other one to the left."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from apps.driving.backends.base import Actors, Ego, Frame, Kind
from apps.driving.env_config import ViewConfig
from apps.driving.observation.bev import View
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route
from tests.apps.driving.small_roads import WIDTH, route_from, street

STREET = street(200.0)
#: Metres along the street at which the ego is put down.
HERE = 80.0


def others(*places: tuple[float, ...], kind: Kind = Kind.VEHICLE) -> Actors:
    """Cars of 4.4 by 1.8 m at `(x, y)` or `(x, y, yaw)`."""
    count = len(places)
    poses = np.array([(*place[:2], 0.0, place[2] if len(place) > 2 else 0.0) for place in places]).reshape(count, 4)
    extents = np.tile((2.2, 0.9), (count, 1))
    return Actors(np.arange(count), np.full(count, kind, np.int8), poses, np.zeros(count), extents)


def ego(x: float = HERE, y: float = WIDTH / 2, yaw: float = 0.0, **more: float) -> Ego:
    return Ego(x, y, 0.0, yaw, **more)


def route() -> Route:
    return route_from(STREET, 0, 150)


def view(kind: str = "masks", size: int = 96, metres: float = 38.4, **more: object) -> ViewConfig:
    return ViewConfig(kind, size, metres, **more)


def drawn(config: ViewConfig, where: Ego, actors: Actors, roads: RoadNetwork = STREET, way: Route | None = None):
    """The picture of one moment, and the view that drew it."""
    one = View(config)
    one.reset(roads, way or route(), Frame(0, 0.0, where, actors))
    return one.draw(HERE), one


def place(one: View, ahead: float, right: float) -> tuple[int, int]:
    """Row and column of a point that lies so many metres from the ego."""
    return round(one.row - ahead * one.scale), round(one.column + right * one.scale)


def turned(roads: RoadNetwork, way: Route, angle: float) -> tuple[RoadNetwork, Route]:
    """The same world, turned round the origin."""
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = np.array(((cosine, sine, 0.0), (-sine, cosine, 0.0), (0.0, 0.0, 1.0)))
    return (
        replace(roads, xyz=roads.xyz @ matrix, yaw=roads.yaw + angle, crossings=roads.crossings @ matrix),
        replace(way, xyz=way.xyz @ matrix, yaw=way.yaw + angle),
    )
