"""One episode of the embedded simulator."""

from __future__ import annotations

import math

import numpy as np

from apps.driving.backends.base import NOBODY, Collision, Control, Ego, Frame, Kind, Scenario
from apps.driving.backends.collisions import Contacts, Pose, first_touches, impulse
from apps.driving.backends.crowd import Crowd
from apps.driving.backends.ground import Ground
from apps.driving.backends.lanes import Lanes
from apps.driving.backends.vehicle import Bicycle, Car

#: The id under which the kerb is remembered; see `Collision.other`.
KERB = -1


class World:
    """The ego and everybody else from a reset to the next.

    A contact with a car stops both; with a person it stops the person. The ego cannot be driven further into a car
    that it touches, but away from it. A kerb is told and does nothing.

    Args:
        lanes: of the network.
        ground: of the network.
        scenario: what to start from.
        car: that is driven.
        dt: seconds of a step.
        ticks: in which the ego moves in one step.
        kerb: m from all lanes beyond which a corner of the ego touches the pavement; None: never.
    """

    def __init__(
        self, lanes: Lanes, ground: Ground, scenario: Scenario, car: Car, dt: float, ticks: int, kerb: float | None
    ) -> None:
        self._ground, self._dt, self._ticks = ground, dt, ticks
        self._kerb = math.inf if kerb is None else kerb
        self._half = car.extent
        self._steps = 0
        self._contacts = Contacts()
        self._leaning: set[int] = set()
        self._bike = Bicycle(car, dt / ticks)
        x, y, z = scenario.route.xyz[0].tolist()
        self._bike.place(x, y, float(scenario.route.yaw[0]), scenario.ego_speed)
        self._z, self._slope_x, self._slope_y = ground.under(x, y, z)
        self._crowd: Crowd | None = None
        traffic = scenario.traffic
        if traffic.vehicles or traffic.walkers or traffic.parked:
            self._crowd = Crowd(lanes, ground, scenario, self._bike, self._z, np.random.default_rng(scenario.seed))

    def frame(self) -> Frame:
        """The moment after the reset."""
        bike = self._bike
        ego = Ego(bike.x, bike.y, self._z, bike.yaw, bike.speed)
        return Frame(0, 0.0, ego, self._crowd.actors() if self._crowd is not None else NOBODY)

    def step(self, control: Control) -> Frame:
        """Go on by `dt` seconds; see `Backend.step`. Values of the control outside of their range are clipped.

        Raises:
            ValueError: the control is not made of numbers.
        """
        steer, throttle, brake, reverse = control
        if not (-1.0 <= steer <= 1.0 and 0.0 <= throttle <= 1.0 and 0.0 <= brake <= 1.0):
            steer, throttle, brake = _clipped(control)
        bike, dt, crowd = self._bike, self._dt, self._crowd
        before = bike.speed
        start = (bike.x, bike.y, bike.yaw)
        if crowd is not None:
            poses = crowd.poses
            crowd.step(dt, bike, self._z)
        grade = self._slope_x * math.cos(bike.yaw) + self._slope_y * math.sin(bike.yaw)
        # `grade` is a tangent; the sine differs from it by less than half a percent up to 10 %.
        for _ in range(self._ticks):
            bike.advance(steer, throttle, brake, reverse, grade)
        self._steps += 1
        frame, time = self._steps * self._ticks, self._steps * dt

        events: tuple[Collision, ...] = ()
        if crowd is not None:
            events = self._meet(crowd, poses, start, frame, time)
        if self._kerb < math.inf and self._beyond_kerb() and self._contacts.new([KERB], time):
            events = (*events, Collision(frame, KERB, Kind.SIDEWALK, bike.speed))
        self._z, self._slope_x, self._slope_y = self._ground.under(bike.x, bike.y, self._z)
        speed = bike.speed
        ego = Ego(
            bike.x, bike.y, self._z, bike.yaw, speed, bike.drift, bike.yaw_rate, (speed - before) / dt,
            steer, throttle, brake,
        )  # fmt: skip
        return Frame(frame, time, ego, crowd.actors() if crowd is not None else NOBODY, events)

    def _beyond_kerb(self) -> bool:
        """Whether a corner of the ego is further from all lanes than the kerb."""
        bike, beside, kerb = self._bike, self._ground.beside, self._kerb
        long, wide = self._half
        cos, sin = math.cos(bike.yaw), math.sin(bike.yaw)
        x, y = bike.x, bike.y
        ax, ay, bx, by = long * cos, long * sin, -wide * sin, wide * cos
        return (
            beside(x + ax + bx, y + ay + by) > kerb
            or beside(x + ax - bx, y + ay - by) > kerb
            or beside(x - ax + bx, y - ay + by) > kerb
            or beside(x - ax - bx, y - ay - by) > kerb
        )

    def _meet(self, crowd: Crowd, poses: np.ndarray, start: Pose, frame: int, time: float) -> tuple[Collision, ...]:
        """Contacts of this step, and what they do to those who touch."""
        bike = self._bike
        end = (bike.x, bike.y, bike.yaw)
        touched = first_touches(start, end, self._z, self._half, poses, crowd.poses, crowd.extents)
        if not touched:
            self._leaning.clear()
            return ()
        speed = bike.speed
        vx, vy = speed * math.cos(bike.yaw), speed * math.sin(bike.yaw)
        stop, leaning, rows = 1.0, set(), []
        for row, part in touched:
            if part > stop:
                break  # the ego did not come so far
            other = int(crowd.ids[row])
            rows.append(row)
            if crowd.kinds[row] == Kind.VEHICLE:
                leaning.add(other)
                if other not in self._leaning:
                    stop = part
                elif _approaches(start, end, crowd.poses[row]):
                    stop = 0.0
                    break
        ids = {int(crowd.ids[row]): row for row in rows}
        events = []
        for other in self._contacts.new(list(ids), time):
            row = ids[other]
            kind = Kind(int(crowd.kinds[row]))
            ux, uy = crowd.velocity(row)
            push = impulse(bike.car.mass, kind, math.hypot(vx - ux, vy - uy))
            events.append(Collision(frame, other, kind, speed, push))
            crowd.halt(row)
        if leaning - self._leaning or stop < 1.0:
            turn = math.remainder(end[2] - start[2], 2 * math.pi)
            bike.place(
                start[0] + stop * (end[0] - start[0]), start[1] + stop * (end[1] - start[1]), start[2] + stop * turn
            )
        self._leaning = leaning
        return tuple(events)


def _approaches(start: Pose, end: Pose, other: np.ndarray) -> bool:
    """Whether the ego's centre came nearer to another's."""
    x, y = float(other[0]), float(other[1])
    return math.hypot(x - end[0], y - end[1]) < math.hypot(x - start[0], y - start[1]) - 1e-9


def _clipped(control: Control) -> tuple[float, float, float]:
    steer, throttle, brake = float(control.steer), float(control.throttle), float(control.brake)
    if not (math.isfinite(steer) and math.isfinite(throttle) and math.isfinite(brake)):
        raise ValueError(f"{control} must be made of finite numbers")
    return min(max(steer, -1.0), 1.0), min(max(throttle, 0.0), 1.0), min(max(brake, 0.0), 1.0)
