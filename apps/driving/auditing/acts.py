"""Ways to drive wrongly for three seconds, and the right way, as paths that a puppet follows along a route.

A path is a function of the seconds since it began. Every act begins where the car keeps its lane at the target speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: Seconds that a car takes to leave its lane, and metres a second that it goes sideways when it leaves the road.
AWAY, SIDEWAYS = 1.0, 4.0
#: Radius of the circles on the spot, in metres: they stay within the route's corridor, as farming would.
CIRCLE = 1.4
#: Metres to either side when the car shakes, and seconds of one swing: |offset| then spreads by 0.43 m.
SWING, PERIOD = 1.4, 1.2
#: Seconds until the car is put elsewhere, and metres that it jumps.
JUMPS_AT, JUMP = 0.5, 30.0
#: Seconds until the car ahead is hit, and m/s² of a car that speeds up.
CRASH_AT, ACCELERATION = 1.5, 8.0


@dataclass(frozen=True)
class Scene:
    """What an act and the right way beside it share.

    Attributes:
        speed: m/s that good driving has.
        side: 1 for right, -1 for left.
        turn: radians of the wrong way, from 132° to 180°.
        lane_width: in metres.
        fast: m/s that are too fast, above the speed limit.
        start: metres along the route where the act begins.
    """

    speed: float
    side: float
    turn: float
    lane_width: float
    fast: float
    start: float


class Pose(NamedTuple):
    """Where the car is.

    Attributes:
        ahead: metres along the route from where the act began.
        right: metres to the right of the lane's centre.
        turn: rad of the nose against the route, to the right.
        speed: m/s along the nose.
        steer: in [-1, 1].
        hit: whether the car ahead is hit now.
    """

    ahead: float
    right: float = 0.0
    turn: float = 0.0
    speed: float = 0.0
    steer: float = 0.0
    hit: bool = False


Act = Callable[[Scene, float], Pose]


def good(scene: Scene, t: float) -> Pose:
    """Keeps its lane at the target speed."""
    return Pose(scene.speed * t, 0.0, 0.0, scene.speed)


def wrong_way(scene: Scene, t: float) -> Pose:
    """Drives the lane back, with the nose 132° to 180° against it."""
    return Pose(scene.speed * t * math.cos(scene.turn), 0.0, scene.side * scene.turn, scene.speed)


def reverse(scene: Scene, t: float) -> Pose:
    """Drives backwards as fast as it should drive forwards."""
    return Pose(-scene.speed * t, 0.0, 0.0, -scene.speed)


def standing(scene: Scene, t: float) -> Pose:
    """Stands on a free road."""
    return Pose(0.0)


def off_lane(scene: Scene, t: float) -> Pose:
    """Goes on with its middle half a metre outside of its lane."""
    share = min(t / AWAY, 1.0)
    return Pose(scene.speed * t, scene.side * share * (scene.lane_width / 2 + 0.5), 0.0, scene.speed)


def off_route(scene: Scene, t: float) -> Pose:
    """Turns off and drives away from the route."""
    turn = scene.side * math.asin(min(SIDEWAYS / scene.speed, 0.9))
    return Pose(scene.speed * math.cos(turn) * t, scene.side * SIDEWAYS * t, turn, scene.speed)


def collision(scene: Scene, t: float) -> Pose:
    """Drives into a car that stands ahead."""
    moved = scene.speed * min(t, CRASH_AT)
    hits = abs(t - CRASH_AT) < 0.05
    return Pose(moved, 0.0, 0.0, scene.speed if t < CRASH_AT + 0.05 else 0.0, hit=hits)


def too_fast(scene: Scene, t: float) -> Pose:
    """Speeds up to 1.2 to 1.8 times what is allowed."""
    rising = (scene.fast - scene.speed) / ACCELERATION
    speed = scene.speed + ACCELERATION * min(t, rising)
    moved = scene.speed * t + ACCELERATION * (min(t, rising) ** 2 / 2 + min(t, rising) * max(t - rising, 0.0))
    return Pose(moved, 0.0, 0.0, speed)


def shaking(scene: Scene, t: float) -> Pose:
    """Swings from one side of the lane to the other."""
    phase = 2 * math.pi * t / PERIOD
    sideways = SWING * 2 * math.pi / PERIOD * math.cos(phase)
    turn = scene.side * math.atan2(sideways, scene.speed)
    return Pose(
        scene.speed * t * 0.7, scene.side * SWING * math.sin(phase), turn, scene.speed, -math.sin(phase) * scene.side
    )


def circling(scene: Scene, t: float) -> Pose:
    """Drives round and round on the spot, across the route's own points again and again."""
    angle = scene.speed * t / CIRCLE
    right = scene.side * CIRCLE * (1 - math.cos(angle))
    turn = scene.side * angle
    return Pose(CIRCLE * math.sin(angle), right, math.remainder(turn, 2 * math.pi), scene.speed, scene.side)


def back_and_forth(scene: Scene, t: float) -> Pose:
    """A second forwards, a second backwards, over the same metres."""
    within = t % 2.0
    ahead = within if within < 1.0 else 2.0 - within
    return Pose(scene.speed * ahead, 0.0, 0.0, scene.speed if within < 1.0 else -scene.speed)


def teleport(scene: Scene, t: float) -> Pose:
    """Is suddenly 30 m further along the route, and drives on."""
    return Pose(scene.speed * t + (JUMP if t >= JUMPS_AT else 0.0), 0.0, 0.0, scene.speed)


#: What must earn less than `good`, by name.
WRONG: Mapping[str, Act] = {
    "wrong way, 132–180°": wrong_way,
    "reverse at speed": reverse,
    "standing on a free road": standing,
    "off the lane": off_lane,
    "off the route": off_route,
    "into a standing car": collision,
    "over the speed limit": too_fast,
    "shaking": shaking,
    "circling on the spot": circling,
    "back and forth": back_and_forth,
    "teleport ahead": teleport,
}
GOOD, STANDING = "good driving", "standing on a free road"
