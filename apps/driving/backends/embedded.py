"""The simulator that comes with the suite: no server, no GPU, no camera; the same bytes for the same scenario."""

from __future__ import annotations

import math

from apps.driving.backends.base import BackendError, Control, Frame, Scenario
from apps.driving.backends.ground import Ground
from apps.driving.backends.lanes import Lanes
from apps.driving.backends.vehicle import Car
from apps.driving.backends.world import World
from apps.driving.roads.network import RoadNetwork
from common.errors import UsageError

#: Longest tick in s: the bicycle is integrated by the midpoint rule, which is exact enough up to here.
LONGEST_TICK = 0.1


class EmbeddedBackend:
    """A kinematic ego, cars that follow lanes, people on foot; see `apps.driving.backends.base.Backend`.

    Figures from it are never those of CARLA: tyres do not slip, nothing tilts, nobody is seen by a camera.

    Args:
        roads: the network; scenarios must lie in it.
        dt: seconds of a step.
        ticks: in which the ego moves in one step.
        car: that is driven.
        kerb: m from all lanes beyond which a corner of the ego touches the pavement, told as a collision of kind
            `SIDEWALK`; None: never.

    Raises:
        UsageError: a number makes no sense.
    """

    name = "embedded"

    def __init__(
        self, roads: RoadNetwork, dt: float = 0.1, ticks: int = 2, car: Car | None = None, kerb: float | None = 1.0
    ) -> None:
        if not (math.isfinite(dt) and dt > 0.0 and ticks >= 1):
            raise UsageError(f"dt is {dt} and ticks is {ticks}; dt must be above 0 and ticks at least 1")
        if dt / ticks > LONGEST_TICK + 1e-9:
            raise UsageError(
                f"a tick of {dt / ticks:.3f} s is too coarse: ask for {math.ceil(dt / LONGEST_TICK)} ticks"
            )
        if kerb is not None and not 0.0 <= kerb < 25.0:
            raise UsageError(f"kerb is {kerb}; it must lie in [0, 25) m, or be None")
        self.roads = roads
        self.dt = dt
        self.ticks = ticks
        self.car = car if car is not None else Car()
        self.kerb = kerb
        self._world: World | None = None

    def connect(self) -> None:
        """Make what all episodes share: the lanes and the ground."""
        Lanes.of(self.roads)
        Ground.of(self.roads)

    def reset(self, scenario: Scenario) -> Frame:
        """Start an episode. Frames count from 0.

        Raises:
            UsageError: the route is of another network or has no length, or there is no room for the traffic.
        """
        route = scenario.route
        self._world = None
        if route.digest != self.roads.digest:
            raise UsageError(
                f"route {route.name!r} is of {route.town} ({route.digest[:8]}), but this simulator has "
                f"{self.roads.name} ({self.roads.digest[:8]}); load the route's own town"
            )
        if len(route.xyz) < 2 or not route.length > 0.0:
            raise UsageError(f"route {route.name!r} has {len(route.xyz)} points and no length; it needs two")
        if (
            not math.isfinite(scenario.ego_speed)
            or not -self.car.top_reverse <= scenario.ego_speed <= self.car.top_speed
        ):
            raise UsageError(f"ego_speed is {scenario.ego_speed} m/s, which this car does not drive")
        lanes, ground = Lanes.of(self.roads), Ground.of(self.roads)
        self._world = World(lanes, ground, scenario, self.car, self.dt, self.ticks, self.kerb)
        return self._world.frame()

    def step(self, control: Control) -> Frame:
        """Go on by `dt` seconds.

        Raises:
            BackendError: there is no episode.
            ValueError: the control holds NaN or infinity.
        """
        if self._world is None:
            raise BackendError("step before reset: call reset(scenario) first")
        return self._world.step(control)

    def close(self) -> None:
        """Forget the episode."""
        self._world = None
