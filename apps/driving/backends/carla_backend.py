"""Driving on a CARLA server.

The client's module is given from outside: the real `carla`, or `fake_carla`, a scripted stand-in that tests use
because no server runs there. What only a server can show is listed in the application's README.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from apps.driving.backends.base import BackendError, BackendLost, BackendUnavailable, Control, Frame, Scenario
from apps.driving.backends.carla_actors import Stage
from apps.driving.backends.carla_config import CarlaConfig, tick_seconds
from apps.driving.backends.carla_convert import vehicle_control
from apps.driving.backends.carla_episode import Episode
from apps.driving.backends.carla_lights import Lights
from apps.driving.backends.carla_probe import look as look_at_port
from apps.driving.backends.carla_session import Session
from apps.driving.backends.carla_traffic import SEEDS, TrafficManager
from apps.driving.backends.supervisor import Look, Supervisor
from apps.driving.roads.network import RoadNetwork
from common.errors import MissingDependency, UsageError


def load_carla() -> Any:
    """The client's module.

    Raises:
        MissingDependency: it is not installed.
        UsageError: something else has its name.
    """
    try:
        import carla
    except ImportError as error:
        missing = MissingDependency("carla", "driving")
        missing.args = (f"{missing} (it has wheels for Linux and Windows and Python 3.10 to 3.12 only)",)
        raise missing from error
    if not hasattr(carla, "Client"):
        raise UsageError(f"the module carla at {carla.__path__} is not CARLA's client library; pip install carla")
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
        self._episode: Episode | None = None
        self._was_lost = False
        # What is left on a server that is not ours and was lost: it may be there still, only slow.
        self._debris: tuple[Session, Stage | None, TrafficManager | None] | None = None

    def connect(self) -> None:
        """See `Backend.connect`; it also checks versions and map and takes the server's clock."""
        if self._session is not None:
            return
        self.supervisor.ready()
        try:
            self._open()
        except BackendLost as error:
            self._lose(error)
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
            except BackendLost as error:
                # Only a reset may be tried again: nothing was driven yet.
                self._lose(error)
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
                frame = episode.go_on(wanted)
        except BackendLost as error:
            self._lose(error)
            raise
        except BackendError:
            self._end_episode()
            raise
        self.supervisor.drove()
        return frame

    def close(self) -> None:
        """See `Backend.close`; only a server that was started here is ended."""
        self._end_episode()
        session, traffic = self._session, self._traffic
        self._session = self._traffic = self._lights = None
        # A server that is gone cannot be tidied up.
        with contextlib.suppress(BackendLost, BackendUnavailable):
            if session is None and self._debris is not None:
                self.supervisor.ready()
                session = self._sweep(self._debris[0])
            self._debris = None
            if session is not None:
                if traffic is not None:
                    with session.call("closing"):
                        traffic.close()
                session.close()
        self.supervisor.stop()

    def _open(self) -> None:
        session = Session(
            self._carla, self.supervisor, self.config, self.roads, self._opendrive, self.tick_seconds, self._say
        )
        self._session = session
        if self._debris is not None:
            self._sweep(session)
            self._debris = None
        self._was_lost = False

    def _sweep(self, session: Session) -> Session:
        """Take out what a lost episode left, if the server is the same as before."""
        assert self._debris is not None
        before, stage, traffic = self._debris
        if session.episode == before.episode:
            session.found = before.found
            with session.call("tidying up", self.config.load_timeout):
                if stage is not None:
                    stage.client = session.client
                    stage.clear()
                if traffic is not None:
                    traffic.close()
        return session

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
            except BackendLost as error:
                self._lose(error)

    def _lose(self, reason: BackendLost) -> None:
        """Nothing more is asked of this server: each call would wait for its whole time-out."""
        episode, self._episode = self._episode, None
        if episode is not None:
            episode.sensors.close()
        if self._session is not None and self._debris is None and not self.supervisor.ours:
            self._debris = self._session, episode.stage if episode is not None else None, self._traffic
        self._session = self._traffic = self._lights = None
        self._was_lost = True
        self.supervisor.lost(str(reason))

    def _begin(self, session: Session, scenario: Scenario) -> Frame:
        rng = np.random.default_rng(scenario.seed)
        traffic = scenario.traffic
        with session.call("a reset", self.config.load_timeout):
            session.check_episode()
            session.world.reset_all_traffic_lights()
            stage = Stage(self._carla, session.client, session.world, self.config)
            self._episode = episode = Episode(session, stage, self.config, self.tick_seconds)
            car = stage.put_ego(scenario.route)
            stage.put_sensors(car, episode.sensors.listeners(self.config.camera is not None))
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
            return episode.begin(car, self._lights, scenario.ego_speed, rng)

    def _end_episode(self) -> None:
        episode, self._episode = self._episode, None
        if episode is None:
            return
        try:
            with episode.session.call("tidying up", self.config.load_timeout):
                episode.end()
        except BackendLost as error:
            self._lose(error)
