"""The simulator that `evaluate` and `drive` are asked for, as something that other processes can make too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from apps.driving.backends.backend_config import BackendConfig
from common import ui
from common.errors import UsageError

if TYPE_CHECKING:
    from apps.driving.backends.base import Backend
    from apps.driving.roads.network import RoadNetwork


@dataclass(frozen=True)
class Simulator:
    """Makes a simulator for a road network; can be sent to another process.

    Attributes:
        config: of the simulator.
    """

    config: BackendConfig

    def __call__(self, roads: RoadNetwork) -> Backend:
        """A simulator that is not connected yet."""
        from apps.driving.backends.choose import make_backend

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
