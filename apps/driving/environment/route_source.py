"""Where an environment gets its routes from: a file of fixed ones, or planned at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.driving.env_config import RouteConfig
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import SHORTEST_ROUTE, Route, RouteError
from common.errors import UsageError

#: In place of a file: the fixed routes that are shipped with each map.
EVALUATION = "evaluation"
#: Seed of the pools of random routes, so that every run on a map knows the same ones.
POOL_SEED = 0


class RouteSource:
    """Hands out routes.

    Args:
        config: which maps, and a file or lengths.

    Raises:
        UsageError: there is no map, or no such file.
    """

    def __init__(self, config: RouteConfig) -> None:
        from apps.driving.roads.library import load_roads
        from apps.driving.roads.route_files import evaluation_routes, read_routes

        if not config.maps:
            raise UsageError("routes.maps is empty; name a map, for instance town")
        self.config = config
        self._roads: dict[str, RoadNetwork] = {}
        for name in config.maps:
            roads = load_roads(name, tuple(config.folders))
            self._roads[roads.name] = roads
        self._fixed: list[Route] = []
        if config.file == EVALUATION:
            self._fixed = [route for roads in self._roads.values() for route in evaluation_routes(roads)]
        elif config.file:
            self._fixed = read_routes(config.file, self._only(config))
        self._pools: dict[str, list[Route]] = {}
        #: Of the next fixed route.
        self.number = 0

    def roads(self, town: str) -> RoadNetwork:
        """The network of a town.

        Raises:
            UsageError: it is not among the maps.
        """
        if town not in self._roads:
            raise UsageError(f"a route in {town!r}, but routes.maps has {sorted(self._roads)}; add it there")
        return self._roads[town]

    def take(self, rng: np.random.Generator) -> Route:
        """The next fixed route, or a random one."""
        if self._fixed:
            route = self._fixed[self.number % len(self._fixed)]
            self.number += 1
            return route
        names = list(self._roads)
        pool = self._pool(names[int(rng.integers(len(names)))])
        return pool[int(rng.integers(len(pool)))]

    def named(self, route: Any) -> Route:
        """A route itself, or by its name in the route file.

        Raises:
            RouteError: it is too short to be driven.
            UsageError: there is none of that name.
        """
        if isinstance(route, Route):
            # Planned ones are long enough; this one may have been made by hand.
            if route.length < SHORTEST_ROUTE:
                raise RouteError(
                    f"route {route.name!r} is {route.length:.1f} m long; at least {SHORTEST_ROUTE:g} m are needed"
                )
            return route
        found = next((one for one in self._fixed if one.name == route), None)
        if found is None:
            names = [one.name for one in self._fixed]
            raise UsageError(
                f"no route {route!r}; {self.config.file or 'without a route file there are no names'} {names}"
            )
        return found

    def _only(self, config: RouteConfig) -> RoadNetwork:
        if len(self._roads) > 1:
            raise UsageError(f"{config.file} is a file of one map's routes, but routes.maps names {config.maps}")
        return next(iter(self._roads.values()))

    def _pool(self, town: str) -> list[Route]:
        from apps.driving.roads.planner import random_routes

        if town not in self._pools:
            config = self.config
            self._pools[town] = random_routes(
                self._roads[town], config.pool, (config.shortest, config.longest), seed=POOL_SEED
            )
        return self._pools[town]
