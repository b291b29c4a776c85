"""Traffic lights of a CARLA world, as far as they stand on the ego's route."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from apps.driving.backends.base import Light
from apps.driving.backends.carla_convert import light
from apps.driving.roads.routes import Route

SIGHT = 100.0
MARGIN = 0.5
SAME_WAY = math.radians(45)
# The ego is looked for this many points of the route behind and ahead of where it was.
BEHIND, AHEAD = 5, 60


class Lights:
    """The lights of a world and where one stops for them.

    Args:
        carla: module of the client.
        world: whose map is loaded.
    """

    def __init__(self, carla: Any, world: Any) -> None:
        self.carla = carla
        self._lines: list[tuple[float, float, float, Any]] = []
        for actor in world.get_actors().filter("traffic.traffic_light*"):
            for point in actor.get_stop_waypoints():
                place = point.transform
                self._lines.append((place.location.x, place.location.y, math.radians(place.rotation.yaw), actor))
        self._route: Route | None = None
        self._ahead: list[tuple[float, Any]] = []
        self._at = 0

    def follow(self, route: Route) -> None:
        """Find the stop lines on a new route."""
        self._route, self._at, self._ahead = route, 0, []
        for x, y, yaw, actor in self._lines:
            aside = np.hypot(route.xyz[:, 0] - x, route.xyz[:, 1] - y)
            turned = np.abs(np.remainder(route.yaw - yaw + math.pi, math.tau) - math.pi)
            near = np.flatnonzero((aside <= route.width / 2 + MARGIN) & (turned < SAME_WAY))
            # A route that comes by twice has the line twice: once for each run of neighbouring points.
            for run in np.split(near, np.flatnonzero(np.diff(near) > 1) + 1):
                if len(run):
                    self._ahead.append((float(route.s[run[np.argmin(aside[run])]]), actor))
        self._ahead.sort(key=lambda line: line[0])

    def look(self, x: float, y: float) -> tuple[Light, float]:
        """State of the next light on the route and metres to its stop line from the ego's centre."""
        if self._route is None or not self._ahead:
            return Light.NONE, math.inf
        start = max(self._at - BEHIND, 0)
        points = self._route.xyz[start : self._at + AHEAD, :2]
        self._at = start + int(np.argmin((points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2))
        here = float(self._route.s[self._at])
        for s, actor in self._ahead:
            if 0 <= s - here <= SIGHT:
                state = light(self.carla, actor.state)
                return (state, s - here) if state != Light.NONE else (Light.NONE, math.inf)
        return Light.NONE, math.inf
