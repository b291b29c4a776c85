"""How dangerous a moment is: the exact truth that captions tell and that the pocket CLIP is measured against.

Only what the picture shows counts; the ego's own speed is not to be seen in it, so all is judged for a car that drives
at the target speed v0 (25 km/h). Four dangers, each in [0, 1]:

- traffic: 1 where the ego touches someone. Otherwise the share of the target speed that must be given up to stay out
  of trouble, 1 − v_safe / v0, with the safe speed of Krauss (Phys. Rev. E 55, 5597, 1997; after Gipps 1981):
  v_safe = −b τ + sqrt(b² τ² + u² + 2 b max(g − g0, 0)), b = 2 m/s², τ = 1 s, g0 = 2 m, times g / g0 below g0. There g
  is the free metres from bumper to whoever is in the way, and u his speed along it; a car counts also where it will be
  within 1.5 s, going on as it does, if the ego may then be there, and people from 0.75 m beside the way on, since a
  step takes them there. Someone nearer than 0.6 m at any side counts (0.6 − clearance) / 0.5. The greatest of all.
- lane: the share of the car's width that lies outside of its lane.
- direction: 0 up to 15° against the route's direction, 1 from 90° on.
- all: the greatest of the three.

So 1 − traffic is what VLM-RL's synthesis should multiply the target speed with.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import Actors, Kind
from apps.driving.env_config import FINE, KMH
from apps.driving.geometry import corners, overlaps, to_frame, wrapped
from apps.driving.observation.measures import Way
from apps.driving.pocket.moments import HALF_LENGTH, HALF_WIDTH, Moment, chosen

Floats = NDArray[np.float64]

TARGET = 25.0 * KMH
BRAKING, REACTION, STANDSTILL = 2.0, 1.0, 2.0
#: Metres beside the car that must be free of cars on its way, and of people.
AIR, STEP = 0.15, 0.75
#: Clearance below which someone is nearly touched, and at which he counts fully, in metres.
GRAZE, TOUCH = 0.6, 0.1
#: Seconds for which others are thought to go on, and seconds that the ego may be there later than they.
LATER, SPARE = (0.5, 1.0, 1.5), 1.0
#: Metres within which the ego is back on its route, and metres of way that are looked at.
BACK, SIGHT = 12.0, 26.0
#: Headings beyond this are no way back to the route: the ego goes on along its nose.
LOST = math.radians(75)
#: A box grown by this many metres that overlaps is touched: the simulator stops cars at first contact.
CONTACT = 0.1
#: Slower than this, in m/s, is standing.
STANDING = 0.5


class Ahead(NamedTuple):
    """Who is in the way.

    Attributes:
        row: among the actors; -1 for nobody.
        gap: free metres before him, inf for nobody.
        speed: his, along the way, in m/s.
        later: whether he is not there yet.
        turn: his heading against the way, in rad.
    """

    row: int = -1
    gap: float = math.inf
    speed: float = 0.0
    later: bool = False
    turn: float = 0.0


class Danger(NamedTuple):
    """The four dangers in [0, 1] and what they come from.

    Attributes:
        ahead: who asks for the lowest speed.
        touched: row of whom the ego touches; -1 for nobody.
        clearance: metres to the nearest other, at any side; inf for nobody.
    """

    traffic: float
    lane: float
    direction: float
    ahead: Ahead
    touched: int
    clearance: float

    @property
    def all(self) -> float:
        """The greatest."""
        return max(self.traffic, self.lane, self.direction)


def judge(moment: Moment, way: Way) -> Danger:
    """Judge a moment.

    Args:
        moment: to judge.
        way: of the route.
    """
    ego, place = moment.ego, moment.place
    lane = min(max((abs(place.offset) + HALF_WIDTH - place.lane_width / 2) / (2 * HALF_WIDTH), 0.0), 1.0)
    turned = math.degrees(abs(place.heading))
    direction = min(max((turned - 15.0) / 75.0, 0.0), 1.0)
    actors, spin = _near(moment)
    if not len(actors):
        return Danger(0.0, lane, direction, Ahead(), -1, math.inf)
    pose, extent = (ego.x, ego.y, ego.yaw), (HALF_LENGTH, HALF_WIDTH)
    touching = np.flatnonzero(overlaps(pose, extent, actors.poses, actors.extents + CONTACT))
    touched = int(touching[0]) if len(touching) else -1
    clear = 0.0 if touched >= 0 else _clearance(pose, actors)
    ahead, free = _ahead(moment, way, actors, spin)
    slowed = 1.0 - min(free / TARGET, 1.0)
    grazed = min(max((GRAZE - clear) / (GRAZE - TOUCH), 0.0), 1.0)
    traffic = 1.0 if touched >= 0 else max(slowed, grazed)
    return Danger(traffic, lane, direction, _renumbered(ahead, moment, actors), _row(touched, moment, actors), clear)


def safe_speed(gap: float, speed: float) -> float:
    """Krauss's safe speed in m/s behind someone `gap` metres ahead who drives at `speed` m/s."""
    room = max(gap - STANDSTILL, 0.0)
    square = (BRAKING * REACTION) ** 2 + max(speed, 0.0) ** 2 + 2 * BRAKING * room
    # Nearer than the standstill gap nobody's speed makes up for it.
    share = min(max(gap / STANDSTILL, 0.0), 1.0)
    return share * max(math.sqrt(square) - BRAKING * REACTION, 0.0)


def path(moment: Moment, way: Way) -> tuple[Floats, Floats]:
    """`(P, 2)` points every `FINE` metres along the way that the ego will take, the first its own; and `(P,)` yaws.

    A cubic leads from its nose to the route `BACK` metres ahead; then comes the route. A car that looks elsewhere goes
    on along its nose.
    """
    ego, place = moment.ego, moment.place
    nose = np.array((math.cos(ego.yaw), math.sin(ego.yaw)))
    here = np.array((ego.x, ego.y))
    if abs(place.heading) > LOST:
        along = np.arange(0.0, BACK, FINE)[:, None]
        return here + along * nose, np.full(len(along), ego.yaw)
    first = int((place.s + BACK) / FINE)
    route = way.points[first : first + int((SIGHT - BACK) / FINE)]
    reach = float(np.hypot(*(route[0] - here)))
    t = np.linspace(0.0, 1.0, max(round(reach / FINE), 2), endpoint=False)[:, None]
    tangent = route[1] - route[0]
    tangent = tangent / max(float(np.hypot(*tangent)), 1e-9) * reach
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * here
        + (t**3 - 2 * t**2 + t) * nose * reach
        + (3 * t**2 - 2 * t**3) * route[0]
        + (t**3 - t**2) * tangent
    )
    points = np.vstack([curve, route])
    steps = np.diff(points, axis=0, append=2 * points[-1:] - points[-2:-1])
    return points, np.arctan2(steps[:, 1], steps[:, 0])


def _ahead(moment: Moment, way: Way, actors: Actors, spin: Floats) -> tuple[Ahead, float]:
    """Who in the way asks for the lowest speed, and that speed."""
    points, yaws = path(moment, way)
    lengths = np.append(0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    found, lowest = Ahead(), math.inf
    grown = actors.extents + np.where(actors.kinds == Kind.WALKER, STEP - AIR, 0.0)[:, None]
    for later in (0.0, *LATER):
        poses = _later(actors, spin, later)
        for row, point in _blocks(points, poses, grown):
            gap = max(float(lengths[point]) + HALF_WIDTH + AIR - HALF_LENGTH, 0.0)
            turn = math.remainder(float(poses[row, 3] - yaws[point]), 2 * math.pi)
            speed = float(actors.speeds[row]) * math.cos(turn)
            if later:
                # Where people look is not to be seen in the picture.
                if actors.kinds[row] == Kind.WALKER:
                    continue
                goes = actors.speeds[row] > STANDING and abs(turn) > math.radians(30)
                if not goes or gap / TARGET > later + SPARE:
                    continue
                speed = 0.0
            if actors.kinds[row] == Kind.WALKER:
                speed = 0.0
            free = safe_speed(gap, speed)
            nearer = gap < found.gap and free >= TARGET and lowest >= TARGET
            if free < min(lowest, TARGET) or nearer:
                found, lowest = Ahead(row, gap, max(speed, 0.0), later > 0.0, turn), free
    return found, lowest


def _blocks(points: Floats, poses: Floats, extents: Floats) -> list[tuple[int, int]]:
    """Rows whose boxes lie in the corridor along the points, each with the first point that is not free."""
    apart = points[None] - poses[:, None, :2]
    cos, sin = np.cos(poses[:, 3])[:, None], np.sin(poses[:, 3])[:, None]
    long = np.abs(apart[..., 0] * cos + apart[..., 1] * sin) - extents[:, :1]
    wide = np.abs(apart[..., 1] * cos - apart[..., 0] * sin) - extents[:, 1:]
    inside = np.hypot(np.maximum(long, 0.0), np.maximum(wide, 0.0)) <= HALF_WIDTH + AIR
    # Who is behind or beside the ego's own middle is not ahead.
    inside[:, : int(HALF_LENGTH / FINE) - 2] = False
    return [(int(row), int(inside[row].argmax())) for row in np.flatnonzero(inside.any(1))]


def _near(moment: Moment) -> tuple[Actors, Floats]:
    """Those in reach, and the rates at which they turn, in rad/s."""
    now, then = moment.actors, moment.past[max(len(moment.past) - 6, 0)]
    near = np.hypot(now.poses[:, 0] - moment.ego.x, now.poses[:, 1] - moment.ego.y) < SIGHT + 10.0
    spin = np.zeros(len(now))
    if len(moment.past) > 5 and len(then):
        order = np.argsort(then.ids)
        place = np.minimum(np.searchsorted(then.ids, now.ids, sorter=order), len(then) - 1)
        match = order[place]
        known = then.ids[match] == now.ids
        spin = np.where(known, wrapped(now.poses[:, 3] - then.poses[match, 3]) / 0.5, 0.0)
        spin = np.where(np.abs(spin) < 1.5, spin, 0.0)
    return chosen(now, near), spin[near]


def _later(actors: Actors, spin: Floats, seconds: float) -> Floats:
    """`(N, 4)` poses after some time of going on and turning as they do."""
    if not seconds:
        return actors.poses
    poses: Floats = actors.poses.copy()
    middle = poses[:, 3] + spin * seconds / 2
    poses[:, 0] += actors.speeds * seconds * np.cos(middle)
    poses[:, 1] += actors.speeds * seconds * np.sin(middle)
    poses[:, 3] += spin * seconds
    return poses


def _clearance(pose: tuple[float, float, float], actors: Actors) -> float:
    """Metres from the ego's box to the nearest other's, where none overlaps: some corner is what is nearest."""
    x, y, yaw = pose
    theirs = to_frame(corners(actors.poses, actors.extents), x, y, yaw)
    outside = np.maximum(np.abs(theirs) - (HALF_LENGTH, HALF_WIDTH), 0.0)
    nearest = float(np.hypot(outside[..., 0], outside[..., 1]).min())
    own = corners(np.array(pose), np.array((HALF_LENGTH, HALF_WIDTH)))
    apart = own[None] - actors.poses[:, None, :2]
    cos, sin = np.cos(actors.poses[:, 3])[:, None], np.sin(actors.poses[:, 3])[:, None]
    long = np.maximum(np.abs(apart[..., 0] * cos + apart[..., 1] * sin) - actors.extents[:, :1], 0.0)
    wide = np.maximum(np.abs(apart[..., 1] * cos - apart[..., 0] * sin) - actors.extents[:, 1:], 0.0)
    return min(nearest, float(np.hypot(long, wide).min()))


def _row(row: int, moment: Moment, actors: Actors) -> int:
    """The row among all actors."""
    return row if row < 0 else int(np.flatnonzero(moment.actors.ids == actors.ids[row])[0])


def _renumbered(ahead: Ahead, moment: Moment, actors: Actors) -> Ahead:
    return ahead._replace(row=_row(ahead.row, moment, actors))
