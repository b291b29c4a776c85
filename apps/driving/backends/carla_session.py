"""A connection to a CARLA server: the right version, the right map, its clock in our hands until it is given back."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from apps.driving.backends.base import BackendError, BackendLost, BackendUnavailable
from apps.driving.backends.carla_config import CarlaConfig
from apps.driving.backends.carla_convert import town_of
from apps.driving.backends.supervisor import Supervisor
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.opendrive import digest_of

# What is set here, and set back on close.
SETTINGS = (
    "synchronous_mode",
    "no_rendering_mode",
    "fixed_delta_seconds",
    "substepping",
    "max_substep_delta_time",
    "max_substeps",
    "deterministic_ragdolls",
)
SHOWN = 12
OLDEST = (0, 9, 15)


class Session:
    """One connection, from its first call to its last.

    Args:
        carla: module of the client.
        supervisor: of a server that answers.
        config: limits and settings.
        roads: the network that the routes lie in.
        opendrive: its OpenDRIVE text, from which a map that the server does not have is built there.
        tick: seconds.
        say: shows a line to the user.

    Raises:
        BackendUnavailable: the versions differ, or the map is not and cannot be made the wanted one. The server is as
            it was found, but for a map that was loaded.
        BackendLost: the server died or hangs.
    """

    def __init__(
        self,
        carla: Any,
        supervisor: Supervisor,
        config: CarlaConfig,
        roads: RoadNetwork,
        opendrive: str | None,
        tick: float,
        say: Callable[[str], None],
    ) -> None:
        self.carla, self.supervisor, self.config, self.roads = carla, supervisor, config, roads
        self._say = say
        with self.call("connecting"):
            self.client = carla.Client(config.host, config.port)
            self.client.set_timeout(config.timeout)
            self._check_version()
            self.world = self.client.get_world()
            self.found = self.world.get_settings()
        self._choose_map(opendrive)
        with self.call("settings"):
            try:
                self._take_clock(tick)
            except BaseException:
                self._give_back()
                raise
        self.episode = self.world.id
        # None: the next tick may come at any frame, for the server ran by itself until now.
        self.frame: int | None = None

    @contextlib.contextmanager
    def call(self, what: str, seconds: float | None = None) -> Iterator[None]:
        """Calls of the client that must be over in time.

        The client's own time-out is the deadline of each of them: a client that waits wakes up then, and not when the
        connection breaks (carla 0.9.16). Our server is also ended by its watchdog when all of them together are late.

        Raises:
            BackendLost: they failed.
        """
        seconds = self.config.timeout if seconds is None else seconds
        try:
            with self.supervisor.deadline(seconds):
                yield
        except RuntimeError as error:
            how = "was ended, for it did not answer in time" if self.supervisor.fired else "failed"
            raise BackendLost(f"the CARLA server {how}, during {what}: {error}") from error

    def tick(self) -> Any:
        """One tick; the snapshot of its frame.

        Raises:
            BackendError: another client ticks the server too.
        """
        frame = self.world.tick(self.config.timeout)
        snapshot = self.world.get_snapshot()
        due = frame if self.frame is None else self.frame + 1
        if frame != due or snapshot.frame != frame:
            seen = max(frame, snapshot.frame)
            # The next episode may begin at any frame again.
            self.frame = None
            raise BackendError(
                f"another client ticks the CARLA server on {self.config.host}:{self.config.port}: one tick went from "
                f"frame {due - 1} to {seen}; end that client, or give each its own server (carla.port)"
            )
        self.frame = frame
        return snapshot

    def check_episode(self) -> None:
        """Whether the world is still the one that was connected to.

        Raises:
            BackendError: another client has loaded a map since.
        """
        if self.client.get_world().id != self.episode:
            raise BackendError(
                f"another client has loaded a map on the CARLA server on {self.config.host}:{self.config.port}; "
                "end that client, or give each its own server (carla.port)"
            )

    def close(self) -> None:
        """Put the server's settings back as they were found."""
        with self.call("closing"):
            self._give_back()

    def _check_version(self) -> None:
        client, server = self.client.get_client_version(), self.client.get_server_version()
        numbers = tuple(int(number) for number in re.findall(r"\d+", client)[:3])
        if len(numbers) == 3 and numbers < OLDEST:
            raise BackendUnavailable(f"the carla package is version {client}; pip install 'carla>=0.9.15'")
        if client != server:
            raise BackendUnavailable(
                f"the carla package is version {client} and the CARLA server on {self.config.host}:{self.config.port} "
                f"is version {server}; they must be the same: pip install carla=={server}, or run that server"
            )

    def _choose_map(self, opendrive: str | None) -> None:
        with self.call("reading the map"):
            name, text = self._map()
        if digest_of(text) == self.roads.digest:
            return
        with self.call("loading the map", self.config.load_timeout):
            self.client.set_timeout(self.config.load_timeout)
            towns = sorted({town_of(path) for path in self.client.get_available_maps()})
            if town_of(name) != self.roads.name:
                self._load(name, towns, opendrive)
                name, text = self._map()
            self.client.set_timeout(self.config.timeout)
        if digest_of(text) == self.roads.digest:
            return
        reason = (
            f"the OpenDRIVE text of the CARLA server's map {name} (sha256 {digest_of(text)[:12]}) is not that of the "
            f"routes, {self.roads.name} ({self.roads.digest[:12]})"
        )
        if self.config.map_check == "digest":
            raise BackendUnavailable(
                f"{reason}; save the server's map with get_map().save_to_disk and make the routes on that file, or, "
                'where the roads are the same, set carla.map_check: "name"'
            )
        self._say(f"{reason}; driving all the same (carla.map_check)")

    def _load(self, loaded: str, towns: list[str], opendrive: str | None) -> None:
        if self.roads.name in towns:
            self._say(f"CARLA server: loading {self.roads.name}")
            self.world = self.client.load_world(self.roads.name)
        elif opendrive is not None:
            self._say(f"CARLA server: building {self.roads.name} from its OpenDRIVE text")
            self.world = self.client.generate_opendrive_world(opendrive, self.carla.OpendriveGenerationParameters())
        else:
            shown = ", ".join(towns[:SHOWN]) + (", ..." if len(towns) > SHOWN else "")
            raise BackendUnavailable(
                f"the CARLA server has {loaded} loaded and no map {self.roads.name}; it has: {shown}. A map of your "
                "own is built there from its .xodr file, which was not found: put it beside the map's .npz"
            )

    def _map(self) -> tuple[str, str]:
        loaded = self.world.get_map()
        return loaded.name, loaded.to_opendrive()

    def _take_clock(self, tick: float) -> None:
        settings = self.world.get_settings()
        settings.synchronous_mode = True
        settings.fixed_delta_seconds = tick
        settings.substepping = True
        settings.max_substep_delta_time = self.config.max_substep
        settings.max_substeps = self.config.max_substeps
        settings.no_rendering_mode = not self.config.rendering
        settings.deterministic_ragdolls = True
        self.world.apply_settings(settings)

    def _give_back(self) -> None:
        settings = self.world.get_settings()
        for name in SETTINGS:
            setattr(settings, name, getattr(self.found, name))
        self.world.apply_settings(settings)
