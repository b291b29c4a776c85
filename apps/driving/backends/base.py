"""What a simulator must do, and what it tells about one moment.

Map, route, observation, reward, termination and metrics lie above this line, on plain numbers: the same code runs on
the embedded simulator, on a CARLA server and on the scripted fake of its client.

Units everywhere in `apps.driving`: metres, seconds, m/s, radians. Axes are CARLA's (left-handed): x forward, y to the
right, z up, yaw from x towards y; so a positive yaw rate and a positive steer turn right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from common.errors import TouchstoneError, UsageError

if TYPE_CHECKING:
    from apps.driving.roads.routes import Route


class Kind(IntEnum):
    """What another participant, or the thing that was hit, is."""

    VEHICLE = 0
    WALKER = 1
    STATIC = 2
    SIDEWALK = 3
    ROAD = 4


class Control(NamedTuple):
    """What the driver does for one step.

    Attributes:
        steer: -1 (full left) to 1 (full right).
        throttle: 0 to 1.
        brake: 0 to 1; never above 0 together with the throttle.
        reverse: whether the gear is reverse.
    """

    steer: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0
    reverse: bool = False


def control(steer: float, pedals: float, reverse: bool = False) -> Control:
    """A control from two numbers in [-1, 1]: `pedals` above 0 is throttle, below 0 brake. Values outside are clipped.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    steer, pedals = float(steer), float(pedals)
    if not (math.isfinite(steer) and math.isfinite(pedals)):
        raise ValueError(f"steer {steer} and pedals {pedals} must be finite numbers")
    steer = min(max(steer, -1.0), 1.0)
    pedals = min(max(pedals, -1.0), 1.0)
    return Control(steer, max(pedals, 0.0), max(-pedals, 0.0), reverse)


class Ego(NamedTuple):
    """The driven car.

    Attributes:
        x, y, z: centre of its box on the ground.
        yaw: where its nose points, not where it moves.
        speed: along its nose; negative in reverse.
        drift: speed to its right.
        yaw_rate: in rad/s.
        acceleration: along its nose.
        steer, throttle, brake: as the simulator applied them.
    """

    x: float
    y: float
    z: float
    yaw: float
    speed: float = 0.0
    drift: float = 0.0
    yaw_rate: float = 0.0
    acceleration: float = 0.0
    steer: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0


class Actors(NamedTuple):
    """Everyone else on the road, in columns; row i of all arrays is one participant.

    Attributes:
        ids: `(N,)` int64, never used twice in an episode.
        kinds: `(N,)` int8, of `Kind`.
        poses: `(N, 4)` float64: x, y, z, yaw.
        speeds: `(N,)` float64 along the yaw.
        extents: `(N, 2)` float64: half the length, half the width.
    """

    ids: NDArray[np.int64]
    kinds: NDArray[np.int8]
    poses: NDArray[np.float64]
    speeds: NDArray[np.float64]
    extents: NDArray[np.float64]

    def __len__(self) -> int:
        """Participants, not columns."""
        return len(self.ids)


NOBODY = Actors(np.zeros(0, np.int64), np.zeros(0, np.int8), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 2)))


class Collision(NamedTuple):
    """A contact of the ego, in the frame in which it began.

    Attributes:
        frame: simulator's frame.
        other: id of the participant; -1 for what has none (kerb, wall).
        kind: what was hit. `Kind.ROAD` is no collision: backends leave it out.
        speed: of the ego along its nose just before, in m/s.
        impulse: in N s; NaN where the simulator does not know it.
    """

    frame: int
    other: int
    kind: Kind
    speed: float
    impulse: float = math.nan


class Light(IntEnum):
    """State of the traffic light that holds for the ego's lane."""

    NONE = 0
    GREEN = 1
    YELLOW = 2
    RED = 3


class Frame(NamedTuple):
    """One moment of the world, complete: nothing of a later or an earlier moment is in it.

    Attributes:
        frame: counts ticks; the next `step` returns exactly `ticks` more.
        time: simulated seconds since the reset.
        ego: the driven car.
        actors: everyone else.
        collisions: contacts that began since the frame before, each participant at most once in five seconds.
        light: of the ego's lane, and `light_distance` metres ahead to its stop line (inf without one).
        camera: `(H, W, 3)` uint8 RGB of the same frame, where a camera was asked for.
    """

    frame: int
    time: float
    ego: Ego
    actors: Actors = NOBODY
    collisions: tuple[Collision, ...] = ()
    light: Light = Light.NONE
    light_distance: float = math.inf
    camera: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Traffic:
    """Who else is on the road.

    Attributes:
        vehicles: other cars.
        walkers: pedestrians.
        parked: cars that stand at the kerb or on the lane's edge.
    """

    vehicles: int = 0
    walkers: int = 0
    parked: int = 0

    def __post_init__(self) -> None:
        for name in ("vehicles", "walkers", "parked"):
            if getattr(self, name) < 0:
                raise UsageError(f"traffic.{name} is {getattr(self, name)}; it must not be below 0")


@dataclass(frozen=True)
class Scenario:
    """What a backend is reset to.

    Attributes:
        route: where the ego starts and should go.
        traffic: who else is there.
        seed: of everything random in the episode; equal scenarios give equal bytes on the embedded simulator.
        ego_speed: at the start, in m/s.
    """

    route: Route
    traffic: Traffic = field(default_factory=Traffic)
    seed: int = 0
    ego_speed: float = 0.0


class Backend(Protocol):
    """A simulator. Its road network was given to it when it was made.

    Attributes:
        name: "embedded", "carla" or "fake", for tables: figures of one are never reported as figures of another.
        dt: simulated seconds of one `step`.
    """

    name: str
    dt: float

    def connect(self) -> None:
        """Get ready for the first `reset`; calling it again does nothing.

        Raises:
            BackendUnavailable: there is no simulator, within a tenth of a second where nothing listens.
        """

    def reset(self, scenario: Scenario) -> Frame:
        """Put everyone in place and return the first frame; a backend that was lost is started again.

        Raises:
            UsageError: the scenario does not fit the road network.
            BackendUnavailable: the simulator could not be started again.
        """

    def step(self, control: Control) -> Frame:
        """Go on by `dt` seconds.

        Raises:
            BackendLost: the simulator died or hangs; the episode cannot go on.
        """

    def close(self) -> None:
        """Leave the simulator as it was found; calling it again does nothing."""


class BackendError(TouchstoneError):
    """A simulator's failure, never the driver's."""


class BackendUnavailable(BackendError):
    """There is no simulator to connect to, or not the one that is wanted."""


class BackendLost(BackendError):
    """The simulator died or hangs in the middle of an episode."""
