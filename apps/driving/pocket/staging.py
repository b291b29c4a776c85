"""Moments that drives give too seldom, staged: the ego put elsewhere, and others put in its way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from apps.driving.backends.base import Kind
from apps.driving.env_config import FINE
from apps.driving.geometry import from_frame
from apps.driving.pocket.dangers import path
from apps.driving.pocket.moments import HALF_LENGTH, HALF_WIDTH, Drawn, Moment, moved, with_other

Stage = Callable[[Moment, Drawn, np.random.Generator], Moment]

#: Half the depth and width of people.
PERSON = (0.25, 0.25)


def elsewhere(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """The ego beside the lane, turned aside, or the wrong way round."""
    offset, heading = rng.normal(0.0, 0.3), rng.normal(0.0, 0.1)
    kind = rng.random()
    if kind < 0.4:
        offset = rng.uniform(-4.5, 4.5)
    elif kind < 0.65:
        heading = rng.uniform(-math.pi / 2, math.pi / 2)
    elif kind < 0.85:
        heading += math.pi
        offset = rng.uniform(-2.0, 2.0)
    return moved(moment, drawn.route, moment.place.s, float(offset), float(heading))


def alone(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """The ego in its lane, about as it should be."""
    return moved(moment, drawn.route, moment.place.s, float(rng.normal(0.0, 0.25)), float(rng.normal(0.0, 0.06)))


def car_ahead(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """A car on the way, at any distance; most stand or drive along, some come nearer."""
    extent = _car(rng)
    # As many near ones as far ones, by distance's logarithm: near ones matter.
    gap = math.exp(rng.uniform(math.log(0.5), math.log(24.0)))
    x, y, yaw = _on_the_way(moment, drawn, gap + HALF_LENGTH + extent[0])
    aside = float(rng.normal(0.0, 0.3))
    turn = float(rng.normal(0.0, 0.08))
    if rng.random() < 0.15:
        turn += math.pi
    speed = 0.0 if rng.random() < 0.5 else float(rng.uniform(0.5, 8.0))
    pose = (x - aside * math.sin(yaw), y + aside * math.cos(yaw), yaw + turn)
    return with_other(moment, Kind.VEHICLE, pose, speed, extent)


def crash(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """A car that the ego touches, or barely does not: in front, head-on, behind or at a side."""
    length, width = _car(rng)
    gap = float(rng.uniform(-0.5, 0.05)) if rng.random() < 0.7 else float(rng.uniform(0.15, 0.7))
    kind = str(rng.choice(["front", "head-on", "rear", "side", "across"]))
    aside, turn = float(rng.uniform(-1.2, 1.2)), float(rng.normal(0.0, 0.25))
    if kind in ("front", "head-on"):
        ahead = HALF_LENGTH + length + gap
        turn += math.pi if kind == "head-on" else 0.0
    elif kind == "rear":
        ahead = -(HALF_LENGTH + length + gap)
    elif kind == "side":
        ahead, aside = float(rng.uniform(-3.0, 3.0)), float(rng.choice([-1, 1])) * (HALF_WIDTH + width + gap)
        turn = float(rng.normal(0.0, 0.1)) + (math.pi if rng.random() < 0.5 else 0.0)
    else:
        ahead = HALF_LENGTH + width + gap
        aside, turn = float(rng.uniform(-2.0, 2.0)), float(rng.choice([-1, 1])) * math.pi / 2 + turn
    return with_other(moment, Kind.VEHICLE, _seen_from(moment, ahead, aside, turn), 0.0, (length, width))


def passing(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """A car in the next lane, coming or going: near, but nothing to fear."""
    ahead, turn = float(rng.uniform(-6.0, 22.0)), float(rng.normal(0.0, 0.05))
    x, y, yaw = _on_the_way(moment, drawn, max(ahead, 0.0))
    aside = float(rng.choice([-1, 1])) * float(rng.uniform(3.0, 4.0))
    if rng.random() < 0.6:
        turn += math.pi
    back = min(ahead, 0.0)
    pose = (
        x + back * math.cos(yaw) - aside * math.sin(yaw),
        y + back * math.sin(yaw) + aside * math.cos(yaw),
        yaw + turn,
    )
    return with_other(moment, Kind.VEHICLE, pose, float(rng.uniform(0.0, 8.0)), _car(rng))


def crossing(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """A car that crosses the way, has crossed it or will."""
    x, y, yaw = _on_the_way(moment, drawn, float(rng.uniform(4.0, 20.0)))
    side, speed = float(rng.choice([-1, 1])), float(rng.uniform(0.0, 8.0))
    turn = side * math.pi / 2 + float(rng.normal(0.0, 0.2))
    # Metres that it still has to go to the middle of the way.
    left = float(rng.uniform(-5.0, 12.0))
    heading = yaw + turn
    pose = (x - left * math.cos(heading), y - left * math.sin(heading), heading)
    return with_other(moment, Kind.VEHICLE, pose, speed, _car(rng))


def walker(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """Someone on foot on the way or beside it."""
    x, y, yaw = _on_the_way(moment, drawn, HALF_LENGTH + math.exp(rng.uniform(math.log(0.3), math.log(20.0))))
    aside = float(rng.normal(0.0, 1.0 if rng.random() < 0.6 else 4.0))
    pose = (x - aside * math.sin(yaw), y + aside * math.cos(yaw), float(rng.uniform(-math.pi, math.pi)))
    return with_other(moment, Kind.WALKER, pose, float(rng.uniform(0.0, 1.8)), PERSON)


#: Each way of staging and how often it is taken.
STAGES: tuple[tuple[Stage, float], ...] = (
    (elsewhere, 0.24),
    (alone, 0.06),
    (car_ahead, 0.22),
    (crash, 0.16),
    (passing, 0.1),
    (crossing, 0.1),
    (walker, 0.12),
)


def staged(moment: Moment, drawn: Drawn, rng: np.random.Generator) -> Moment:
    """The moment with one thing changed, sometimes two."""
    weights = np.array([weight for _, weight in STAGES])
    stages = rng.choice(len(STAGES), 2 if rng.random() < 0.25 else 1, replace=False, p=weights / weights.sum())
    # The ego first: others are put where it then is.
    for number in sorted(stages.tolist()):
        moment = STAGES[number][0](moment, drawn, rng)
    return moment


def _car(rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.uniform(2.0, 2.5)), float(rng.uniform(0.85, 1.0))


def _on_the_way(moment: Moment, drawn: Drawn, ahead: float) -> tuple[float, float, float]:
    """X, y and yaw so many metres ahead on the ego's way."""
    points, yaws = path(moment, drawn.way)
    number = min(round(ahead / FINE), len(points) - 1)
    return float(points[number, 0]), float(points[number, 1]), float(yaws[number])


def _seen_from(moment: Moment, ahead: float, right: float, turn: float) -> tuple[float, float, float]:
    ego = moment.ego
    x, y = from_frame((ahead, right), ego.x, ego.y, ego.yaw).tolist()
    return x, y, ego.yaw + turn
