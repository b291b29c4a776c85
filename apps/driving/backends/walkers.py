"""People on foot: along the pavements, and now and then over the road when the cars leave room."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.ground import Ground
from apps.driving.backends.pavements import Crossing, Pavements
from apps.driving.backends.traffic import Others

Floats = NDArray[np.float64]

#: Half the depth, half the width of a person with some room, in m.
EXTENT = (0.25, 0.3)
#: m/s at which people walk: mean, spread (Weidmann 1993: 1.34 and 0.26), and the range that is drawn from.
PACE, SPREAD, SLOWEST, FASTEST = 1.34, 0.26, 0.7, 2.0
#: Points of the pavement walked in one go; how likely somebody turns round; how likely somebody crosses at a crossing.
STRIDE, TURNS, CROSSES = 4, 0.02, 0.5
#: The same for each stride where people cross anywhere.
CROSSES_ANYWHERE = 0.05
#: A car counts this many seconds before it comes; after so many seconds of waiting only one that
#: could hardly stop does.
CAREFUL, WAITS = 3.0, 6.0
#: m/s² of braking that people count on then.
TRUSTED = 5.0
#: Seconds for which somebody who was hit stands.
SHOCK = 5.0
#: After so many seconds before a car on the road people go back.
HELD = 5.0
#: Nobody goes nearer to a car than this many m ahead.
STEP = 0.9
#: How far ahead in s of a crossing person drivers look.
FORESIGHT = 0.8


class Walkers:
    """N people. They wait at the kerb while a car comes; nobody steps in front of one that could not stop.

    Attributes:
        extents: `(N, 2)` half the depth, half the width.
        poses: `(N, 4)` x, y, z, yaw; a new array after each step.
        speed: `(N,)` m/s.
        crossing: `(N,)` who is on the road.
    """

    def __init__(
        self, pavements: Pavements, ground: Ground, places: list[int], parked: Others, rng: np.random.Generator
    ) -> None:
        count = len(places)
        self._parked = parked
        self._pavements, self._ground, self._rng = pavements, ground, rng
        self._pace = np.clip(rng.normal(PACE, SPREAD, count), SLOWEST, FASTEST)
        self._sense = np.where(rng.random(count) < 0.5, -1, 1).tolist()
        self._place = list(places)
        self._next: list[Crossing | None] = [None] * count
        self._came_over = [False] * count
        self._xy = pavements.xy[places].copy().reshape(count, 2)
        self._goal = self._xy.copy()
        self._yaw = np.zeros(count)
        self._waited = np.zeros(count)
        self._shock = np.zeros(count)
        self._held = np.zeros(count)
        self.waiting = np.zeros(count, bool)
        self.crossing = np.zeros(count, bool)
        self.speed = np.zeros(count)
        self.extents = np.tile(np.array(EXTENT), (count, 1))
        self._turn = 0
        self._z = pavements.z[places].copy()
        for person in range(count):
            self._arrive(person)
        self.poses = self._posed()

    def halt(self, person: int) -> None:
        """Somebody was hit and stands where they are for a while."""
        self._shock[person] = SHOCK
        self.speed[person] = 0.0

    def shadows(self) -> tuple[Floats, Floats, Floats]:
        """`(N,)` x, y and half the depth of the boxes in which drivers must expect people within a moment."""
        ahead = 0.5 * FORESIGHT * np.where(self.crossing, self.speed, 0.0)
        yaw = self.poses[:, 3]
        return self._xy[:, 0] + ahead * np.cos(yaw), self._xy[:, 1] + ahead * np.sin(yaw), self.extents[:, 0] + ahead

    def step(self, dt: float, cars: Others) -> None:
        """Go on by `dt` seconds, among all cars; nobody walks into one that stands in the way."""
        if self.waiting.any():
            for person in np.flatnonzero(self.waiting).tolist():
                self._waited[person] += dt
                if self._clear(person, cars):
                    self._cross(person)
        self._shock = np.maximum(self._shock - dt, 0.0)
        blocked = self._blocked(cars)
        self._turn_back(blocked, dt)
        self.speed = np.where(self.waiting | (self._shock > 0.0) | blocked, 0.0, self._pace)
        away = self._goal - self._xy
        left = np.hypot(away[:, 0], away[:, 1])
        stride = self.speed * dt
        part = np.minimum(stride / np.maximum(left, 1e-9), 1.0)
        self._xy = self._xy + away * part[:, None]
        for person in np.flatnonzero((stride >= left) & (stride > 0.0)).tolist():
            self._arrive(person)
        self.poses = self._posed()

    def _posed(self) -> Floats:
        if not self._ground.flat:
            # A fourth of the people each time: nobody walks far enough meanwhile for the slope to show.
            self._turn = (self._turn + 1) % 4
            self._z = self._z.copy()
            for person in range(self._turn, len(self._z), 4):
                x, y = self._xy[person].tolist()
                self._z[person] = self._ground.under(x, y, float(self._z[person]))[0]
        away = self._goal - self._xy
        far = np.hypot(away[:, 0], away[:, 1]) > 1e-6
        self._yaw = np.where(far, np.arctan2(away[:, 1], away[:, 0]), self._yaw)
        return np.column_stack([self._xy, self._z, self._yaw])

    def _arrive(self, person: int) -> None:
        """Somebody is where they wanted to go: what next?"""
        crossing, place = self._next[person], self._place[person]
        if crossing is not None and not self.crossing[person]:
            self.waiting[person] = True  # at the kerb
            self._waited[person] = 0.0
            return
        if crossing is not None:  # over the road
            self.crossing[person] = False
            self._next[person] = None
            self._came_over[person] = True
            self._place[person] = crossing.place
            self._goal[person] = self._pavements.xy[crossing.place]
            return
        chance = CROSSES if self._pavements.painted else CROSSES_ANYWHERE
        ways = self._pavements.crossings.get(place)
        came_over, self._came_over[person] = self._came_over[person], False
        if ways and not came_over and self._rng.random() < chance:
            way = ways[int(self._rng.integers(len(ways)))]
            if not self._parked_on(way):
                self._next[person] = way
                self._goal[person] = way.start
                return
        if self._rng.random() < TURNS:
            self._sense[person] = -self._sense[person]
        for _ in range(2):
            onward = self._along(place, self._sense[person])
            if onward != place:
                break
            self._sense[person] = -self._sense[person]  # the pavement ends here
        self._place[person] = onward
        self._goal[person] = self._pavements.xy[onward]

    def _along(self, place: int, sense: int) -> int:
        """A stride along the pavement, stopping at a crossing on the way."""
        run = self._pavements.run
        crossings = self._pavements.crossings if self._pavements.painted else {}
        for _ in range(STRIDE):
            onward = place + sense
            if not 0 <= onward < len(run) or run[onward] != run[place]:
                break
            place = onward
            if place in crossings:
                break
        return place

    def _blocked(self, cars: Others) -> NDArray[np.bool_]:
        """`(N,)` whether a car's box is within a step ahead of somebody."""
        x = self._xy[:, :1] + STEP * np.cos(self._yaw)[:, None] - cars.x
        y = self._xy[:, 1:] + STEP * np.sin(self._yaw)[:, None] - cars.y
        cos, sin = np.cos(cars.yaw), np.sin(cars.yaw)
        along, across = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
        return np.asarray(((along < cars.long + STEP / 2) & (across < cars.wide + STEP / 2)).any(axis=1))

    def _turn_back(self, blocked: NDArray[np.bool_], dt: float) -> None:
        """Who stands on the road because of a car that does not move goes back."""
        self._held = np.where(blocked & self.crossing, self._held + dt, 0.0)
        for person in np.flatnonzero(self._held > HELD).tolist():
            way = self._next[person]
            if way is not None:
                self._next[person] = Crossing(way.end, way.start, self._place[person])
                self._goal[person] = way.start
                self._held[person] = 0.0

    def _parked_on(self, way: Crossing) -> bool:
        """Whether a parked car stands on a way over the road."""
        cars = self._parked
        points = np.linspace(way.start, way.end, 30)
        x, y = points[:, :1] - cars.x, points[:, 1:] - cars.y
        cos, sin = np.cos(cars.yaw), np.sin(cars.yaw)
        along, across = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
        return bool(((along < cars.long + STEP) & (across < cars.wide + STEP)).any())

    def _clear(self, person: int, cars: Others) -> bool:
        """Whether no car comes: none reaches the way over the road while it is used, or every one can stop."""
        crossing = self._next[person]
        if crossing is None or not len(cars.x):
            return True
        (x0, y0), (x1, y1) = crossing.start, crossing.end
        long = max(math.hypot(x1 - x0, y1 - y0), 1e-6)
        ux, uy = (x1 - x0) / long, (y1 - y0) / long
        dx, dy = cars.x - x0, cars.y - y0
        # The nearest point of the way over the road, and how fast each car comes towards it.
        along = np.clip(dx * ux + dy * uy, 0.0, long)
        dx, dy = dx - along * ux, dy - along * uy
        away = np.maximum(np.hypot(dx, dy), 1e-6)
        coming = -(dx * np.cos(cars.yaw) + dy * np.sin(cars.yaw)) * cars.speed / away
        speed = np.abs(cars.speed)
        if self._waited[person] < WAITS:
            return not ((coming > 0.5) & (away < 4.0 + CAREFUL * speed)).any()
        return not ((coming > 0.5) & (away < 5.0 + 0.5 * speed + speed * speed / (2 * TRUSTED))).any()

    def _cross(self, person: int) -> None:
        crossing = self._next[person]
        if crossing is not None:
            self.waiting[person] = False
            self.crossing[person] = True
            self._goal[person] = crossing.end
