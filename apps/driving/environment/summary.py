"""What one episode came to, in the numbers that evaluations are made of."""

from __future__ import annotations

import math
from typing import Any

from apps.driving.backends.base import Frame, Traffic
from apps.driving.env_config import KMH
from apps.driving.environment.termination import Ending
from apps.driving.environment.tracker import JUMP, RouteTracker
from apps.driving.roads.routes import Route


class Summary:
    """Adds up one episode, step by step.

    Args:
        route: that was driven.
        backend: name of the simulator.
        traffic: that was asked for.
        seed: of the episode.
    """

    def __init__(self, route: Route, backend: str, traffic: Traffic, seed: int) -> None:
        self.facts: dict[str, Any] = {
            "route": route.name,
            "town": route.town,
            "route_length": route.length,
            "backend": backend,
            "vehicles": traffic.vehicles,
            "walkers": traffic.walkers,
            "parked": traffic.parked,
            "seed": seed,
        }
        self.track: list[tuple[float, float, float, float]] = []
        self.speeds = 0.0
        self.distance = 0.0
        self.offsets = 0.0
        self.off_route = 0
        self.collisions: list[dict[str, Any]] = []
        self.dt = 0.0
        self.progress = 0.0

    def add(self, before: Frame, frame: Frame, state: dict[str, float], tracker: RouteTracker, dt: float) -> None:
        """Take in one step; a jump of the car is not driven distance."""
        old, ego = before.ego, frame.ego
        moved = math.hypot(ego.x - old.x, ego.y - old.y)
        if moved <= max(abs(old.speed), abs(ego.speed)) * dt + JUMP:
            self.distance += moved
        self.speeds += abs(ego.speed)
        self.offsets += abs(state["offset"])
        self.off_route += tracker.off_route
        self.progress = tracker.progress
        self.dt = dt
        self.track.append((ego.x, ego.y, ego.yaw, ego.speed))
        for hit in frame.collisions:
            self.collisions.append(
                {"kind": hit.kind.name.lower(), "speed": abs(hit.speed) / KMH, "step": len(self.track)}
            )

    def result(self, ending: Ending) -> dict[str, Any]:
        """The episode in numbers: speeds in km/h, distances in m, shares in [0, 1]."""
        steps = len(self.track)
        return {
            **self.facts,
            "cause": ending.cause,
            "success": ending.success,
            "truncated": ending.truncated,
            "steps": steps,
            "seconds": steps * self.dt,
            "distance": self.distance,
            "route_completion": self.progress,
            "average_speed": self.speeds / steps / KMH if steps else 0.0,
            "collided": bool(self.collisions),
            "collisions": self.collisions,
            # VLM-RL's CS: of the collision that ended the episode, 0 without one.
            "collision_speed": self.collisions[-1]["speed"] if self.collisions else 0.0,
            "offset": self.offsets / steps if steps else 0.0,
            "off_route": self.off_route / steps if steps else 0.0,
            "track": self.track,
        }
