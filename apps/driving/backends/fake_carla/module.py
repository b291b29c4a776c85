"""The client's side of the fake: what stands where the module `carla` would."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from apps.driving.backends.fake_carla import values
from apps.driving.backends.fake_carla.actors import Actor, ActorList
from apps.driving.backends.fake_carla.blueprints import ActorBlueprint, BlueprintLibrary
from apps.driving.backends.fake_carla.server import FakeServer, Snapshot

OWN_WORLD = "OpenDriveMap"


class FakeCarla:
    """Given to the CARLA backend in place of the module `carla`.

    Args:
        server: that every client made from it talks to.
        version: of the client.
    """

    Location, Rotation, Transform, Vector3D = values.Location, values.Rotation, values.Transform, values.Vector3D
    BoundingBox, VehicleControl, WorldSettings = values.BoundingBox, values.VehicleControl, values.WorldSettings
    TrafficLightState = values.TrafficLightState
    OpendriveGenerationParameters = values.OpendriveGenerationParameters
    command = SimpleNamespace(DestroyActor=values.DestroyActor)

    def __init__(self, server: FakeServer, version: str = "0.9.16") -> None:
        self.server, self.version = server, version

    def Client(self, host: str = "127.0.0.1", port: int = 2000, worker_threads: int = 0) -> Client:
        """A client; nothing is asked yet."""
        return Client(self.server, self.version)


class Client:
    """Talks to the fake server."""

    def __init__(self, server: FakeServer, version: str) -> None:
        self._server, self._version = server, version
        self.timeout = 5.0

    def set_timeout(self, seconds: float) -> None:
        """Of each call."""
        self.timeout = values.number(seconds)

    def get_client_version(self) -> str:
        """Needs no server."""
        return self._version

    def get_server_version(self) -> str:
        """Of the server."""
        self._server.check_up()
        return self._server.version

    def get_world(self) -> World:
        """The world as it is loaded now."""
        self._server.check_up()
        return World(self._server)

    def get_available_maps(self) -> list[str]:
        """Paths of the maps."""
        self._server.check_up()
        return [f"/Game/Carla/Maps/{name}" for name in self._server.maps]

    def load_world(self, map_name: str, reset_settings: bool = True) -> World:
        """Load one of them."""
        self._server.check_up()
        if map_name not in self._server.maps:
            raise RuntimeError("map not found")
        self._server.load(map_name)
        return World(self._server)

    def generate_opendrive_world(self, opendrive: str, parameters: Any = None, reset_settings: bool = True) -> World:
        """Build a world from OpenDRIVE text."""
        self._server.check_up()
        self._server.load(OWN_WORLD, opendrive)
        return World(self._server)

    def get_trafficmanager(self, port: int = 8000) -> TrafficManager:
        """The traffic manager of a port."""
        self._server.check_up()
        if port in self._server.busy_ports:
            raise RuntimeError(
                "trying to create rpc server for traffic manager; but the system failed to create "
                "because of bind error."
            )
        managers = self._server.managers
        if port not in managers:
            managers[port] = TrafficManager(self._server, port)
        manager: TrafficManager = managers[port]
        return manager

    def apply_batch_sync(self, commands: list[Any], do_tick: bool = False) -> list[Any]:
        """Several commands at once."""
        self._server.check_up()
        done = [SimpleNamespace(actor_id=c.actor_id, error=self._server.destroy(c.actor_id)) for c in commands]
        if do_tick:
            self._server.tick()
        return done


class World:
    """A loaded map with everyone in it."""

    def __init__(self, server: FakeServer) -> None:
        self._server, self.id = server, server.episode

    def get_map(self) -> Map:
        """The loaded one."""
        self._server.check_up()
        return Map(self._server.town, self._server.maps[self._server.town])

    def get_settings(self) -> values.WorldSettings:
        """A copy."""
        self._server.check_up()
        return self._server.settings.copy()

    def apply_settings(self, settings: values.WorldSettings, seconds: float = 0.0) -> int:
        """From the next tick on."""
        self._server.check_up()
        self._server.run_free()
        self._server.settings = settings.copy()
        self._server.log.append(f"settings synchronous={settings.synchronous_mode}")
        return self._server.frame

    def tick(self, seconds: float = 10.0) -> int:
        """Go on by one tick."""
        return self._server.tick()

    def get_snapshot(self) -> Snapshot:
        """The newest one."""
        self._server.run_free()
        return self._server.snapshot

    def get_blueprint_library(self) -> BlueprintLibrary:
        """A fresh one."""
        self._server.check_up()
        return BlueprintLibrary()

    def spawn_actor(self, blueprint: ActorBlueprint, transform: values.Transform, attach_to: Any = None) -> Actor:
        """A new actor."""
        actor = self._server.spawn(blueprint, transform, attach_to)
        if actor is None:
            raise RuntimeError("Spawn failed because of collision at spawn position")
        return actor

    def try_spawn_actor(
        self, blueprint: ActorBlueprint, transform: values.Transform, attach_to: Any = None
    ) -> Actor | None:
        """A new actor, or None."""
        return self._server.spawn(blueprint, transform, attach_to)

    def get_actors(self) -> ActorList:
        """Everyone."""
        self._server.check_up()
        return ActorList(self._server.actors.values())

    def reset_all_traffic_lights(self) -> None:
        """Start their cycle anew."""
        self._server.check_up()
        self._server.log.append("lights reset")

    def set_pedestrians_seed(self, seed: int) -> None:
        """Of where they are and go."""
        self._server.check_up()
        self._server.pedestrian_rng = np.random.default_rng(seed)

    def get_random_location_from_navigation(self) -> values.Location | None:
        """A place for a pedestrian, or None."""
        return self._server.pavement()


class Map:
    """Name and text of a map."""

    def __init__(self, town: str, text: str) -> None:
        self.name, self._text = f"Carla/Maps/{town}", text

    def to_opendrive(self) -> str:
        """Its OpenDRIVE text."""
        return self._text


class TrafficManager:
    """Of one port."""

    def __init__(self, server: FakeServer, port: int) -> None:
        self._server, self._port = server, port
        self.synchronous = False

    def get_port(self) -> int:
        """Where it is."""
        return self._port

    def set_synchronous_mode(self, mode_switch: bool = True) -> None:
        """Go with the server's ticks."""
        self.synchronous = mode_switch

    def set_random_device_seed(self, value: int) -> None:
        """Of its choices."""
        self._server.traffic_rng = np.random.default_rng(value)

    def shut_down(self) -> None:
        """The port is free again."""
        self._server.managers.pop(self._port, None)
