"""What can be set about the environment; nothing here imports anything heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from common.errors import UsageError

KMH = 1 / 3.6
#: Stands for "nothing on the way ahead" where a number must be finite, in metres.
CLEAR = 1e3
#: Metres between the points of a route that waypoints are taken from.
FINE = 0.5


@dataclass
class ViewConfig:
    """A bird's-eye view around the car, which looks upwards in it.

    Attributes:
        kind: `none`, `masks` (binary pictures: road, lane lines, route, then one for each moment of `history`), `rgb`,
            or, for `env.picture` only, `camera`: the right half of what CARLA's camera saw, as VLM-RL's reward looks
            at it, of which only the size is set here.
        size: its height and width in pixels.
        metres: that its height shows.
        behind: share of its height that lies behind the car.
        history: steps ago of the moments of traffic that masks show, oldest first; 1 is now.
    """

    kind: Literal["none", "masks", "rgb", "camera"] = "none"
    size: int = 96
    metres: float = 38.4
    behind: float = 40 / 192
    history: list[int] = field(default_factory=lambda: [11, 6, 1])

    def __post_init__(self) -> None:
        if self.size < 1 or self.metres <= 0:
            raise UsageError(f"a view's size {self.size} must be at least 1, and its metres {self.metres} above 0")
        if min(self.history, default=1) < 1:
            raise UsageError(f"history {self.history} of a view: moments are 1 step ago, which is now, or more")


@dataclass
class ObservationConfig:
    """What the driver sees.

    Attributes:
        waypoints: points of the route ahead.
        spacing: metres between them.
        neighbours: nearest other participants; 0 leaves them out.
        sight: metres within which they are seen.
        bev: the bird's-eye view that is part of the observation.
    """

    waypoints: int = 15
    spacing: float = 2.0
    neighbours: int = 6
    sight: float = 40.0
    bev: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        if self.waypoints < 1 or self.spacing < FINE or self.spacing % FINE:
            raise UsageError(
                f"observation.waypoints {self.waypoints} must be 1 or more, and observation.spacing {self.spacing} a "
                f"multiple of {FINE} m above 0"
            )
        if self.neighbours < 0 or self.sight <= 0:
            raise UsageError(
                f"observation.neighbours {self.neighbours} must be at least 0, and observation.sight {self.sight} "
                "above 0"
            )


@dataclass
class ActionConfig:
    """How the driver acts.

    Attributes:
        kind: `continuous` (steer and pedals, each in [-1, 1]) or `discrete` (a table of pairs of throttle and steer).
        smoothing: share of the former steer that is kept, as in VLM-RL.
    """

    kind: Literal["continuous", "discrete"] = "continuous"
    smoothing: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing <= 1:
            raise UsageError(f"action.smoothing {self.smoothing} must lie in [0, 1]")


@dataclass
class EndConfig:
    """When an episode ends.

    Attributes:
        off_route: metres from the lane's centre at which the car is off the route.
        end_off_route: whether that ends the episode; else only progress stands still.
        stuck_speed: m/s below which the car counts as standing.
        stuck_seconds: standing so long ends the episode; 0 never does.
        stuck_behind_hazard: whether waiting behind something on the way counts as standing too.
        top_speed: m/s above which the episode ends; 0 never does.
        collisions: whether one ends the episode.
        seconds: time limit, a truncation; 0 is none.
        goal: metres from the end of the route within which it is reached.
    """

    off_route: float = 3.0
    end_off_route: bool = True
    stuck_speed: float = 1.0 * KMH
    stuck_seconds: float = 20.0
    stuck_behind_hazard: bool = False
    top_speed: float = 35.0 * KMH
    collisions: bool = True
    seconds: float = 120.0
    goal: float = 5.0

    def __post_init__(self) -> None:
        if self.off_route <= 0:
            raise UsageError(f"end.off_route {self.off_route} must be above 0")


@dataclass
class RouteConfig:
    """Where the driver is sent.

    Attributes:
        maps: names of shipped maps or of those in `folders`, or paths of `.xodr` and `.npz` files.
        folders: further folders of maps, or of a CARLA release.
        file: route file of fixed routes, which are then driven in order, or `evaluation` for those that come with the
            maps; random routes where empty.
        shortest: of random routes, in metres.
        longest: of random routes, in metres.
        pool: random routes that are planned once for each map, then drawn from.
    """

    maps: list[str] = field(default_factory=lambda: ["town"])
    folders: list[str] = field(default_factory=list)
    file: str = ""
    shortest: float = 120.0
    longest: float = 300.0
    pool: int = 64

    def __post_init__(self) -> None:
        if self.pool < 1:
            raise UsageError(f"routes.pool {self.pool} must be at least 1")


@dataclass
class TrafficConfig:
    """Who else is on the road: numbers of each, drawn evenly between two bounds in every episode."""

    vehicles: list[int] = field(default_factory=lambda: [0, 20])
    walkers: list[int] = field(default_factory=lambda: [0, 0])
    parked: list[int] = field(default_factory=lambda: [0, 0])

    def __post_init__(self) -> None:
        for name in ("vehicles", "walkers", "parked"):
            bounds = getattr(self, name)
            if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1]:
                raise UsageError(f"traffic.{name} is {bounds}; give the fewest and the most, such as [0, 20]")


@dataclass
class EnvConfig:
    """The environment.

    Attributes:
        picture: the view that rewards look at; it comes as `info["image"]`.
        target_speed: m/s that the driver should keep where it can.
        penalty: reward of the step that ends an episode badly.
    """

    routes: RouteConfig = field(default_factory=RouteConfig)
    traffic: TrafficConfig = field(default_factory=TrafficConfig)
    observation: ObservationConfig = field(default_factory=ObservationConfig)
    action: ActionConfig = field(default_factory=ActionConfig)
    end: EndConfig = field(default_factory=EndConfig)
    picture: ViewConfig = field(default_factory=ViewConfig)
    target_speed: float = 25.0 * KMH
    penalty: float = -10.0

    def __post_init__(self) -> None:
        if self.target_speed <= 0:
            raise UsageError(f"target_speed {self.target_speed} must be above 0")
        if self.observation.bev.kind == "camera":
            raise UsageError("observation.bev.kind is camera; only env.picture can be: choose none, masks or rgb")
