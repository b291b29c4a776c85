"""Where the car is on its route, and how much of the route it has driven.

Progress is potential-based: it never goes down, what it gains in every step adds up to route completion exactly, and
metres that are passed off the route, with the nose backwards or by a jump are never made good. A search for the
nearest point of the whole route would give credit at crossings and for shortcuts (VLM-RL's index runs ahead off the
route: in 27 to 38 % of drives with random turns by 20 points or more in one step); here the place on the route moves
no further than the car does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from apps.driving.roads.routes import Route

#: Metres that the place may move beyond what the car drove: the inside of a bend is shorter than the lane's centre.
SLACK = 1.5
#: A car that moved further than this in one step, in metres beyond what its speed explains, was put elsewhere.
JUMP = 5.0


class Place(NamedTuple):
    """Where the car is on its route.

    Attributes:
        point: the route's point at or before it.
        s: distance along the route, in metres.
        offset: to the right of the lane's centre, in metres, measured on the ground plane: hills do not shift it.
        heading: of the nose against the route, in rad, within (-pi, pi].
        lane_width: in metres.
    """

    point: int
    s: float
    offset: float
    heading: float
    lane_width: float


class RouteTracker:
    """Follows one car along one route.

    Args:
        route: where it should go.
        tolerance: further from the lane's centre than this, in metres, the car is off the route and gains nothing.
    """

    def __init__(self, route: Route, tolerance: float) -> None:
        # Python floats: this runs every step, and reading one number of an array takes longer than the arithmetic.
        self.xs: list[float] = route.xyz[:, 0].tolist()
        self.ys: list[float] = route.xyz[:, 1].tolist()
        self.ss: list[float] = route.s.tolist()
        self.yaws: list[float] = route.yaw.tolist()
        self.widths: list[float] = route.width.tolist()
        self.length: float = self.ss[-1]
        self.tolerance = tolerance
        self.last = len(self.xs) - 2
        self.place = Place(0, 0.0, 0.0, 0.0, self.widths[0])
        self.gained: float = 0.0
        self.off_route = False
        self._furthest: float = 0.0
        self._x, self._y = self.xs[0], self.ys[0]

    @property
    def progress(self) -> float:
        """Share of the route that was driven, in [0, 1]."""
        return self.gained / self.length

    @property
    def remaining(self) -> float:
        """Metres of the route that were not driven yet."""
        return self.length - self.gained

    def start(self, x: float, y: float, yaw: float) -> Place:
        """Begin an episode with the car at `(x, y)`: the route counts from there."""
        self.place = Place(0, 0.0, 0.0, 0.0, self.widths[0])
        self.gained = 0.0
        self.off_route = False
        self._x, self._y = x, y
        self.place = self._find(x, y, yaw, 0, min(int(2 * SLACK) + 1, self.last))
        self._furthest = self.place.s
        self.length = self.ss[-1] - self.place.s
        return self.place

    def update(self, x: float, y: float, yaw: float, reach: float) -> float:
        """Take in where the car is now and return the progress of this step, a share of the route of 0 or more.

        Args:
            x: of the car, in metres.
            y: of the car.
            yaw: of its nose, in rad.
            reach: how far its speed can have brought it in this step, in metres.
        """
        moved = math.hypot(x - self._x, y - self._y)
        self._x, self._y = x, y
        before = self.place
        if moved > reach + JUMP:
            # Put elsewhere: its offset is true, its place on the route stays.
            self.off_route = True
            self.place = self._find(x, y, yaw, before.point, before.point)
            return 0.0
        window = moved + SLACK
        first = last = before.point
        while first > 0 and before.s - self.ss[first] < window:
            first -= 1
        while last < self.last and self.ss[last + 1] - before.s < window:
            last += 1
        place = self._find(x, y, yaw, first, last)
        off = abs(place.offset)
        # Before the start and behind the end too: there the offset is the distance to it.
        self.off_route = off > self.tolerance
        # Further away the nearest point says nothing: the place waits where the route was left.
        self.place = place if off <= 2 * self.tolerance else place._replace(point=before.point, s=before.s)
        advance = max(self.place.s - self._furthest, 0.0)
        self._furthest = max(self._furthest, self.place.s)
        if self.off_route or abs(place.heading) >= math.pi / 2:
            return 0.0
        self.gained += advance
        return advance / self.length

    def _find(self, x: float, y: float, yaw: float, first: int, last: int) -> Place:
        """The nearest place on the segments `first` to `last`."""
        xs, ys, ss = self.xs, self.ys, self.ss
        best = math.inf
        index, along, right = first, 0.0, 0.0
        for one in range(first, last + 1):
            x0, y0 = xs[one], ys[one]
            dx, dy = xs[one + 1] - x0, ys[one + 1] - y0
            square = dx * dx + dy * dy
            share = ((x - x0) * dx + (y - y0) * dy) / square
            clipped = 0.0 if share < 0.0 else 1.0 if share > 1.0 else share
            ex, ey = x - x0 - clipped * dx, y - y0 - clipped * dy
            distance = ex * ex + ey * ey
            if distance < best:
                best, index, along = distance, one, clipped
                right = math.copysign(math.sqrt(distance), dx * (y - y0) - dy * (x - x0))
        turn = yaw - self.yaws[index if along < 0.5 else index + 1]
        heading = math.pi - (math.pi - turn) % (2 * math.pi)
        s = ss[index] + along * (ss[index + 1] - ss[index])
        return Place(index, s, right, heading, self.widths[index])
