"""Cars that follow lanes, each other, and the rules at junctions; all of them at once in columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.junctions import ROOM, Junctions
from apps.driving.backends.lanes import BESIDE, Lanes
from apps.driving.backends.ways import KEPT, Ways
from apps.driving.geometry import wrapped

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Half the length, half the width of the cars that drive: small, middle, large, van; in m.
MODELS = np.array([[1.95, 0.85], [2.25, 0.90], [2.40, 0.95], [2.75, 1.00]])
#: Treiber & Kesting, Traffic Flow Dynamics (2013), table 11.2, city: a and b in m/s², s0 in m, and the exponent.
ACCELERATION, COMFORT, STANDSTILL, EXPONENT = 1.0, 1.5, 2.0, 4
#: What brakes can do, in m/s².
HARDEST = 8.0
#: Points of the way ahead that a driver looks at.
LOOKS = 20
#: After so many seconds of standing a driver who is part of a ring of waiting cars takes no heed of who has asked
#: first at the junction, for so many seconds; and at last of cars that stand in the way, for else they would for ever.
PATIENCE, BOLDNESS, LAST_RESORT = 4.0, 3.0, 25.0
#: Seconds for which a car stands after an accident.
SHOCK = 3.0
#: Who is this many m above or below, or more, and near, is on another deck of a bridge.
DECK = 4.0
#: Where cars are that have left the map: nobody meets them there.
NOWHERE = 1e7


def idm(speed: Floats, wanted: Floats, gap: Floats, closing: Floats, headway: Floats) -> Floats:
    r"""Acceleration of the intelligent driver model (Treiber, Hennecke & Helbing 2000).

    .. math:: a \left[1 - (v/v_0)^4 - (s^*/s)^2\right], \quad s^* = s_0 + \max(0, v T + v \Delta v / (2\sqrt{ab}))

    with a = 1.0 m/s², b = 1.5 m/s², s0 = 2 m. Bounded by what brakes can do: the range is [-8, 1] m/s².

    Args:
        speed: v, `(N,)` m/s; the others may have more rows.
        wanted: v0, `(N,)` m/s, above 0.
        gap: s, bumper to bumper, `(N,)` m; inf for a free road. Below 0.1 it counts as 0.1.
        closing: Δv, own speed less the leader's, `(N,)` m/s.
        headway: T, `(N,)` s.
    """
    wish = STANDSTILL + np.maximum(speed * headway + speed * closing / (2 * math.sqrt(ACCELERATION * COMFORT)), 0.0)
    free = np.minimum((speed / wanted) ** EXPONENT, 1.0 + 2 * COMFORT / ACCELERATION)
    wish /= np.maximum(gap, 0.1)
    return np.asarray(np.maximum(ACCELERATION * (1.0 - free - wish * wish), -HARDEST))


class Others(NamedTuple):
    """Everyone whom the fleet must not hit, beside itself; columns of M.

    Attributes:
        x, y, z: centres.
        yaw: of the box.
        speed: along the yaw.
        long, wide: half the length, half the width.
    """

    x: Floats
    y: Floats
    z: Floats
    yaw: Floats
    speed: Floats
    long: Floats
    wide: Floats


def joined(one: Others, other: Others) -> Others:
    """Two lists as one."""
    if not len(other.x):
        return one
    return Others(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))


class Fleet:
    """N cars on their ways.

    Each driver wants the lane's speed limit times a factor of its own, less before and in bends (2 m/s² sideways, 1.5
    m/s² of braking before them), keeps its distance to whatever is on its way ahead by `idm`, stops before junctions
    that it is not let into (`Junctions`), and turns at random. A car at the end of the road leaves the map.

    Attributes:
        extents: `(N, 2)` half the length, half the width.
        poses: `(N, 4)` x, y, z, yaw; a new array after each step.
        speed: `(N,)` m/s.
        away: `(N,)` who has left the map.
    """

    def __init__(self, lanes: Lanes, starts: list[int], extents: Floats, rng: np.random.Generator) -> None:
        count = len(starts)
        self._lanes = lanes
        self._rng = rng
        self.extents = extents
        self._long = extents[:, 0].copy()
        self._wide = extents[:, 1].copy()
        self._eager = rng.uniform(0.8, 1.05, count)
        self._headway = rng.uniform(1.0, 1.8, count)
        self.ways = Ways(lanes, starts, rng)
        self.junctions = Junctions(lanes, self.ways)
        self.away = np.zeros(count, bool)
        self.speed = np.zeros(count)
        self._s = np.zeros(count)
        self._standing = np.zeros(count)
        self._bold = np.zeros(count)
        self._shock = np.zeros(count)
        self._rows = np.arange(count) * KEPT
        self._looks = np.arange(LOOKS) / (LOOKS - 1)
        self.poses = self._place()

    def start(self, others: Others) -> None:
        """Give every car the speed with which it can still stop before whatever is nearest."""
        everyone = self._everyone(others)
        apart = np.hypot(everyone.x - self.poses[:, :1], everyone.y - self.poses[:, 1:2])
        np.fill_diagonal(apart, math.inf)
        free = np.minimum((apart - everyone.long).min(axis=1) - self._long, self.junctions.enter - self._long) - 3.0
        pace = self._lanes.pace[self.ways.nodes[:, 0]]
        self.speed = np.minimum(0.7 * pace, np.sqrt(2 * COMFORT * np.maximum(free, 0.0)))

    def boxes(self) -> Others:
        """The cars as others see them."""
        x, y, z, yaw = self.poses.T
        return Others(x, y, z, yaw, self.speed, self._long, self._wide)

    def halt(self, car: int) -> None:
        """Stop a car at once: it was in an accident."""
        self.speed[car] = 0.0
        self._shock[car] = SHOCK

    def enter(self, car: int, node: int) -> None:
        """Put a car that left the map back onto it, standing."""
        self.ways.begin(car, node, self._rng)
        self.junctions.renew(car)
        self.away[car] = False
        for column in (self._s, self.speed, self._standing, self._bold, self._shock):
            column[car] = 0.0
        self.poses = self._place()

    def step(self, dt: float, others: Others, taken: Iterable[int] = ()) -> None:
        """Go on by `dt` seconds; `taken` are strips of junctions that the ego drives or is about to."""
        front, rear = self._s + self._long, self._s - self._long
        gap, closing, nearest, wanted = self._look(front, others)
        bold = self._bold > 0.0
        crawls = self.speed - closing < 2.0
        self.junctions.update(front, rear, self.speed, gap, crawls, bold, taken)
        line = np.where(self.junctions.inside, math.inf, self.junctions.enter - front - 1.0)
        # The line, a standing leader, counts where it asks for more.
        ahead, nearing = np.array([gap, line]), np.array([closing, self.speed])
        acceleration = idm(self.speed, wanted, ahead, nearing, self._headway).min(axis=0)
        acceleration[self._shock > 0.0] = -HARDEST
        speed = np.maximum(self.speed + acceleration * dt, 0.0)
        self._s += 0.5 * (self.speed + speed) * dt
        self.speed = speed
        self._be_patient(dt, nearest)
        self.ways.advance(self._s, self._rng)
        gone = self._s + self._long > self.ways.end
        if gone.any():
            self._depart(gone)
        self.poses = self._place()

    def _depart(self, gone: NDArray[np.bool_]) -> None:
        for car in np.flatnonzero(gone & ~self.away).tolist():
            self.ways.passages[car] = []
            self.junctions.renew(car)
        self.away |= gone
        self.speed[self.away] = 0.0
        self._s[self.away] = np.minimum(self._s, self.ways.end)[self.away]

    def _everyone(self, others: Others) -> Others:
        return joined(self.boxes(), others)

    def _look(self, front: Floats, others: Others) -> tuple[Floats, Floats, NDArray[np.int64], Floats]:
        """Look along the ways, before a junction as far as behind it.

        Returns:
            `(N,)` each: the gap to the nearest one on the way ahead, how fast it closes, who that is (below N a car of
            the fleet, -1 nobody) and the speed that is wanted.
        """
        lanes, speed, ways = self._lanes, self.speed, self.ways
        reach = 12.0 + 2.0 * speed + speed * speed / 6.0
        beyond = self.junctions.leave - front + 2 * self._long + ROOM
        reach = np.minimum(np.where(self.junctions.near(front, speed), np.maximum(reach, beyond), reach), 100.0)
        steps = (reach[:, None] * self._looks + self._long[:, None]).astype(np.int64)
        flat = steps + (self._rows + ways.at + 1)[:, None]
        arc = ways.arc.reshape(-1).take(flat) - front[:, None]
        nodes = ways.nodes.reshape(-1).take(flat)
        pace = lanes.pace.take(nodes)
        allowed = np.sqrt(pace * pace + 2 * COMFORT * np.maximum(arc, 0.0)).min(axis=1)
        here = lanes.pace.take(ways.nodes.reshape(-1).take(self._rows + ways.at))
        wanted = np.maximum(np.minimum(allowed, here) * self._eager, 0.5)

        everyone = self._everyone(others)
        poses = self.poses
        dx, dy = everyone.x - poses[:, :1], everyone.y - poses[:, 1:2]
        ahead = dx * np.cos(poses[:, 3:]) + dy * np.sin(poses[:, 3:]) > -8.0
        seen = ahead & (dx * dx + dy * dy < ((reach + 8.0) ** 2)[:, None])
        if not self._lanes.flat:
            seen &= np.abs(everyone.z - poses[:, 2:3]) < DECK
        np.fill_diagonal(seen, False)
        seen[(self._bold > 0.0) & (self._standing > LAST_RESORT), : len(speed)] = False
        who, whom = np.nonzero(seen)
        count = len(speed)
        gap, closing, nearest = np.full(count, math.inf), speed.copy(), np.full(count, -1)
        if len(who):
            found, towards = self._on_way(arc, nodes, reach / (LOOKS - 1), who, whom, everyone)
            gaps, speeds = np.full(seen.shape, math.inf), np.zeros(seen.shape)
            gaps[who, whom], speeds[who, whom] = found, towards
            rows, best = np.arange(count), gaps.argmin(axis=1)
            gap = gaps[rows, best]
            nearest = np.where(gap < math.inf, best, -1)
            closing -= speeds[rows, best]
        return gap, closing, nearest, wanted

    def _on_way(
        self, arc: Floats, nodes: NDArray[np.int32], spacing: Floats, who: Rows, whom: Rows, everyone: Others
    ) -> tuple[Floats, Floats]:
        """For P pairs of a car and another: the gap between them along the car's way (inf: not on it), `(P,)`, and
        the other's speed along it. The other's box is taken as its shadow along and across the way at each point.
        """
        lanes = self._lanes
        near = nodes.take(who, axis=0)
        cos, sin = lanes.cos.take(near), lanes.sin.take(near)
        dx = everyone.x.take(whom)[:, None] - lanes.x.take(near)
        dy = everyone.y.take(whom)[:, None] - lanes.y.take(near)
        yaw = everyone.yaw.take(whom)[:, None]
        cos_, sin_ = np.cos(yaw), np.sin(yaw)
        same = cos * cos_ + sin * sin_
        turned = np.abs(same)
        crossed = np.abs(sin * cos_ - cos * sin_)
        long, wide = everyone.long.take(whom)[:, None], everyone.wide.take(whom)[:, None]
        along = dx * cos + dy * sin
        shadow = long * turned + wide * crossed
        room = long * crossed + wide * turned + (self._wide + BESIDE).take(who)[:, None]
        on = (np.abs(along) <= shadow + (0.5 * spacing + 0.5).take(who)[:, None]) & (
            np.abs(dy * cos - dx * sin) <= room
        )
        gaps = np.where(on, arc.take(who, axis=0) + along - shadow, math.inf)
        best = gaps.argmin(axis=1)
        rows = np.arange(len(who))
        return gaps[rows, best], everyone.speed.take(whom) * same[rows, best]

    def _be_patient(self, dt: float, nearest: NDArray[np.int64]) -> None:
        """Find rings of cars that wait for each other, and let one of each go first."""
        self._bold = np.maximum(self._bold - dt, 0.0)
        self._shock = np.maximum(self._shock - dt, 0.0)
        # Who is bold counts as standing until it has gone.
        stands = ((self.speed < 0.1) | (self._bold > 0.0)) & ~self.away
        self._standing = np.where(stands, self._standing + dt, 0.0)
        impatient = np.flatnonzero((self._standing > PATIENCE) & (self.speed < 0.1))
        if len(impatient) < 2:
            return
        waits = np.where(nearest >= 0, nearest, self.junctions.waits_for).tolist()
        count, standing = len(waits), set(impatient.tolist())
        for car in impatient.tolist():
            other, ring = waits[car], [car]
            while 0 <= other < count and other in standing and other not in ring:
                ring.append(other)
                other = waits[other]
            if other == car and car == min(ring):
                self._bold[car] = BOLDNESS

    def _place(self) -> Floats:
        """`(N, 4)` poses of cars at their metres along their ways."""
        lanes, ways = self._lanes, self.ways
        flat = self._rows + ways.at
        arcs, nodes = ways.arc.reshape(-1), ways.nodes.reshape(-1)
        before, after = nodes.take(flat), nodes.take(flat + 1)
        start = arcs.take(flat)
        part = ((self._s - start) / np.maximum(arcs.take(flat + 1) - start, 1e-6))[:, None]
        poses = lanes.poses.take(before, axis=0)
        turn = lanes.poses.take(after, axis=0) - poses
        turn[:, 3] = wrapped(turn[:, 3])
        poses += part * turn
        poses[:, 3] = wrapped(poses[:, 3])
        if self.away.any():
            poses[self.away, :2] = NOWHERE + 100.0 * np.flatnonzero(self.away)[:, None]
        return np.asarray(poses)
