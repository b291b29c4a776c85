"""Who may drive into a junction: who asked first, and nobody whose way crosses that of somebody inside.

A car asks when it is near enough to have to know; it is let in if its strips cross none that are held, if no car that
asked before it waits for them, and if there is room behind the junction, so that nobody comes to stand inside. It
holds its strips until its rear has left. What cannot be stopped (the ego) holds strips without asking.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.lanes import Lanes
from apps.driving.backends.ways import Ways
from apps.driving.roads.routes import Route

#: Room in m that a car must find behind a junction beside its own length.
ROOM = 3.0
#: A car asks this many m, and the distance in which it stops with this many m/s², before the junction.
ASK = 8.0
FIRM = 2.5


class Junctions:
    """The junctions on the ways of N cars.

    Attributes:
        enter: `(N,)` m along the way where the next junction begins, inf without one;
        leave: `(N,)` where it ends.
        inside: `(N,)` whether the car holds it.
        waits_for: `(N,)` the car because of which it was not let in, or -1.
    """

    def __init__(self, lanes: Lanes, ways: Ways) -> None:
        count = len(ways.at)
        self._conflicts = lanes.conflicts
        self._ways = ways
        self.enter = np.full(count, math.inf)
        self.leave = np.full(count, math.inf)
        self.inside = np.zeros(count, bool)
        self.waits_for = np.full(count, -1)
        self._asked = np.full(count, -1)
        self._turn = 0
        for car in range(count):
            self.renew(car)

    def renew(self, car: int) -> None:
        """Look at a car's next junction; it holds none."""
        passages = self._ways.passages[car]
        self.enter[car] = passages[0].enter if passages else math.inf
        self.leave[car] = passages[0].leave if passages else math.inf
        self.inside[car] = False
        self.waits_for[car] = -1
        self._asked[car] = -1

    def near(self, front: NDArray[np.float64], speed: NDArray[np.float64]) -> NDArray[np.bool_]:
        """`(N,)` who is so near to the next junction, or in it, that it matters."""
        return np.asarray(self.enter - front < speed * speed / (2 * FIRM) + ASK)

    def update(
        self,
        front: NDArray[np.float64],
        rear: NDArray[np.float64],
        speed: NDArray[np.float64],
        gap: NDArray[np.float64],
        slow: NDArray[np.bool_],
        bold: NDArray[np.bool_],
        taken: Iterable[int] = (),
    ) -> None:
        """Let cars out of junctions that they have left, and in where they may.

        Args:
            front: `(N,)` m along the way of the bumper, and
            rear: `(N,)` of the other.
            speed: `(N,)`.
            gap: `(N,)` m to whoever is ahead, inf for nobody, and
            slow: `(N,)` whether that one hardly moves.
            bold: `(N,)` cars that are let in whoever is there, to dissolve a jam.
            taken: strips that are driven by somebody who does not ask.
        """
        self._turn += 1
        for car in np.flatnonzero(rear > self.leave).tolist():
            # The passage may have grown: its way was known only so far.
            self.leave[car] = self._ways.passages[car][0].leave
            if rear[car] > self.leave[car]:
                self._ways.passages[car].pop(0)
                self.renew(car)
        unknown = np.flatnonzero(self.enter == math.inf).tolist()
        for car in unknown:
            if self._ways.passages[car]:
                self.renew(car)
        asking = ~self.inside & self.near(front, speed)
        cars = np.flatnonzero(asking).tolist()
        if not cars:
            return
        held = [(strip, -1) for strip in taken]
        for car in np.flatnonzero(self.inside).tolist():
            held += [(strip, car) for strip in self._ways.passages[car][0].strips]
        for car in cars:
            if self._asked[car] < 0:
                self._asked[car] = self._turn
        for car in sorted(cars, key=lambda car: (self._asked[car], car)):
            strips = self._ways.passages[car][0].strips
            if front[car] <= self.enter[car] + 1.0 and not bold[car]:
                if gap[car] < self.enter[car] - front[car]:
                    continue  # somebody else is first
                if slow[car] and gap[car] < self.leave[car] - front[car] + (front[car] - rear[car]) + ROOM:
                    self.waits_for[car] = -1
                    continue  # no room behind it
                other = self._against(strips, held)
                if other is not None:
                    self.waits_for[car] = other
                    held += [(strip, car) for strip in strips]
                    continue
            self.inside[car] = True
            self.waits_for[car] = -1
            held += [(strip, car) for strip in strips]

    def _against(self, strips: list[int], held: list[tuple[int, int]]) -> int | None:
        """Who holds a strip that crosses one of these, or None; -1 stands for the ego."""
        for strip in strips:
            crossing = self._conflicts[strip]
            for other, car in held:
                if other in crossing:
                    return car
        return None


class EgoClaims:
    """Which strips of junctions the ego drives or is about to, by its route: others are not let in across it.

    A standing ego before a junction claims nothing, so that two never wait for each other's good manners.

    Args:
        lanes: of the network.
        route: of the ego.
    """

    #: Claimed this many seconds ahead, and at least this many m, when faster than a walk.
    SECONDS, METRES, WALK = 2.0, 6.0, 1.0
    #: Further than this many m from its route nobody knows where the ego goes.
    OFF = 5.0

    def __init__(self, lanes: Lanes, route: Route) -> None:
        strips = lanes.strip_of[route.nodes]
        inside = np.flatnonzero(lanes.roads.junction[route.nodes] >= 0)
        self._x, self._y = route.xyz[:, 0].tolist(), route.xyz[:, 1].tolist()
        self._s: list[float] = route.s.tolist()
        self._index = 0
        self._passages: list[tuple[float, float, tuple[int, ...]]] = []
        for group in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1):
            if len(group):
                held = tuple(dict.fromkeys(strips[group].tolist()))
                self._passages.append((self._s[group[0]], self._s[group[-1]], held))

    def held(self, x: float, y: float, speed: float, half: float) -> tuple[int, ...]:
        """The strips claimed by an ego at a place; `half` is half its length."""
        if not self._passages:
            return ()
        index, best = self._index, self._distance(self._index, x, y)
        while index + 1 < len(self._s) and (onward := self._distance(index + 1, x, y)) <= best:
            index, best = index + 1, onward
        self._index = index
        if best > self.OFF:
            return ()
        place = self._s[index]
        ahead = max(self.METRES, self.SECONDS * speed) if speed > self.WALK else 0.0
        for enter, leave, strips in self._passages:
            if place - half < leave and place + half + ahead > enter:
                return strips
        return ()

    def _distance(self, index: int, x: float, y: float) -> float:
        return math.hypot(self._x[index] - x, self._y[index] - y)
