"""One driven episode as evaluations keep it, and the rule that figures of two simulators are never mixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from common.errors import DataError, UsageError

#: The cause of an episode that the simulator, not the driver, ended: it says nothing of the driver.
LOST = "backend lost"

#: Metres below which a car did not move: rounding of a standing car's place is no distance to divide by.
LEAST_DISTANCE = 1e-3


class Case(NamedTuple):
    """What an episode is driven on; two drivers are compared on equal cases.

    Attributes:
        town: name of the map.
        route: name of the route in it.
        vehicles, walkers, parked: who else is there.
        seed: that the environment is reset with.
    """

    town: str
    route: str
    vehicles: int
    walkers: int
    parked: int
    seed: int

    @property
    def text(self) -> str:
        """`town-0-003, 20 vehicles, seed 1`, for people."""
        others = [(self.vehicles, "vehicles"), (self.walkers, "walkers"), (self.parked, "parked")]
        # Every table names the density, also where nobody is there.
        crowd = [f"{count} {name}" for place, (count, name) in enumerate(others) if count or not place]
        return ", ".join([self.route, *crowd, f"seed {self.seed}"])


class Density(NamedTuple):
    """Who else was on the road."""

    vehicles: int
    walkers: int
    parked: int

    @property
    def text(self) -> str:
        """`20`, or `20 + 5 walkers`."""
        more = [f"{count} {name}" for count, name in ((self.walkers, "walkers"), (self.parked, "parked")) if count]
        return " + ".join([str(self.vehicles), *more])


class Hit(NamedTuple):
    """A collision.

    Attributes:
        kind: vehicle, walker, static or sidewalk.
        speed: of the driven car just before, in km/h.
        step: of the episode in which it began, from 1.
    """

    kind: str
    speed: float
    step: int


@dataclass(frozen=True)
class Episode:
    """What one episode came to; speeds in km/h, distances in m, shares in [0, 1].

    Attributes:
        case: what was driven on.
        policy: name of the driver.
        backend: name of the simulator.
        route_length: in m.
        cause: why it ended.
        success: the goal was reached: at most 5 m away and at least .999 of the route driven.
        truncated: cut off by the time limit, or by the simulator.
        steps: environment steps.
        seconds: simulated.
        distance: metres driven, along the route or not.
        route_completion: share of the route driven.
        average_speed: mean of |speed| over the steps.
        off_route: share of the steps off the route.
        offset: mean metres from the lane's centre.
        collisions: in order.
        red_lights: run; 0, as the environment watches neither lights nor stop signs yet, on CARLA either.
        stop_signs: likewise.
        vlm_rl_completion: route completion as VLM-RL counts it, see `measures.vlm_rl`; None where unknown.
        vlm_rl_success: success as VLM-RL counts it; None where unknown.
        track: a row (x, y, yaw, speed in m/s) for each step; empty where it was not kept.
    """

    case: Case
    policy: str
    backend: str
    route_length: float
    cause: str
    success: bool
    truncated: bool
    steps: int
    seconds: float
    distance: float
    route_completion: float
    average_speed: float
    off_route: float
    offset: float
    collisions: tuple[Hit, ...] = ()
    red_lights: int = 0
    stop_signs: int = 0
    vlm_rl_completion: float | None = None
    vlm_rl_success: bool | None = None
    track: Sequence[Sequence[float]] = ()

    @property
    def collided(self) -> bool:
        """Whether anything was hit."""
        return bool(self.collisions)

    @property
    def road(self) -> tuple[str, str]:
        """Town and route: episodes that share it are no independent evidence."""
        return self.case.town, self.case.route

    @property
    def density(self) -> Density:
        """Who else was there."""
        return Density(self.case.vehicles, self.case.walkers, self.case.parked)

    @classmethod
    def of(cls, case: Case, policy: str, summary: Mapping[str, Any], **more: Any) -> Episode:
        """From `info["summary"]` of the environment, and what it does not know."""
        known = {one.name for one in fields(cls)} - {"case", "policy", "collisions", "track", *more}
        values = {name: summary[name] for name in known if name in summary}
        hits = tuple(Hit(str(one["kind"]), float(one["speed"]), int(one["step"])) for one in summary["collisions"])
        # Millimetres and tenths of milliradians: less than a pixel of any plot, and a third of the file.
        track = [[round(float(number), 3) for number in row] for row in summary["track"]]
        return cls(case=case, policy=policy, collisions=hits, track=track, **values, **more)

    def to_dict(self, track: bool = True) -> dict[str, Any]:
        """Plain values for JSON."""
        found = asdict(self) | {
            "case": self.case._asdict(),
            "collisions": [hit._asdict() for hit in self.collisions],
        }
        if not track:
            del found["track"]
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Episode:
        """What `to_dict` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            return cls(
                **{
                    **values,
                    "case": Case(**values["case"]),
                    "collisions": tuple(Hit(**hit) for hit in values["collisions"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"no episode of an evaluation of drivers: {error}") from error


def one_backend(episodes: Iterable[Episode]) -> str:
    """The simulator that all of them were driven in.

    Raises:
        UsageError: there are several, or no episode: figures of one simulator are never mixed with another's.
    """
    names = sorted({episode.backend for episode in episodes})
    if not names:
        raise UsageError("no episode was driven, so there is nothing to measure")
    if len(names) > 1:
        raise UsageError(
            f"episodes of several simulators ({', '.join(names)}) give no common figure; evaluate each on its own"
        )
    return names[0]


def driven(episodes: Iterable[Episode]) -> list[Episode]:
    """Those that the driver ended: what the simulator broke off is the simulator's failure and is left out."""
    return [episode for episode in episodes if episode.cause != LOST]
