"""Driving on a CARLA server.

The client's module is given from outside: the real `carla`, or `fake_carla`, a scripted stand-in that tests use because
no server runs there. What only a server can show is listed in the application's README.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from apps.driving.backends.base import (
    NOBODY,
    Actors,
    BackendError,
    BackendLost,
    BackendUnavailable,
    Control,
    Frame,
    Kind,
    Scenario,
)
from apps.driving.backends.carla_actors import Stage
from apps.driving.backends.carla_config import CarlaConfig, tick_seconds
from apps.driving.backends.carla_convert import Box, Motion, box, ego, kind_of, motion, vehicle_control
from apps.driving.backends.carla_lights import Lights
from apps.driving.backends.carla_probe import look as look_at_port
from apps.driving.backends.carla_sensors import Sensors
from apps.driving.backends.carla_session import Session
from apps.driving.backends.carla_traffic import SEEDS, TrafficManager
from apps.driving.backends.supervisor import Look, Supervisor
from apps.driving.roads.network import RoadNetwork
from common.errors import MissingDependency, UsageError

AT_REST = 0.02
STOP = Control(brake=1.0)


def load_carla() -> Any:
    """The client's module.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import carla
    except ImportError as error:
        raise MissingDependency("carla", "carla") from error
    return carla


class CarlaBackend:
    """A CARLA server as a `Backend`.

    Args:
        roads: network that the routes lie in.
        config: server, limits, sensors.
        dt: simulated seconds of one step.
        opendrive: the network's OpenDRIVE text, for a map that the server does not have; it is built there.
        carla: module of the client; None imports the real one.
        name: for tables.
        look: who listens on a port.
        pause: waits that many seconds before a restart.
        say: shows a line to the user.

    Raises:
        UsageError: a tick would be too long for CARLA's physics.
        MissingDependency: the client is not installed.
    """

    def __init__(
        self,
        roads: RoadNetwork,
        config: CarlaConfig,
        dt: float,
        *,
        opendrive: str | None = None,
        carla: Any = None,
        name: str = "carla",
        look: Look = look_at_port,
        pause: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name, self.dt, self.roads, self.config = name, dt, roads, config
        self.tick_seconds, warning = tick_seconds(config, dt)
        if warning:
            say(warning)
        self._carla = load_carla() if carla is None else carla
        self._opendrive, self._say = opendrive, say
        self.supervisor = Supervisor(
            config.server, config.host, config.port, config.answer_timeout, look=look, pause=pause, say=say
        )
        self._session: Session | None = None
        self._traffic: TrafficManager | None = None
        self._lights: Lights | None = None
        self._episode: _Episode | None = None
        self._was_lost = False

    def connect(self) -> None:
        """See `Backend.connect`; it also checks versions and map and takes the server's clock."""
        if self._session is not None:
            return
        self.supervisor.ready()
        try:
            self._open()
        except BackendLost as error:
            self._lose()
            raise BackendUnavailable(str(error)) from error
        except BaseException:
            self.supervisor.stop()
            raise

    def reset(self, scenario: Scenario) -> Frame:
        """See `Backend.reset`."""
        route = scenario.route
        if route.digest != self.roads.digest:
            raise UsageError(
                f"route {route.name or '(unnamed)'} is of {route.town} ({route.digest[:12]}), the roads are those of "
                f"{self.roads.name} ({self.roads.digest[:12]}); make the route on this map"
            )
        while True:
            self._end_episode()
            self._come_back()
            assert self._session is not None
            try:
                return self._begin(self._session, scenario)
            except BackendLost:
                # Only a reset may be tried again: nothing was driven yet.
                self._lose()
            except BaseException:
                self._end_episode()
                raise

    def step(self, control: Control) -> Frame:
        """See `Backend.step`.

        Raises:
            ValueError: the control has a number that is NaN, infinite or no number; nothing was done.
            BackendError: there is no episode; or another client ticks the server.
        """
        wanted = vehicle_control(self._carla, control)
        session, episode = self._session, self._episode
        if session is None or episode is None:
            raise BackendError("there is no episode to go on with; call reset first")
        try:
            with session.call("a step"):
                episode.car.apply_control(wanted)
                frame = episode.go_on(self.config.ticks)
        except BackendLost:
            self._lose()
            raise
        self.supervisor.drove()
        return frame

    def close(self) -> None:
        """See `Backend.close`; only a server that was started here is ended."""
        self._end_episode()
        session, traffic = self._session, self._traffic
        self._session = self._traffic = self._lights = None
        if session is not None:
            # A server that is gone cannot be tidied up.
            with contextlib.suppress(BackendLost):
                if traffic is not None:
                    with session.call("closing"):
                        traffic.close()
                session.close()
        self.supervisor.stop()

    def _open(self) -> None:
        self._session = Session(
            self._carla, self.supervisor, self.config, self.roads, self._opendrive, self.tick_seconds, self._say
        )
        self._was_lost = False

    def _come_back(self) -> None:
        """A connected server, restarted as often as is allowed."""
        if not self._was_lost:
            self.connect()
            return
        while True:
            self.supervisor.again()
            try:
                self._open()
                return
            except BackendLost:
                self._lose()

    def _lose(self) -> None:
        """Nothing more is asked of this server."""
        if self._episode is not None:
            self._episode.stage.forget()
        self._end_episode()
        self._session = self._traffic = self._lights = None
        self._was_lost = True
        self.supervisor.lost()

    def _begin(self, session: Session, scenario: Scenario) -> Frame:
        rng = np.random.default_rng(scenario.seed)
        traffic = scenario.traffic
        with session.call("a reset", self.config.load_timeout):
            session.check_episode()
            stage = Stage(self._carla, session.client, session.world, self.config)
            self._episode = episode = _Episode(session, stage, self.config, self.tick_seconds)
            episode.car = stage.put_ego(scenario.route)
            stage.put_sensors(episode.car, episode.sensors.listeners(self.config.camera is not None))
            start = scenario.route.xyz[0, :2]
            cars = stage.put_cars(traffic.vehicles, traffic.parked, self.roads, start, rng)
            stage.put_walkers(traffic.walkers, scenario.seed % SEEDS, rng)
            if cars:
                if self._traffic is None:
                    self._traffic = TrafficManager(session.client, self.config.traffic_manager_port, self._say)
                self._traffic.drive(cars, scenario.seed)
            if self._lights is None:
                self._lights = Lights(self._carla, session.world)
            self._lights.follow(scenario.route)
            episode.lights = self._lights
            return episode.start(scenario.ego_speed, rng)

    def _end_episode(self) -> None:
        episode, self._episode = self._episode, None
        if episode is None:
            return
        episode.sensors.close()
        with contextlib.suppress(BackendLost), episode.session.call("tidying up", self.config.load_timeout):
            episode.stage.clear()


class _Episode:
    """What lasts from one reset to the next."""

    def __init__(self, session: Session, stage: Stage, config: CarlaConfig, tick: float) -> None:
        self.session, self.stage, self.config, self.tick = session, stage, config, tick
        self.sensors = Sensors(tick)
        self.car: Any = None
        self.lights: Lights | None = None
        self._began = 0
        self._known = -1
        self._others: dict[int, tuple[Kind, Box]] = {}
        # As many as a step has ticks, so that differences are those of a whole step.
        self._motions: deque[Motion] = deque(maxlen=config.ticks + 1)

    def start(self, speed: float, rng: np.random.Generator) -> Frame:
        """Let the car settle, give it its speed, and tell the first frame."""
        carla, car = self.stage.carla, self.car
        self._box = box(car)
        car.apply_control(vehicle_control(carla, STOP))
        snapshot = self._tick()
        self.stage.start_walkers(rng)
        for _ in range(self.config.settle_ticks):
            if self._at_rest(snapshot):
                break
            snapshot = self._tick()
        else:
            car.set_target_velocity(carla.Vector3D(0.0, 0.0, 0.0))
            car.set_target_angular_velocity(carla.Vector3D(0.0, 0.0, 0.0))
            snapshot = self._tick()
        if speed:
            forward = car.get_transform().get_forward_vector()
            car.apply_control(carla.VehicleControl())
            car.set_target_velocity(carla.Vector3D(forward.x * speed, forward.y * speed, forward.z * speed))
            snapshot = self._tick()
        self.sensors.take(snapshot.frame, self.config.sensor_timeout)
        self.sensors.collisions.begin(snapshot.frame)
        self._began = snapshot.frame
        now = self._motion(snapshot)
        self._motions.clear()
        self._motions.append(now)
        self.sensors.collisions.drove(snapshot.frame, now.speed)
        return self._tell(snapshot, now, None)

    def go_on(self, ticks: int) -> Frame:
        """One step."""
        for _ in range(ticks):
            snapshot = self._tick()
            now = self._motion(snapshot)
            self._motions.append(now)
            self.sensors.collisions.drove(snapshot.frame, now.speed)
        return self._tell(snapshot, now, self._motions[0])

    def _tick(self) -> Any:
        return self.session.tick()

    def _part(self, snapshot: Any) -> Any:
        part = snapshot.find(self.car.id)
        if part is None:
            raise BackendLost("the ego is gone from the CARLA world; another client has destroyed it")
        return part

    def _motion(self, snapshot: Any) -> Motion:
        return motion(self._part(snapshot), self._box)

    def _at_rest(self, snapshot: Any) -> bool:
        velocity = self._part(snapshot).get_velocity()
        return math.sqrt(velocity.x**2 + velocity.y**2 + velocity.z**2) < AT_REST

    def _tell(self, snapshot: Any, now: Motion, before: Motion | None) -> Frame:
        collisions, camera = (), None
        if before is not None:
            collisions, camera = self.sensors.take(snapshot.frame, self.config.sensor_timeout)
        frame = snapshot.frame
        state, distance = self.lights.look(now.x, now.y) if self.lights is not None else (None, math.inf)
        ...
        raise NotImplementedError
