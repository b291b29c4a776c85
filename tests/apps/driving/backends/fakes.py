"""A ring road on the fake server, and small stand-ins for servers, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from apps.driving.backends.base import Control, Scenario, Traffic
from apps.driving.backends.carla_backend import CarlaBackend
from apps.driving.backends.carla_config import CarlaConfig, ServerConfig
from apps.driving.backends.fake_carla import FakeCarla, FakeServer
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.opendrive import digest_of
from tests.apps.driving.small_roads import ring, route_from

RING = "<OpenDRIVE>the ring</OpenDRIVE>"
OTHER = "<OpenDRIVE>another town</OpenDRIVE>"
DT = 0.1
GO = Control(throttle=1.0)
QUICK = ServerConfig(retries=3, backoff=0.5)


def ring_roads() -> RoadNetwork:
    return replace(ring(), digest=digest_of(RING))


def quick(**settings) -> CarlaConfig:
    return CarlaConfig(**{"sensor_timeout": 0.05, "server": QUICK, **settings})


@dataclass
class World:
    """A backend on a fake server, and what it said."""

    backend: CarlaBackend
    server: FakeServer
    roads: RoadNetwork
    said: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def scenario(self, vehicles: int = 0, walkers: int = 0, parked: int = 0, node: int = 20, **more) -> Scenario:
        route = route_from(self.roads, node=node, points=200, name="round")
        return Scenario(route, Traffic(vehicles, walkers, parked), **more)

    def actors(self) -> list[str]:
        return sorted(actor.type_id for actor in self.server.actors.values())


def make_world(
    config: CarlaConfig | None = None, loaded: str = "ring", version: str = "0.9.16", opendrive: str | None = None,
    maps: dict[str, str] | None = None, comes_back: bool = True,
) -> World:  # fmt: skip
    """Args: comes_back: whether someone restarts the server while the backend waits."""
    roads = ring_roads()
    server = FakeServer(roads, maps or {"ring": RING, "Town05": OTHER}, loaded, version)
    said: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if comes_back and not server.up:
            server.start()

    backend = CarlaBackend(
        roads, config or quick(), DT, opendrive=opendrive, carla=FakeCarla(server), name="fake",
        look=server.look, pause=pause, say=said.append,
    )  # fmt: skip
    return World(backend, server, roads, said, pauses)


# A listener that says its port and answers the question for its version with `reply` (nothing: a mute one). What a
# client asks after that is never answered.
LISTENER = """
import socket, sys, threading
reply, port = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen()
print(listener.getsockname()[1], flush=True)
kept = []
def serve(line):
    while heard := line.recv(1000):
        if reply and b"version" in heard:
            line.sendall(reply)
while True:
    line, _ = listener.accept()
    kept.append(line)
    threading.Thread(target=serve, args=(line,), daemon=True).start()
"""


def carla_reply(version: str) -> bytes:
    """What a CARLA server answers to "version"; the real client 0.9.16 reads it."""
    text = version.encode()
    return b"\x94\x01\x01\xc0\x91\x92\x01" + bytes([0xA0 + len(text)]) + text


def listener_command(script: Path, reply: bytes = b"") -> list[str]:
    script.write_text(LISTENER)
    return [sys.executable, "-S", str(script), reply.hex(), "{port}"]


@contextmanager
def listener(folder: Path, reply: bytes = b"") -> Iterator[tuple[int, subprocess.Popen]]:
    """A listener in a process of its own; its port."""
    command = listener_command(folder / "listener.py", reply)
    command[-1] = "0"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
