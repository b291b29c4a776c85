"""Which simulator, and how it is run. Nothing heavy is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from apps.driving.backends.carla_config import CarlaConfig
from common.errors import UsageError

# A server uses its port and the two after it.
PORTS_APART = 10
Kind = Literal["embedded", "carla", "auto", "fake"]


@dataclass
class BackendConfig:
    """The simulator below the environment.

    Args:
        kind: "embedded" comes with the suite; "carla" drives on a server and fails without one; "auto" drives on a
            CARLA server that is there and on the embedded simulator otherwise; "fake" is a stand-in for tests.
        dt: simulated seconds of one step.
        ticks: of the embedded simulator in one step.
        kerb: m from all lanes at which the embedded ego hits the pavement; None: never.
        carla: the server.
    """

    kind: Kind = "embedded"
    dt: float = 0.1
    ticks: int = 2
    kerb: float | None = 1.0
    carla: CarlaConfig = field(default_factory=CarlaConfig)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise UsageError(f"simulator.dt is {self.dt}; it must be above 0")


def for_worker(config: BackendConfig, rank: int) -> BackendConfig:
    """The settings of one of several environments that run at the same time: a CARLA server serves one.

    Args:
        config: of the first one.
        rank: 0 and up; the port of worker r is `PORTS_APART * r` higher, and its log file has an ending of its own.
    """
    server = config.carla.server
    log = f"{server.log}.{rank}" if server.log and rank else server.log
    port = config.carla.port + PORTS_APART * rank
    return replace(config, carla=replace(config.carla, port=port, server=replace(server, log=log)))
