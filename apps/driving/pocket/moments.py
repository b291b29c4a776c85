"""One moment of traffic: what a scene is drawn from and judged by, and what may be changed about it."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import NOBODY, Actors, Ego, Kind
from apps.driving.env_config import ViewConfig
from apps.driving.environment.tracker import Place
from apps.driving.observation.bev import EGO_EXTENT, View
from apps.driving.observation.measures import Way
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route

#: What the pocket CLIP looks at. 32 m and not the environment's 38.4: a car is then 9 by 4 pixels, and the road is
#: still seen as far as a standing car matters at the target speed.
SIZE, METRES = 64, 32.0
#: Steps that the view remembers, for the outlines of where others were.
PAST = 11
#: Seconds of a step.
DT = 0.1
#: Id of the first who was put there; who comes later has the next one below.
PLACED = -7
#: Metres of the way that are looked at beyond the end of the route.
BEYOND = 40.0


def pocket_view() -> ViewConfig:
    """The picture that the pocket CLIP was trained on; set `picture` of the environment to it."""
    return ViewConfig("rgb", SIZE, METRES)


class Moment(NamedTuple):
    """What there is to see.

    Attributes:
        ego: the driven car.
        past: everyone else in the last steps, oldest first; the last entry is now.
        place: of the ego on its route.
        placed: whether something was put there that nobody drove.
    """

    ego: Ego
    past: tuple[Actors, ...]
    place: Place
    placed: bool = False

    @property
    def actors(self) -> Actors:
        """Everyone else, now."""
        return self.past[-1]


class Drawn:
    """Draws moments of one route.

    Args:
        roads: the network.
        route: in it.
    """

    def __init__(self, roads: RoadNetwork, route: Route) -> None:
        from apps.driving.backends.base import Frame

        self.roads, self.route = roads, route
        self.way = Way(route, BEYOND)
        self.view = View(pocket_view())
        x, y, z = route.xyz[0].tolist()
        start = Ego(x, y, z, float(route.yaw[0]))
        self.view.reset(roads, route, Frame(0, 0.0, start))

    def draw(self, moment: Moment) -> NDArray[np.uint8]:
        """The picture, `(3, H, W)` uint8 RGB: the same bytes as the environment's own."""
        self.view.ego = moment.ego
        self.view.moments = deque(moment.past, maxlen=PAST)
        return self.view.draw(moment.place.s)


def without_others(moment: Moment) -> Moment:
    """The same moment with nobody else on the road."""
    return moment._replace(past=(NOBODY,) * len(moment.past), placed=True)


def moved(moment: Moment, route: Route, s: float, offset: float, heading: float) -> Moment:
    """The ego put beside its route; others who stood there are taken away.

    Args:
        moment: to change.
        route: that it lies on.
        s: place along the route, in metres.
        offset: to the right of the lane's centre, in metres.
        heading: against the route's direction, in rad.
    """
    x, y = (float(np.interp(s, route.s, route.xyz[:, axis])) for axis in (0, 1))
    point = min(max(int(np.searchsorted(route.s, s, "right")) - 1, 0), len(route.s) - 2)
    yaw = float(route.yaw[point])
    ego = moment.ego._replace(x=x - offset * math.sin(yaw), y=y + offset * math.cos(yaw), yaw=yaw + heading)
    place = Place(point, s, offset, math.remainder(heading, 2 * math.pi), float(route.width[point]))
    past = tuple(_away_from(actors, ego.x, ego.y, 3.0) for actors in moment.past)
    return Moment(ego, past, place, placed=True)


def with_other(
    moment: Moment, kind: Kind, pose: tuple[float, float, float], speed: float, extent: tuple[float, float]
) -> Moment:
    """Someone more on the road, who came straight there; others who stood there are taken away.

    Args:
        moment: to change.
        kind: of the participant.
        pose: x, y and yaw.
        speed: along the yaw, in m/s.
        extent: half the length, half the width.
    """
    x, y, yaw = pose
    number = min(PLACED, min(int(actors.ids.min(initial=0)) for actors in moment.past) - 1)
    past = []
    for ago, actors in zip(range(len(moment.past) - 1, -1, -1), moment.past, strict=True):
        back = speed * DT * ago
        there = _away_from(actors, x, y, 2 * extent[0] if kind is Kind.VEHICLE else 0.5)
        past.append(
            Actors(
                np.append(there.ids, number),
                np.append(there.kinds, np.int8(kind)),
                np.vstack([there.poses, (x - back * math.cos(yaw), y - back * math.sin(yaw), moment.ego.z, yaw)]),
                np.append(there.speeds, speed),
                np.vstack([there.extents, extent]),
            )
        )
    return moment._replace(past=tuple(past), placed=True)


def _away_from(actors: Actors, x: float, y: float, reach: float) -> Actors:
    far = np.hypot(actors.poses[:, 0] - x, actors.poses[:, 1] - y) > reach + actors.extents[:, 0]
    return chosen(actors, far)


def chosen(actors: Actors, rows: NDArray[np.bool_]) -> Actors:
    """Those of a `(N,)` mask."""
    return Actors(actors.ids[rows], actors.kinds[rows], actors.poses[rows], actors.speeds[rows], actors.extents[rows])


#: Half the ego's length and width, in metres, as drawn and as judged.
HALF_LENGTH, HALF_WIDTH = EGO_EXTENT
