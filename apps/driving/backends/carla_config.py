"""Settings of a CARLA server and of the client that drives on it. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from common.errors import UsageError

# The physics engine splits a tick into at most this many parts of at most this length (CARLA, "Physics substepping").
MOST_SUBSTEPS = 16
LONGEST_SUBSTEP = 0.01666


@dataclass
class ServerConfig:
    """A server that is started, watched and ended here; with no command, one that is there already is used.

    Args:
        command: what starts it, as a list of words; `{port}` stands for the port. For instance
            `["/opt/carla/CarlaUE4.sh", "-RenderOffScreen", "-nosound", "-carla-rpc-port={port}"]`.
        start_timeout: seconds until it must answer.
        retries: restarts in a row, with no step driven in between, before giving up.
        backoff: seconds to wait before the first restart; doubled for every further one.
        log: file for what it prints; empty: a temporary one.
    """

    command: list[str] = field(default_factory=list)
    start_timeout: float = 120.0
    retries: int = 3
    backoff: float = 2.0
    log: str = ""

    def __post_init__(self) -> None:
        if self.start_timeout <= 0 or self.backoff < 0 or self.retries < 0:
            raise UsageError("server.start_timeout must be above 0, server.retries and server.backoff not below 0")


@dataclass
class CameraConfig:
    """A camera on the ego; the defaults are VLM-RL's view from above (`reward_clg`).

    Args:
        width, height: in pixels.
        x, y, z: place on the car, in metres.
        pitch: in degrees; -90 looks straight down.
        fov: horizontal field of view, in degrees.
        blueprint: CARLA's name of the sensor.
    """

    width: int = 517
    height: int = 517
    x: float = 5.2
    y: float = -1.6
    z: float = 6.4
    pitch: float = -90.0
    fov: float = 110.0
    blueprint: str = "sensor.camera.rgb"


@dataclass
class CarlaConfig:
    """How to drive on a CARLA server.

    Args:
        host, port: of its RPC listener; the port after it is used too.
        timeout: seconds that a call, and all calls of a step together, may take before the server counts as lost.
        load_timeout: the same for loading a map and for a whole reset.
        answer_timeout: seconds that a listener has to say that it is CARLA.
        sensor_timeout: seconds to wait for the data of a frame.
        ticks: ticks of one step; a step of 0.2 s at 2 ticks has physics at 0.1 s.
        max_substep: seconds of one part of the physics of a tick.
        max_substeps: parts of a tick at most, up to 16.
        map_check: "digest" refuses a server whose OpenDRIVE text differs from the route's, "name" only warns.
        vehicle: blueprint of the ego.
        spawn_attempts: places tried for each car and walker before giving up.
        settle_ticks: ticks at most, with the brake on, until the ego stands still on the road.
        rendering: whether the server draws; a camera needs it.
        traffic_manager_port: 0 takes a free one.
        camera: on the ego, or none.
        server: the server, where it is started here.
    """

    host: str = "127.0.0.1"
    port: int = 2000
    timeout: float = 10.0
    load_timeout: float = 120.0
    answer_timeout: float = 1.0
    sensor_timeout: float = 5.0
    ticks: int = 2
    max_substep: float = 0.01
    max_substeps: int = 10
    map_check: Literal["digest", "name"] = "digest"
    vehicle: str = "vehicle.tesla.model3"
    spawn_attempts: int = 10
    settle_ticks: int = 20
    rendering: bool = True
    traffic_manager_port: int = 0
    camera: CameraConfig | None = None
    server: ServerConfig = field(default_factory=ServerConfig)

    def __post_init__(self) -> None:
        for name in ("timeout", "load_timeout", "answer_timeout", "sensor_timeout", "max_substep"):
            if not getattr(self, name) > 0:
                raise UsageError(f"carla.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("ticks", "spawn_attempts", "max_substeps"):
            if getattr(self, name) < 1:
                raise UsageError(f"carla.{name} is {getattr(self, name)}; it must be at least 1")
        if not 1 <= self.port <= 65534:
            raise UsageError(
                f"carla.port is {self.port}; it must be from 1 to 65534, for the port after it is used too"
            )
        if self.max_substeps > MOST_SUBSTEPS:
            raise UsageError(f"carla.max_substeps is {self.max_substeps}; CARLA takes {MOST_SUBSTEPS} at most")
        if self.camera is not None and not self.rendering:
            raise UsageError("carla.camera needs carla.rendering: true")


def tick_seconds(config: CarlaConfig, dt: float) -> tuple[float, str]:
    """Length of a tick, and a warning or "".

    A tick longer than `max_substep * max_substeps` is not simulated to its end: the physics would run slower than the
    clock (CARLA, "Physics substepping").

    Args:
        dt: simulated seconds of one step of the environment.

    Raises:
        UsageError: the tick is too long for the physics.
    """
    if not dt > 0:
        raise UsageError(f"a step of {dt} s is not possible; it must be above 0")
    tick = dt / config.ticks
    longest = config.max_substep * config.max_substeps
    if tick > longest * (1 + 1e-9):
        needed = int(-(-dt // longest))
        raise UsageError(
            f"a tick of {tick:g} s is longer than carla.max_substep x carla.max_substeps = {longest:g} s, so CARLA's "
            f"physics would lag behind its clock; set carla.ticks to {needed} or more"
        )
    if config.max_substep > LONGEST_SUBSTEP:
        return tick, f"carla.max_substep {config.max_substep:g} s is above {LONGEST_SUBSTEP} s: cars may jump or sink"
    return tick, ""
