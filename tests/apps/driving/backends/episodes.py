"""What the tests of the embedded simulator share: scenarios, and all bytes of what happens."""

from __future__ import annotations

import numpy as np

from apps.driving.backends.base import Control, Frame, Scenario, Traffic
from apps.driving.backends.embedded import EmbeddedBackend
from tests.apps.driving.small_roads import route_from

FULL = Traffic(vehicles=8, walkers=6, parked=3)
GO, STAND, STOP = Control(0.0, 0.4), Control(), Control(brake=1.0)


def scenario(backend: EmbeddedBackend, node: int = 0, traffic: Traffic | None = None, **more: float) -> Scenario:
    return Scenario(route_from(backend.roads, node, 200), traffic or Traffic(), **more)  # type: ignore[arg-type]


def digest(frame: Frame) -> bytes:
    """Every byte of a frame."""
    columns = b"".join(column.tobytes() for column in frame.actors)
    return repr((frame.frame, frame.time, frame.ego, frame.collisions, frame.light)).encode() + columns


def wander(backend: EmbeddedBackend, steps: int, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(steps):
        steer, pedals = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 1.0)
        frames.append(digest(backend.step(Control(float(steer), max(float(pedals), 0.0), max(-float(pedals), 0.0)))))
    return frames
