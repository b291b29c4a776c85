"""Everyone who is put into a CARLA world for one episode, and taken out of it again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import BackendError
from apps.driving.backends.carla_config import CameraConfig, CarlaConfig
from apps.driving.backends.carla_convert import transform
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route
from common.errors import UsageError

# A car is put down from a hand's breadth above the road, so that its wheels do not start inside it.
LIFT = 0.3
WALKER_LIFT = 1.0
# Nobody is put nearer to the ego than this.
ROOM = 8.0
EGO_STEP = 2.0
WALKER_SPEED = (0.9, 1.8)
SENSORS = {"collision": "sensor.other.collision", "pulse": "sensor.other.imu"}


class Stage:
    """The actors of one episode.

    Args:
        carla: module of the client.
        client: connected.
        world: to put them into.
        config: blueprints and attempts.
    """

    def __init__(self, carla: Any, client: Any, world: Any, config: CarlaConfig) -> None:
        self.carla, self.client, self.world, self.config = carla, client, world, config
        self.library = world.get_blueprint_library()
        self._ids: list[int] = []
        self._sensors: list[Any] = []
        self._controllers: list[Any] = []

    def put_ego(self, route: Route) -> Any:
        """The driven car at the start of its route, or where that is blocked, a little further along it.

        Raises:
            BackendError: no place was free.
        """
        blueprint = self._find(self.config.vehicle)
        blueprint.set_attribute("role_name", "hero")
        for attempt in range(self.config.spawn_attempts):
            along = attempt * EGO_STEP
            if attempt and along > route.length / 2:
                break
            point = int(np.searchsorted(route.s, along))
            x, y, z = route.xyz[point]
            ego = self._try(blueprint, transform(self.carla, x, y, z + LIFT, route.yaw[point]))
            if ego is not None:
                return ego
        raise BackendError(
            f"the start of route {route.name or '(unnamed)'} in {route.town} is blocked: {attempt + 1} places along "
            "it were tried; remove the actors that another client left there, or take another route"
        )

    def put_sensors(self, ego: Any, listeners: Mapping[str, Callable[[Any], None]]) -> None:
        """The sensors of `Sensors.listeners` on the ego; data come from the next tick on."""
        for name, hear in listeners.items():
            place = transform(self.carla, 0.0, 0.0, 0.0, 0.0)
            if name == "camera":
                assert self.config.camera is not None
                blueprint, place = self._camera(self.config.camera)
            else:
                blueprint = self._find(SENSORS[name])
            sensor = self.world.spawn_actor(blueprint, place, attach_to=ego)
            self._ids.append(sensor.id)
            self._sensors.append(sensor)
            sensor.listen(hear)

    def put_cars(
        self, moving: int, parked: int, roads: RoadNetwork, away_from: NDArray[np.float64], rng: np.random.Generator
    ) -> list[Any]:
        """Other cars, at places and of makes that the generator chooses; those that shall move are returned.

        Args:
            away_from: `(2,)` x and y of the ego.

        Raises:
            UsageError: the map has fewer places than that.
            BackendError: `spawn_attempts` places in a row were blocked for one car.
        """
        if not moving + parked:
            return []
        distance = np.linalg.norm(roads.xyz[roads.spawns, :2] - away_from, axis=1)
        free = roads.spawns[distance >= ROOM]
        if moving + parked > len(free):
            raise UsageError(
                f"traffic of {moving} vehicles and {parked} parked ones does not fit {roads.name}, which has "
                f"{len(free)} places for them; lower traffic.vehicles or traffic.parked"
            )
        blueprints = self._cars()
        order = rng.permutation(free)
        # Cars park where there is no lane to their right.
        kerb = np.isin(order, np.flatnonzero(roads.right < 0))
        parking, driving = iter(order[kerb]), iter(order)
        used: set[int] = set()
        for _ in range(parked):
            car = self._put_car(blueprints, roads, parking, used, rng, aside=True)
            car.apply_control(self.carla.VehicleControl(hand_brake=True))
        return [self._put_car(blueprints, roads, driving, used, rng) for _ in range(moving)]

    def _put_car(
        self,
        blueprints: list[Any],
        roads: RoadNetwork,
        places: Iterator[Any],
        used: set[int],
        rng: np.random.Generator,
        aside: bool = False,
    ) -> Any:
        blueprint = blueprints[int(rng.integers(len(blueprints)))]
        if blueprint.has_attribute("color"):
            colours = blueprint.get_attribute("color").recommended_values
            blueprint.set_attribute("color", colours[int(rng.integers(len(colours)))])
        blueprint.set_attribute("role_name", "parked" if aside else "autopilot")
        tried = 0
        for node in places:
            if int(node) in used:
                continue
            used.add(int(node))
            x, y, z = roads.xyz[node]
            yaw = float(roads.yaw[node])
            if aside:
                x, y = x - np.sin(yaw) * roads.width[node] / 2, y + np.cos(yaw) * roads.width[node] / 2
            car = self._try(blueprint, transform(self.carla, x, y, z + LIFT, yaw))
            if car is not None:
                return car
            tried += 1
            if tried == self.config.spawn_attempts:
                break
        raise BackendError(
            f"{tried} places of {roads.name} in a row were blocked for a car; lower traffic.vehicles or "
            "traffic.parked, or remove the actors that another client left"
        )

    def put_walkers(self, count: int, seed: int, rng: np.random.Generator) -> None:
        """Pedestrians where the map lets people walk; they stand until `start_walkers`, a tick later.

        Raises:
            BackendError: the map has no places for them, or `spawn_attempts` in a row were blocked.
        """
        if not count:
            return
        self.world.set_pedestrians_seed(seed)
        people = sorted(self.library.filter("walker.pedestrian.*"), key=lambda blueprint: str(blueprint.id))
        controller = self._find("controller.ai.walker")
        for _ in range(count):
            walker = self._put_walker(people[int(rng.integers(len(people)))])
            guide = self.world.spawn_actor(controller, self.carla.Transform(), attach_to=walker)
            self._ids.append(guide.id)
            self._controllers.append(guide)

    def _put_walker(self, blueprint: Any) -> Any:
        if blueprint.has_attribute("is_invincible"):
            blueprint.set_attribute("is_invincible", "false")
        for _ in range(self.config.spawn_attempts):
            place = self.world.get_random_location_from_navigation()
            if place is None:
                continue
            walker = self._try(blueprint, transform(self.carla, place.x, place.y, place.z + WALKER_LIFT, 0.0))
            if walker is not None:
                return walker
        raise BackendError(
            f"no free place for a pedestrian was found in {self.config.spawn_attempts} attempts; lower "
            "traffic.walkers, or set it to 0 where the map has no pavements"
        )

    def start_walkers(self, rng: np.random.Generator) -> None:
        """Send every pedestrian somewhere."""
        for guide in self._controllers:
            guide.start()
            goal = self.world.get_random_location_from_navigation()
            if goal is not None:
                guide.go_to_location(goal)
            guide.set_max_speed(float(rng.uniform(*WALKER_SPEED)))

    def clear(self) -> None:
        """Take everyone out again: sensors and pedestrians are stopped before they are destroyed."""
        sensors, controllers, ids = self._sensors, self._controllers, self._ids
        self.forget()
        for actor in (*sensors, *controllers):
            # One that is gone already need not be stopped, and the others must be.
            with contextlib.suppress(RuntimeError):
                actor.stop()
        if ids:
            self.client.apply_batch_sync([self.carla.command.DestroyActor(actor) for actor in reversed(ids)], False)

    def forget(self) -> None:
        """The server is gone, and everyone with it."""
        self._ids, self._sensors, self._controllers = [], [], []

    def _try(self, blueprint: Any, place: Any) -> Any | None:
        actor = self.world.try_spawn_actor(blueprint, place)
        if actor is not None:
            self._ids.append(actor.id)
        return actor

    def _find(self, name: str) -> Any:
        try:
            return self.library.find(name)
        except (IndexError, RuntimeError) as error:
            raise BackendError(
                f"the CARLA server has no blueprint {name!r}; see carla.vehicle, carla.camera"
            ) from error

    def _cars(self) -> list[Any]:
        cars = [
            blueprint
            for blueprint in self.library.filter("vehicle.*")
            if blueprint.has_attribute("number_of_wheels") and int(blueprint.get_attribute("number_of_wheels")) == 4
        ]
        if not cars:
            raise BackendError("the CARLA server has no cars with four wheels among its blueprints")
        return sorted(cars, key=lambda blueprint: str(blueprint.id))

    def _camera(self, camera: CameraConfig) -> tuple[Any, Any]:
        blueprint = self._find(camera.blueprint)
        for name, value in (("image_size_x", camera.width), ("image_size_y", camera.height), ("fov", camera.fov)):
            blueprint.set_attribute(name, str(value))
        carla = self.carla
        return blueprint, carla.Transform(
            carla.Location(x=camera.x, y=camera.y, z=camera.z), carla.Rotation(pitch=camera.pitch)
        )
