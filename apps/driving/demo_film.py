"""Drives one episode for the demo: moments while it lasts, and a film with everything that is plotted under it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.driving.drivers.base import Driver, begin
from apps.driving.measures.episodes import Case, Episode

if TYPE_CHECKING:
    from torch import Tensor

    from apps.driving.backends.base import Traffic
    from apps.driving.demo_sight import Sight
    from apps.driving.environment.env import DrivingEnv
    from apps.driving.roads.routes import Route

#: Pictures of a film at most, and their height and width in pixels.
MOST_PICTURES, SIDE = 240, 384
QUALITY = 50
#: Seconds between two pictures of a drive under way.
EVERY = 0.4


@dataclass(frozen=True)
class Moment:
    """A drive under way.

    Attributes:
        picture: WebP.
        seconds: simulated so far.
        progress: share of the route, in [0, 1].
        note: what is being done.
    """

    picture: bytes
    seconds: float
    progress: float
    note: str = "driving"


@dataclass(frozen=True)
class Film:
    """A finished drive of N steps.

    Attributes:
        episode: what it came to.
        pictures: WebP, of the steps `shown`.
        shown: step of each picture, from 0; the last step is among them.
        states: `info["state"]` after every step, `(N,)` each.
        seen: `(N, D)` CLIP features of what the reward sees; None without a CLIP.
        dt: seconds of a step.
    """

    episode: Episode
    pictures: tuple[bytes, ...]
    shown: tuple[int, ...]
    states: Mapping[str, NDArray[np.float32]]
    seen: Tensor | None
    dt: float

    @property
    def steps(self) -> int:
        """N."""
        return len(self.states["time"])


@dataclass
class Reel:
    """Pictures of a drive within a fixed number: when there are too many, every second one goes.

    Attributes:
        most: pictures kept, at least 2.
        stride: steps between two of them.
    """

    most: int = MOST_PICTURES
    stride: int = 1
    kept: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, step: int, draw: Callable[[], bytes]) -> None:
        """Take the step's picture, drawn only where it is kept."""
        if step % self.stride:
            return
        self.kept.append((step, draw()))
        if len(self.kept) > self.most:
            self.kept = self.kept[::2]
            self.stride *= 2

    def finish(self, step: int, picture: bytes) -> None:
        """Have the last step's picture in any case: it shows how the drive ended."""
        if not self.kept or self.kept[-1][0] != step:
            self.kept.append((step, picture))


def drive(
    env: DrivingEnv,
    driver: Driver,
    route: Route,
    traffic: Traffic,
    seed: int,
    label: str = "",
    sight: Sight | None = None,
    every: float = EVERY,
) -> Iterator[Moment | Film]:
    """Drive to the end: moments while it lasts, the film at last; the simulator is closed either way.

    Args:
        env: renders, and makes the pictures that rewards see where there is a `sight`.
        driver: that drives.
        route: that it drives.
        traffic: who else is there.
        seed: of everything random.
        label: what the page calls the driver; its own name where empty.
        sight: the CLIP that looks on.
        every: seconds of the clock between two moments.
    """
    reel = Reel()
    states: list[dict[str, float]] = []
    pictures: list[NDArray[np.uint8]] = []
    draw = partial(_drawn, env)
    try:
        begin(driver, seed)
        observation, info = env.reset(seed=seed, options={"route": route, "traffic": traffic})
        yield Moment(draw(), 0.0, 0.0)
        told = time.monotonic()
        while "summary" not in info:
            observation, _, _, _, info = env.step(driver.act(observation))
            reel.add(len(states), draw)
            states.append(info["state"])
            if sight is not None:
                pictures.append(info["image"])
            if time.monotonic() - told > every:
                yield Moment(draw(), info["state"]["time"], info["state"]["progress"])
                told = time.monotonic()
        last, dt = draw(), env.dt
        reel.finish(len(states) - 1, last)
    finally:
        env.close()
    seen = None
    if sight is not None:
        note = f"CLIP looks at {len(pictures)} pictures"
        yield Moment(last, states[-1]["time"], states[-1]["progress"], note)
        seen = sight.see(np.stack(pictures))
    case = Case(route.town, route.name, traffic.vehicles, traffic.walkers, traffic.parked, seed)
    shown, kept = zip(*reel.kept, strict=True)
    columns = {name: np.array([one[name] for one in states], np.float32) for name in states[0]}
    yield Film(Episode.of(case, label or driver.name, info["summary"]), kept, shown, columns, seen, dt)


def _drawn(env: DrivingEnv) -> bytes:
    """The moment as people want to see it, as WebP."""
    from PIL import Image

    frame = env.render()
    assert frame is not None
    buffer = io.BytesIO()
    image = Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    image.save(buffer, "WEBP", quality=QUALITY, method=2)
    return buffer.getvalue()
