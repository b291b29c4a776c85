"""What can go wrong on the fake server, each at one tick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Crash:
    """The server dies during the tick; every call fails until `FakeServer.start`."""


@dataclass(frozen=True)
class TimeOut:
    """The tick does not come back in time; the server lives on."""


@dataclass(frozen=True)
class Hang:
    """The tick does not come back until `wait` returns, and has failed then; the server is dead.

    Attributes:
        wait: what the client hangs in.
    """

    wait: Callable[[], object]


@dataclass(frozen=True)
class DoubleTick:
    """Another client ticks the server too.

    Attributes:
        after: whether it does so when our tick has come back already.
    """

    after: bool = False


@dataclass(frozen=True)
class Removed:
    """Another client destroys the car that has the role "hero"."""


@dataclass(frozen=True)
class Lag:
    """The data that a sensor has of this tick's frame come late.

    Attributes:
        sensor: end of its type: "rgb", "imu".
        ticks: later; 0 with `seconds` 0 means never.
        seconds: later, on another thread.
    """

    sensor: str
    ticks: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Extra:
    """A sensor also delivers data of another frame.

    Attributes:
        sensor: end of its type.
        frames: away from this tick's frame.
    """

    sensor: str
    frames: int


@dataclass(frozen=True)
class Collision:
    """The ego touches something.

    Attributes:
        type_id: of what is touched.
        other: its id.
        tags: its semantic tags.
        copies: events for the one contact.
        late: ticks until they are delivered.
        frames: away from this tick's frame that the events say they are of.
        impulse: in N s.
    """

    type_id: str
    other: int = 0
    tags: tuple[int, ...] = ()
    copies: int = 1
    late: int = 0
    frames: int = 0
    impulse: float = 100.0


Incident = Crash | Hang | TimeOut | DoubleTick | Removed | Lag | Extra | Collision
