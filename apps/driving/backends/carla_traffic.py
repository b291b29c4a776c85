"""CARLA's traffic manager, which drives the other cars, on a port that is free."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any

from apps.driving.backends.base import BackendUnavailable

PORTS_TRIED = 5
SEEDS = 2**31


def free_port() -> int:
    """A port of this machine that nothing listens on at the moment."""
    with socket.socket() as line:
        line.bind(("", 0))
        return int(line.getsockname()[1])


class TrafficManager:
    """One traffic manager of our own.

    Its port is passed to every `set_autopilot`: without it cars would go to the manager of port 8000, which is another
    client's or nobody's.

    Args:
        client: connected.
        port: wanted; 0 takes a free one.
        say: shows a line to the user.

    Raises:
        BackendUnavailable: none of several ports could be used.
    """

    def __init__(self, client: Any, port: int, say: Callable[[str], None], find_port: Callable[[], int] = free_port):
        tried: list[int] = []
        while len(tried) < PORTS_TRIED:
            wanted = find_port() if tried or not port else port
            tried.append(wanted)
            try:
                self._manager = client.get_trafficmanager(wanted)
                break
            except RuntimeError as error:
                if "bind" not in str(error):
                    raise
                say(f"port {wanted} of the traffic manager is in use; trying another")
        else:
            raise BackendUnavailable(
                f"the traffic manager found none of the ports {tried} free; set carla.traffic_manager_port"
            )
        self.port = tried[-1]
        self._manager.set_synchronous_mode(True)

    def drive(self, cars: Iterable[Any], seed: int) -> None:
        """Drive these cars; equal seeds choose equally where the server allows it."""
        self._manager.set_random_device_seed(seed % SEEDS)
        for car in cars:
            car.set_autopilot(True, self.port)

    def close(self) -> None:
        """Let go of the server's clock and of the port."""
        with contextlib.suppress(RuntimeError):
            self._manager.set_synchronous_mode(False)
            self._manager.shut_down()
