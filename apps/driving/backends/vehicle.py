"""The driven car: a kinematic bicycle with an engine, brakes, resistances, slopes and steering that takes its time.

It is stepped with plain floats, for it is the hot path of every training. What it leaves out: slip below the limit of
grip, pitch and roll, gears, the engine's inertia.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from apps.driving.geometry import wrap
from common.errors import UsageError

GRAVITY = 9.81
#: kg/m³ at 15 °C and sea level (ICAO's standard atmosphere).
AIR = 1.225


@dataclass(frozen=True)
class Car:
    """What is driven; the defaults are close to a Tesla Model 3 RWD, which CARLA's `vehicle.tesla.model3` models.

    Attributes:
        length: in m; 4.69, maker's data.
        width: in m, without mirrors; 1.85, maker's data.
        wheelbase: in m; 2.88, maker's data. The box's centre is taken to lie in its middle (0.07 m off).
        mass: in kg; 1,760, maker's data.
        max_steer: angle of the front wheels in rad at full steer; 0.55 from the maker's turning circle of 11.7 m.
        steer_lag: time constant in s with which the wheels follow; 0.1, of the order of CommonRoad's vehicle models.
        steer_rate: most rad/s of the front wheels; 0.8: from stop to stop in 1.4 s, as quick drivers do.
        power: in W; 150,000, of the maker's 208 kW peak, so that 0 to 100 km/h takes about 7 s.
        drive: most force in N; 8,000: 4.5 m/s² from standing.
        brake: most force in N; 15,000: 8.5 m/s², a dry road's emergency stop.
        grip: friction coefficient that bounds the lateral acceleration; 0.9, dry asphalt.
        drag: drag coefficient times frontal area in m²; 0.23 · 2.22, maker's data.
        rolling: coefficient of rolling resistance; 0.012, tyres on asphalt.
        top_speed: in m/s, where the engine stops pushing; 50.
        top_reverse: the same in reverse; 8.
    """

    length: float = 4.69
    width: float = 1.85
    wheelbase: float = 2.88
    mass: float = 1760.0
    max_steer: float = 0.55
    steer_lag: float = 0.1
    steer_rate: float = 0.8
    power: float = 150_000.0
    drive: float = 8_000.0
    brake: float = 15_000.0
    grip: float = 0.9
    drag: float = 0.23 * 2.22
    rolling: float = 0.012
    top_speed: float = 50.0
    top_reverse: float = 8.0

    def __post_init__(self) -> None:
        free = ("steer_lag", "drag", "rolling")
        for name, value in vars(self).items():
            if not math.isfinite(value) or value < 0.0 or (value == 0.0 and name not in free):
                raise UsageError(f"car.{name} is {value}; it must be finite and above 0")

    @property
    def extent(self) -> tuple[float, float]:
        """Half the length, half the width."""
        return self.length / 2, self.width / 2


class Bicycle:
    """A `Car` on the move. All in floats; see `Ego` for the axes.

    Attributes:
        x, y, yaw: of the box's centre.
        speed: along the nose, negative backwards.
        drift: of the centre to the right.
        yaw_rate: in rad/s.
        wheels: angle of the front wheels in rad, positive to the right.

    Args:
        car: what is driven.
        tick: seconds of one `advance`.
    """

    __slots__ = (
        "_follow", "_half", "_resist", "_turn_most", "car", "drift", "speed", "tick", "wheels", "x", "y", "yaw",
        "yaw_rate",
    )  # fmt: skip

    def __init__(self, car: Car, tick: float) -> None:
        self.car = car
        self.tick = tick
        self._follow = 1.0 - math.exp(-tick / car.steer_lag) if car.steer_lag > 0.0 else 1.0
        self._turn_most = car.steer_rate * tick
        self._half = car.wheelbase / 2
        self._resist = 0.5 * AIR * car.drag
        self.place(0.0, 0.0, 0.0)

    def place(self, x: float, y: float, yaw: float, speed: float = 0.0) -> None:
        """Put it somewhere, wheels straight ahead."""
        self.x, self.y, self.yaw, self.speed = x, y, wrap(yaw), speed
        self.drift = self.yaw_rate = self.wheels = 0.0

    def advance(self, steer: float, throttle: float, brake: float, reverse: bool, grade: float = 0.0) -> None:
        """Go on by one tick.

        The speed changes by the engine's force min(drive, power / |v|) and by gravity, -m g grade; then brakes,
        rolling and air only take from what is there, so that they never turn it round. The way is driven at the mean
        of the speeds before and after, which makes work equal to the change of energy. The yaw rate is
        v tan(wheels) / wheelbase, bounded by grip: |v · yaw rate| <= grip · g.

        Args:
            steer: -1 to 1, positive to the right.
            throttle: 0 to 1.
            brake: 0 to 1.
            reverse: gear.
            grade: sine of the slope along the nose, positive uphill.
        """
        car, tick, before = self.car, self.tick, self.speed
        pace = before if before >= 0.0 else -before

        force = 0.0
        if throttle > 0.0:
            top = car.top_reverse if reverse else car.top_speed
            if (-before if reverse else before) < top:
                force = car.drive if pace * car.drive < car.power else car.power / pace
                force *= -throttle if reverse else throttle
        weight = car.mass * GRAVITY
        pull = (force - weight * grade) * tick / car.mass
        hold = (brake * car.brake + car.rolling * weight + self._resist * pace * pace) * tick / car.mass
        speed = before + pull
        if speed > hold:
            speed -= hold
        elif speed < -hold:
            speed += hold
        else:
            speed = 0.0
        # The engine does not push past its top speed; a slope may.
        if force > 0.0 and speed > car.top_speed >= before:
            speed = car.top_speed
        elif force < 0.0 and speed < -car.top_reverse <= before:
            speed = -car.top_reverse

        turn = (steer * car.max_steer - self.wheels) * self._follow
        most = self._turn_most
        self.wheels += most if turn > most else -most if turn < -most else turn

        mean = 0.5 * (before + speed)
        if before * speed < 0.0 or (speed == 0.0 and before != 0.0):
            # It comes to a stand within the tick, and drives no further than it gets until then.
            speed = 0.0
            mean = 0.5 * before * pace / (hold - pull if before > 0.0 else hold + pull)
        bend = math.tan(self.wheels) / car.wheelbase
        limit = car.grip * GRAVITY
        fastest = max(before * before, speed * speed)
        if abs(bend) * fastest > limit:
            bend = math.copysign(limit / fastest, bend)
        angle = mean * bend * tick
        slide = mean * bend * self._half
        middle = self.yaw + 0.5 * angle
        cos, sin = math.cos(middle), math.sin(middle)
        self.x += (mean * cos - slide * sin) * tick
        self.y += (mean * sin + slide * cos) * tick
        self.yaw = wrap(self.yaw + angle)
        self.speed = speed
        self.yaw_rate = speed * bend
        self.drift = speed * bend * self._half
