"""Which simulator, and how it is run. Nothing heavy is imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from apps.driving.backends.carla_config import CarlaConfig
from common.errors import UsageError

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
            raise UsageError(f"backend.dt is {self.dt}; it must be above 0")
