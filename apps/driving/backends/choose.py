"""The simulator that a configuration, or a command, asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from apps.driving.backends.backend_config import BackendConfig, Kind
from apps.driving.backends.base import Backend
from apps.driving.backends.carla_backend import CarlaBackend, load_carla
from apps.driving.backends.carla_probe import look as look_at_port
from apps.driving.backends.embedded import EmbeddedBackend
from apps.driving.backends.supervisor import Look
from apps.driving.roads.library import opendrive_of
from apps.driving.roads.network import RoadNetwork
from common import ui
from common.errors import MissingDependency, UsageError


def make_backend(
    config: BackendConfig,
    roads: RoadNetwork,
    *,
    opendrive: str | None = None,
    carla: Any = None,
    look: Look = look_at_port,
    say: Callable[[str], None] = lambda line: None,
) -> Backend:
    """A backend that is not connected yet.

    Where "auto" finds nobody it says so and takes the embedded simulator, within a tenth of a second; what it finds
    decides once, here, and not anew in every episode. It never starts a server.

    Args:
        config: kind and settings.
        roads: network that the routes lie in.
        opendrive: its OpenDRIVE text, for a map that a CARLA server does not have; None looks for the `.xodr` of that
            name and digest where the network was read from, or maps are kept.
        carla: module of the client; None imports the real one.
        look: who listens on a port.
        say: shows a line to the user.

    Raises:
        UsageError: the settings make no sense.
        MissingDependency: "carla" is asked for and the client is not installed.
    """
    if config.kind not in get_args(Kind):
        raise UsageError(f"simulator.kind is {config.kind!r}; it must be one of: {', '.join(get_args(Kind))}")
    if config.kind == "fake":
        return _fake(config, roads, opendrive or opendrive_of(roads), say)
    if config.kind == "carla" or (config.kind == "auto" and _finds_carla(config, carla, look, say)):
        text = opendrive or opendrive_of(roads)
        return CarlaBackend(roads, config.carla, config.dt, opendrive=text, carla=carla, look=look, say=say)
    return EmbeddedBackend(roads, config.dt, config.ticks, kerb=config.kerb)


@dataclass(frozen=True)
class Simulator:
    """Makes a simulator for a road network; can be sent to another process.

    Attributes:
        config: of the simulator.
    """

    config: BackendConfig

    def __call__(self, roads: RoadNetwork) -> Backend:
        """A simulator that is not connected yet."""
        return make_backend(self.config, roads, say=ui.say)


def chosen(
    config: BackendConfig,
    roads: RoadNetwork,
    kind: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> Simulator:
    """The configured simulator, with what the command line says instead.

    `auto` is decided here, once: figures of one evaluation never come from two simulators.

    Raises:
        UsageError: there is no simulator of that kind.
    """
    server = replace(
        config.carla,
        host=config.carla.host if host is None else host,
        port=config.carla.port if port is None else port,
    )
    wanted = replace(config, kind=config.kind if kind is None else kind, carla=server)  # type: ignore[arg-type]
    if wanted.kind == "auto":
        wanted = replace(wanted, kind=Simulator(wanted)(roads).name)  # type: ignore[arg-type]
    elif wanted.kind not in ("embedded", "carla", "fake"):
        raise UsageError(f"no simulator {wanted.kind!r}; there are embedded, carla and auto")
    return Simulator(wanted)


def _finds_carla(config: BackendConfig, carla: Any, look: Look, say: Callable[[str], None]) -> bool:
    server = config.carla
    found = look(server.host, server.port, server.answer_timeout)
    reason = "" if found.kind == "carla" else found.explain(server.host, server.port)
    if not reason and carla is None:
        try:
            load_carla()
        except MissingDependency as error:
            reason = f"{found.explain(server.host, server.port)}, but {error}"
    if reason:
        say(f"{reason}: driving on the embedded simulator")
    return not reason


def _fake(config: BackendConfig, roads: RoadNetwork, opendrive: str | None, say: Callable[[str], None]) -> Backend:
    from apps.driving.backends.fake_carla import FakeCarla, FakeServer

    server = FakeServer(roads, {roads.name: opendrive or "", "Town10HD_Opt": ""}, roads.name)
    # Without the text there is nothing to compare the routes' map with.
    settings = config.carla if opendrive is not None else replace(config.carla, map_check="name")
    return CarlaBackend(
        roads,
        settings,
        config.dt,
        opendrive=opendrive,
        carla=FakeCarla(server),
        name="fake",
        look=server.look,
        say=say,
    )
