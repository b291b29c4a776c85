"""Everyone but the ego, in one list: cars, parked cars, people."""

from __future__ import annotations

import math

import numpy as np

from apps.driving.backends.base import Actors, Kind, Scenario
from apps.driving.backends.ground import Ground
from apps.driving.backends.junctions import EgoClaims
from apps.driving.backends.lanes import Lanes
from apps.driving.backends.pavements import Pavements
from apps.driving.backends.spawning import PARKED, Taken, parked, people, starts
from apps.driving.backends.traffic import MODELS, Fleet, Others, joined
from apps.driving.backends.vehicle import Bicycle
from apps.driving.backends.walkers import Walkers

#: A car that left the map comes back this many m or more from the ego, if this much air (m) is free there.
UNSEEN, AIR = 60.0, 15.0


class Crowd:
    """The other participants of an episode.

    Rows of `actors`: cars that drive (without those that have left the map), parked cars, people.

    Attributes:
        poses: `(N, 4)` of all rows, also of cars that are away (far outside of everything).
        extents: `(N, 2)`.
        kinds: of each row.
        ids: of each row; a car that comes back is another one.
    """

    def __init__(
        self, lanes: Lanes, ground: Ground, scenario: Scenario, ego: Bicycle, z: float, rng: np.random.Generator
    ) -> None:
        traffic, route = scenario.traffic, scenario.route
        self._lanes, self._rng = lanes, rng
        self._extent = ego.car.extent
        taken = Taken(1 + traffic.vehicles + traffic.parked)
        taken.add(np.array([ego.x, ego.y, 0.0, ego.yaw]), self._extent)
        models = MODELS[rng.integers(len(MODELS), size=traffic.vehicles)]
        nodes = starts(lanes, route, models, taken, rng)
        self._parked = parked(lanes, route, traffic.parked, taken, rng)
        self.fleet = Fleet(lanes, nodes, models, rng)
        self._claims = EgoClaims(lanes, route)

        still = np.tile(np.array(PARKED), (traffic.parked, 1))
        x, y, height, yaw = self._parked.T.copy()
        self._still = Others(x, y, height, yaw, np.zeros(traffic.parked), still[:, 0].copy(), still[:, 1].copy())
        pavements = Pavements.of(lanes.roads) if traffic.walkers else None
        places = people(pavements, route, traffic.walkers, lanes.roads.name, rng) if pavements is not None else []
        self.walkers = Walkers(pavements, ground, places, self._still, rng) if pavements is not None else None
        feet = self.walkers.extents if self.walkers is not None else np.zeros((0, 2))
        self.extents = np.concatenate([models, still, feet])
        sizes = (traffic.vehicles + traffic.parked, traffic.walkers)
        self.kinds = np.repeat(np.array([Kind.VEHICLE, Kind.WALKER], np.int8), sizes)
        self.ids = np.arange(1, 1 + sum(sizes), dtype=np.int64)
        self._last_id = sum(sizes)
        self._rest = 0.0
        self.fleet.start(joined(self._ego(ego, z), self._still))
        self.poses = self._all()

    def step(self, dt: float, ego: Bicycle, z: float) -> None:
        """Everybody goes on by `dt` seconds, seeing all others where they are now; `z` is the ego's height."""
        driver = self._ego(ego, z)
        fleet, walkers = self.fleet, self.walkers
        cars = joined(driver, self._still)
        if len(fleet.speed):
            seen = cars
            if walkers is not None:
                x, y, long = walkers.shadows()
                seen = joined(
                    cars,
                    Others(x, y, walkers.poses[:, 2], walkers.poses[:, 3], walkers.speed, long, walkers.extents[:, 1]),
                )
            fleet.step(dt, seen, self._claims.held(ego.x, ego.y, ego.speed, self._extent[0]))
            if fleet.away.any():
                self._come_back(dt, ego)
        if walkers is not None:
            walkers.step(dt, joined(fleet.boxes(), cars))
        self.poses = self._all()

    def actors(self) -> Actors:
        """Everybody at this moment; nothing of it changes later."""
        fleet, walkers = self.fleet, self.walkers
        feet = walkers.speed if walkers is not None else self._still.speed[:0]
        all_ = Actors(
            self.ids, self.kinds, self.poses, np.concatenate([fleet.speed, self._still.speed, feet]), self.extents
        )
        if not fleet.away.any():
            return all_
        here = np.ones(len(self.ids), bool)
        here[: len(fleet.away)] = ~fleet.away
        return Actors(all_.ids[here], all_.kinds[here], all_.poses[here], all_.speeds[here], all_.extents[here])

    def halt(self, row: int) -> None:
        """Stop whoever the ego ran into."""
        first = len(self.ids) - (len(self.walkers.speed) if self.walkers is not None else 0)
        if row < len(self.fleet.speed):
            self.fleet.halt(row)
        elif row >= first and self.walkers is not None:
            self.walkers.halt(row - first)

    def velocity(self, row: int) -> tuple[float, float]:
        """Of a participant, in the world."""
        if row < len(self.fleet.speed):
            speed, yaw = float(self.fleet.speed[row]), float(self.poses[row, 3])
            return speed * math.cos(yaw), speed * math.sin(yaw)
        return 0.0, 0.0

    def _come_back(self, dt: float, ego: Bicycle) -> None:
        """Once a second one car that left the map looks for a free spawn point out of sight."""
        self._rest += dt
        if self._rest < 1.0:
            return
        self._rest = 0.0
        roads, fleet = self._lanes.roads, self.fleet
        if not len(roads.spawns):
            return
        car = int(np.flatnonzero(fleet.away)[0])
        node = int(roads.spawns[self._rng.integers(len(roads.spawns))])
        x, y = roads.xyz[node, :2].tolist()
        others = np.hypot(self.poses[:, 0] - x, self.poses[:, 1] - y)
        if math.hypot(ego.x - x, ego.y - y) >= UNSEEN and others.min() >= AIR:
            fleet.enter(car, node)
            self._last_id += 1
            self.ids = self.ids.copy()
            self.ids[car] = self._last_id

    def _all(self) -> np.ndarray:
        feet = [self.walkers.poses] if self.walkers is not None else []
        return np.concatenate([self.fleet.poses, self._parked, *feet])

    def _ego(self, ego: Bicycle, z: float) -> Others:
        long, wide = self._extent
        return Others(*np.array([[ego.x], [ego.y], [z], [ego.yaw], [ego.speed], [long], [wide]]))
