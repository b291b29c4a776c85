"""Pure pursuit steers, the intelligent driver model works the pedals.

It knows no more than the observation tells every policy, and the marks of the car. Sources: Coulter, "Implementation
of the Pure Pursuit Path Tracking Algorithm" (CMU-RI-TR-92-01); Treiber, Hennecke and Helbing, Phys. Rev. E 62, 1805
(2000), equations 2 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.env_config import EnvConfig
from apps.driving.observation.measures import CAR, SPEED


@dataclass(frozen=True)
class Habits:
    """How the rule-based driver drives.

    Attributes:
        wheelbase: of the car, in m.
        max_steer: angle of its front wheels at full steer, in rad.
        look: seconds ahead of the point that it steers to, and `nearest` metres at least.
        sideways: m/s² that it takes in bends.
        acceleration: m/s² it likes to take, and `braking` to slow down with.
        headway: seconds to whatever is ahead, and `standstill` metres.
        foresight: seconds for which it thinks others go on as they do.
        pedal: m/s² that the full throttle gives, and `brakes` the full brake.
    """

    wheelbase: float = 2.88
    max_steer: float = 0.55
    look: float = 0.8
    nearest: float = 4.0
    sideways: float = 2.0
    acceleration: float = 1.5
    braking: float = 2.0
    headway: float = 1.2
    standstill: float = 3.0
    foresight: float = 2.0
    pedal: float = 4.5
    brakes: float = 8.5


class RuleBased:
    """Drives along the waypoints and keeps its distance.

    Attributes:
        env: what it drives in: as configured, but that it steers evenly and sees its neighbours, whatever the policy
            beside it does.

    Args:
        config: of the environment it drives in.
        habits: how.
    """

    name = "rule-based"

    def __init__(self, config: EnvConfig, habits: Habits | None = None) -> None:
        self.config = config
        self.habits = habits or Habits()
        sight = config.observation
        self.env = replace(
            config,
            action=replace(config.action, kind="continuous"),
            observation=replace(sight, neighbours=sight.neighbours or SEEN),
        )
        self.reach = sight.waypoints * sight.spacing
        self.spacing = sight.spacing

    def act(self, observation: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Steer and pedals, each in [-1, 1]."""
        speed = float(observation["measures"][2]) * SPEED
        way = np.vstack([np.zeros((1, 2)), observation["waypoints"] * self.reach])
        steer = self._steer(way, speed)
        kept = self.config.action.smoothing
        # The environment blends with the steer before: ask for what comes out as wanted.
        applied = float(observation["measures"][0])
        wanted = (steer - kept * applied) / (1.0 - kept) if kept < 1.0 else steer
        return np.clip(np.array([wanted, self._pedals(way, speed, observation)], np.float32), -1.0, 1.0)

    def _steer(self, way: NDArray[np.float64], speed: float) -> float:
        """Pure pursuit: the arc through the point ahead has curvature 2 sin(alpha) / distance."""
        habits = self.habits
        look = max(habits.look * speed, habits.nearest)
        number = min(max(round(look / self.spacing), 1), len(way) - 1)
        ahead, right = way[number]
        distance = math.hypot(ahead, right)
        if distance < 1e-6:
            return 0.0
        curvature = 2.0 * right / distance**2
        return math.atan(curvature * habits.wheelbase) / habits.max_steer

    def _pedals(self, way: NDArray[np.float64], speed: float, observation: Mapping[str, NDArray[Any]]) -> float:
        """IDM: a (1 - (v / v0)^4 - (s* / s)^2) with s* = s0 + v T + v dv / (2 sqrt(a b))."""
        habits = self.habits
        gap, leader = self._leader(way, speed, observation.get("neighbours"))
        free = 1.0 - (speed / max(self._pace(way), 0.5)) ** 4 if speed > 0.0 else 1.0
        wanted = habits.standstill + max(
            speed * habits.headway
            + speed * (speed - leader) / (2.0 * math.sqrt(habits.acceleration * habits.braking)),
            0.0,
        )
        acceleration = habits.acceleration * (free - (wanted / max(gap, 0.1)) ** 2)
        return acceleration / (habits.pedal if acceleration > 0.0 else habits.brakes)

    def _pace(self, way: NDArray[np.float64]) -> float:
        """The target speed, less where a bend ahead asks for it."""
        habits = self.habits
        steps = np.diff(way, axis=0)
        # The first step leads from the car to the way and says nothing of a bend.
        headings = np.unwrap(np.arctan2(steps[1:, 1], steps[1:, 0]))
        bends = np.abs(np.diff(headings)) / self.spacing
        allowed = np.sqrt(habits.sideways / np.maximum(bends, 1e-6))
        distances = self.spacing * np.arange(2, 2 + len(bends))
        now = np.sqrt(allowed**2 + 2.0 * habits.braking * distances)
        return float(min(self.config.target_speed, now.min(initial=math.inf)))

    def _leader(
        self, way: NDArray[np.float64], speed: float, neighbours: NDArray[np.float32] | None
    ) -> tuple[float, float]:
        """Free metres ahead, and the speed along the way of whatever ends them."""
        found = (math.inf, speed)
        if neighbours is None:
            return found
        habits, sight = self.habits, self.config.observation.sight
        headings = np.arctan2(*np.diff(way, axis=0)[:, ::-1].T)
        for there, ahead, right, cosine, sine, pace, half_length, half_width in neighbours.astype(float):
            if not there:
                break
            place, nose = np.array((ahead, right)) * sight, np.array((cosine, sine))
            pace, half_length, half_width = pace * SPEED, half_length * CAR, half_width * CAR
            for later in np.arange(0.0, habits.foresight + 0.01, 0.5):
                where = place + nose * pace * later
                discs = where + np.array((-1.0, 0.0, 1.0))[:, None] * nose * max(half_length - half_width, 0.0)
                distances = np.linalg.norm(way[1:, None] - discs, axis=2).min(1)
                blocked = np.flatnonzero(distances < half_width + 1.2)
                if not len(blocked):
                    continue
                first = int(blocked[0]) + 1
                along = pace * (cosine * math.cos(headings[first - 1]) + sine * math.sin(headings[first - 1]))
                # What crosses later is a wall at the place where it will be.
                gap = first * self.spacing - half_width - EGO_FRONT
                if gap < found[0]:
                    found = (max(gap, 0.0), max(along, 0.0) if later == 0.0 else min(max(along, 0.0), speed))
                break
        return found


#: Neighbours that it sees where the configured environment shows none.
SEEN = 6
#: From the middle of the car to its front, in m.
EGO_FRONT = 2.35
