"""The sensors of a CARLA server, matched to frames.

A sensor's data come on another thread, later than the tick that made them, and some come when the episode is over.
Nothing here waits without a deadline, grows without a bound, or passes on what belongs to another frame or episode.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import BackendLost, Collision, Kind
from apps.driving.backends.carla_convert import kind_of

Data = TypeVar("Data")
# Frames that a sensor may be ahead of whoever reads it before the oldest are dropped.
WAITING = 16
COLLISIONS_WAITING = 256
ONCE_IN_SECONDS = 5.0


class SensorTimeout(BackendLost):
    """A sensor did not deliver the data of a frame in time; older data are never passed on instead."""


class FrameQueue(Generic[Data]):
    """Data of one sensor in one episode, given out by frame.

    Args:
        name: of the sensor, for messages.
        size: items that may wait; the oldest is dropped for the newest.
    """

    def __init__(self, name: str, size: int = WAITING) -> None:
        self.name = name
        self._items: deque[tuple[int, Data]] = deque(maxlen=size)
        self._news = threading.Condition()
        self._done = -1
        self._open = True

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._items)

    def put(self, frame: int, data: Data) -> None:
        """Called by the sensor; what is of a frame that was given out already, or comes after the end, is dropped."""
        with self._news:
            if self._open and frame > self._done:
                self._items.append((frame, data))
                self._news.notify_all()

    def take(self, frame: int, timeout: float) -> Data:
        """The data of exactly this frame; those of others are dropped.

        Raises:
            SensorTimeout: they did not come within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        last: int | None = None
        with self._news:
            while True:
                while self._items:
                    last, data = self._items.popleft()
                    if last == frame > self._done:
                        self._done = frame
                        return data
                left = deadline - time.monotonic()
                if left <= 0:
                    heard = "nothing came" if last is None else f"the last that came is of frame {last}"
                    raise SensorTimeout(f"{self.name}: no data of frame {frame} within {timeout:g} s; {heard}")
                self._news.wait(left)

    def close(self) -> None:
        """The episode is over: what comes from now on is dropped."""
        with self._news:
            self._open = False
            self._items.clear()


class CollisionLog:
    """What the ego touches, told once.

    Args:
        tick: seconds between frames.
    """

    def __init__(self, tick: float) -> None:
        self._apart = round(ONCE_IN_SECONDS / tick)
        self._events: deque[tuple[int, int, Kind, float]] = deque(maxlen=COLLISIONS_WAITING)
        self._touched: dict[tuple[Kind, int], int] = {}
        self._speeds: deque[tuple[int, float]] = deque(maxlen=COLLISIONS_WAITING)
        self._lock = threading.Lock()
        self._begin: float = math.inf

    def begin(self, frame: int) -> None:
        """The episode starts with this frame: contacts up to it are not the driver's."""
        with self._lock:
            self._begin = frame
            self._events.clear()
            self._speeds.clear()

    def close(self) -> None:
        """The episode is over: what comes from now on is dropped."""
        self.begin(2**63)

    def hear(self, event: Any) -> None:
        """Called by the sensor with a `carla.CollisionEvent`; only plain values of it are kept."""
        other, push = event.other_actor, event.normal_impulse
        kind = kind_of(other.type_id, tuple(other.semantic_tags))
        moving = kind in (Kind.VEHICLE, Kind.WALKER)
        impulse = math.sqrt(push.x**2 + push.y**2 + push.z**2)
        with self._lock:
            if kind != Kind.ROAD and event.frame > self._begin:
                self._events.append((event.frame, other.id if moving else -1, kind, impulse))

    def drove(self, frame: int, speed: float) -> None:
        """The ego's speed in a frame."""
        self._speeds.append((frame, speed))

    def take(self) -> tuple[Collision, ...]:
        """Contacts that began, oldest first; one that lasts, or comes back within five seconds, is not told again."""
        with self._lock:
            events = sorted(self._events)
            self._events.clear()
        told = []
        for frame, other, kind, impulse in events:
            last = self._touched.get((kind, other))
            self._touched[kind, other] = frame if last is None else max(frame, last)
            if last is None or frame - last > self._apart:
                told.append(Collision(frame, other, kind, self._speed_before(frame), impulse))
        return tuple(told)

    def _speed_before(self, frame: int) -> float:
        before = [speed for at, speed in self._speeds if at < frame]
        return before[-1] if before else 0.0


def picture(image: Any) -> NDArray[np.uint8]:
    """`(H, W, 3)` RGB from a `carla.Image`, whose bytes are BGRA."""
    pixels = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
    return np.ascontiguousarray(pixels[:, :, 2::-1])


class Sensors:
    """The sensors on the ego in one episode: collisions, a pulse in every frame, and the camera if there is one.

    A collision sensor says nothing when nothing happens, so that its silence cannot be waited for. The pulse, an
    inertial sensor, is sent after the physics of its frame, and so after that frame's collisions; once it has come,
    they have too, or they are a step late and bear the frame they belong to.
    """

    def __init__(self, tick: float) -> None:
        self.collisions = CollisionLog(tick)
        self.pulse: FrameQueue[None] = FrameQueue("pulse (inertial sensor)")
        self.camera: FrameQueue[Any] | None = None

    def listeners(self, with_camera: bool) -> dict[str, Callable[[Any], None]]:
        """What each sensor calls."""
        heard: dict[str, Callable[[Any], None]] = {
            "collision": self.collisions.hear,
            "pulse": lambda data: self.pulse.put(data.frame, None),
        }
        if with_camera:
            camera: FrameQueue[Any] = FrameQueue("camera")
            self.camera = camera
            heard["camera"] = lambda image: camera.put(image.frame, image)
        return heard

    def take(self, frame: int, timeout: float) -> tuple[tuple[Collision, ...], NDArray[np.uint8] | None]:
        """Collisions up to this frame, and its picture.

        Raises:
            SensorTimeout: the data of the frame did not come in time.
        """
        self.pulse.take(frame, timeout)
        image = picture(self.camera.take(frame, timeout)) if self.camera is not None else None
        return self.collisions.take(), image

    def close(self) -> None:
        """The episode is over."""
        self.collisions.close()
        self.pulse.close()
        if self.camera is not None:
            self.camera.close()
