"""When an episode ends, and why."""

from __future__ import annotations

from typing import NamedTuple

from apps.driving.backends.base import Collision, Kind
from apps.driving.env_config import EndConfig
from apps.driving.environment.tracker import RouteTracker

#: The route is driven when less than this share is left, and the car is near its end.
DRIVEN = 0.999


class Ending(NamedTuple):
    """How things stand after a step.

    Attributes:
        cause: why the episode ended, as tables name it; empty while it goes on.
        terminated: the driver's doing, good or bad: nothing more can be earned.
        truncated: cut off from outside; a trainer must go on estimating what would have come.
        success: the goal was reached.
    """

    cause: str = ""
    terminated: bool = False
    truncated: bool = False
    success: bool = False


GOES_ON = Ending()
COLLISION_CAUSES = {
    Kind.VEHICLE: "collision with a vehicle",
    Kind.WALKER: "collision with a walker",
    Kind.STATIC: "collision with something standing",
    Kind.SIDEWALK: "collision with the kerb",
}


class Termination:
    """Watches one episode.

    Args:
        config: the rules.
        dt: seconds of one step.
    """

    def __init__(self, config: EndConfig, dt: float) -> None:
        self.config = config
        self.patience = round(config.stuck_seconds / dt) if config.stuck_seconds else 0
        self.limit = round(config.seconds / dt) if config.seconds else 0
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self.steps = 0
        self.standing = 0

    def check(
        self, speed: float, collisions: tuple[Collision, ...], tracker: RouteTracker, gap: float, hazard: float
    ) -> Ending:
        """Look at the moment after a step.

        A collision comes before everything else, the goal included; what the driver did comes before the time limit.

        Args:
            speed: along the nose, in m/s.
            collisions: that began in this step.
            tracker: of the route, up to date.
            gap: metres to the route's end, as the crow flies.
            hazard: metres to the nearest thing on the way ahead.
        """
        config = self.config
        self.steps += 1
        waits = not config.stuck_behind_hazard and hazard < WAITING
        self.standing = 0 if abs(speed) >= config.stuck_speed or waits else self.standing + 1
        if collisions and config.collisions:
            return Ending(COLLISION_CAUSES.get(collisions[0].kind, "collision"), terminated=True)
        if tracker.off_route and config.end_off_route:
            return Ending("off the route", terminated=True)
        if config.top_speed and speed > config.top_speed:
            return Ending("too fast", terminated=True)
        if gap < config.goal and tracker.progress >= DRIVEN:
            return Ending("goal", terminated=True, success=True)
        if self.patience and self.standing >= self.patience:
            return Ending("stuck", terminated=True)
        if self.limit and self.steps >= self.limit:
            return Ending("time limit", truncated=True)
        return GOES_ON


#: Something so near on the way ahead, in metres, is worth waiting for.
WAITING = 12.0
