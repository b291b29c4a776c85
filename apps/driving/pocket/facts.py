"""What can be said of a moment: a handful of facts, each with a few values, and the label that tables use."""

from __future__ import annotations

import math

import numpy as np

from apps.driving.backends.base import Kind
from apps.driving.backends.ground import Ground
from apps.driving.geometry import to_frame
from apps.driving.pocket.dangers import STANDING, Danger
from apps.driving.pocket.moments import HALF_WIDTH, METRES, Drawn, Moment

#: Every fact and its values.
FACTS: dict[str, tuple[str, ...]] = {
    "ahead": ("nobody", "moving car", "standing car", "oncoming car", "crossing car", "walker"),
    "gap": ("none", "far", "some way", "near", "close"),
    "contact": ("none", "grazing", "front", "head-on", "rear", "side", "walker"),
    "lane": ("keeps", "left edge", "right edge", "left", "right", "off the road"),
    "heading": ("along", "to the left", "to the right", "across", "wrong way"),
    "others": ("nobody", "one", "several"),
    "walkers": ("nobody", "some"),
    "junction": ("no", "yes"),
}
NAMES = tuple(FACTS)
#: Metres at which someone ahead is close, near, some way off and far; further away he is not told.
CLOSE, NEAR, SOME_WAY, FAR = 2.0, 6.0, 12.0, 20.0
#: Degrees against the route's direction that are along it, and at which a car stands across it and goes against it.
ALONG, ACROSS, AGAINST = 20.0, 60.0, 120.0
#: Metres from all lanes at which a car has left the road.
OFF = 0.3

#: The labels, most urgent first; a moment has the first that fits.
LABELS = (
    "collision",
    "near miss",
    "pedestrian",
    "crossing",
    "wrong way",
    "off the road",
    "off the lane",
    "stopped",
    "car close",
    "car ahead",
    "turned aside",
    "clear",
)


def facts_of(moment: Moment, danger: Danger, drawn: Drawn) -> dict[str, str]:
    """The value of every fact."""
    ego, place = moment.ego, moment.place
    node = int(drawn.route.nodes[place.point])
    others, walkers = _company(moment)
    return {
        **_ahead(moment, danger),
        "contact": _contact(moment, danger),
        "lane": _lane(place.offset, place.lane_width, Ground.of(drawn.roads).beside(ego.x, ego.y)),
        "heading": _heading(place.heading),
        "others": ("nobody", "one", "several")[min(others, 2)],
        "walkers": "some" if walkers else "nobody",
        "junction": "yes" if drawn.roads.junction[node] >= 0 else "no",
    }


def label_of(facts: dict[str, str], ego_speed: float, danger: Danger) -> str:
    """The one of `LABELS` that a moment counts as."""
    ahead, gap, contact = facts["ahead"], facts["gap"], facts["contact"]
    waits = ahead == "standing car" and gap in ("near", "close") and abs(ego_speed) < STANDING
    tests = {
        "collision": contact not in ("none", "grazing"),
        "near miss": (contact == "grazing" or gap == "close") and not waits,
        "pedestrian": ahead == "walker",
        "crossing": ahead in ("crossing car", "oncoming car"),
        "wrong way": facts["heading"] in ("across", "wrong way"),
        "off the road": facts["lane"] == "off the road",
        "off the lane": facts["lane"] in ("left", "right"),
        "stopped": waits,
        "car close": ahead != "nobody" and gap == "near",
        "car ahead": ahead != "nobody",
        "turned aside": facts["lane"] != "keeps" or facts["heading"] != "along" or danger.traffic > 0,
    }
    return next((name for name, holds in tests.items() if holds), "clear")


def _ahead(moment: Moment, danger: Danger) -> dict[str, str]:
    who = danger.ahead
    if who.row < 0 or who.gap >= FAR:
        return {"ahead": "nobody", "gap": "none"}
    bounds = ((CLOSE, "close"), (NEAR, "near"), (SOME_WAY, "some way"), (FAR, "far"))
    gap = next(name for bound, name in bounds if who.gap < bound)
    turn = abs(math.degrees(who.turn))
    if moment.actors.kinds[who.row] == Kind.WALKER:
        kind = "walker"
    elif moment.actors.speeds[who.row] <= STANDING:
        kind = "standing car"
    elif turn > 135:
        kind = "oncoming car"
    elif turn > 40 or who.later:
        kind = "crossing car"
    else:
        kind = "moving car"
    return {"ahead": kind, "gap": gap}


def _contact(moment: Moment, danger: Danger) -> str:
    if danger.touched < 0:
        return "grazing" if danger.clearance < OFF else "none"
    actors, row, ego = moment.actors, danger.touched, moment.ego
    if actors.kinds[row] == Kind.WALKER:
        return "walker"
    ahead, right = to_frame(actors.poses[row, :2], ego.x, ego.y, ego.yaw).tolist()
    if abs(right) > max(abs(ahead) / 2, HALF_WIDTH):
        return "side"
    if ahead < 0:
        return "rear"
    turn = abs(math.remainder(float(actors.poses[row, 3]) - ego.yaw, 2 * math.pi))
    return "head-on" if turn > math.radians(135) else "front" if turn < math.radians(60) else "side"


def _lane(offset: float, width: float, beside: float) -> str:
    aside = abs(offset)
    if aside > width / 2 and beside > OFF:
        return "off the road"
    side = "right" if offset > 0 else "left"
    if aside > width / 2:
        return side
    return f"{side} edge" if aside > width / 2 - HALF_WIDTH else "keeps"


def _heading(heading: float) -> str:
    turned = abs(math.degrees(heading))
    if turned <= ALONG:
        return "along"
    if turned <= ACROSS:
        return "to the right" if heading > 0 else "to the left"
    return "across" if turned <= AGAINST else "wrong way"


def _company(moment: Moment) -> tuple[int, int]:
    """Cars and people in the picture."""
    actors, ego = moment.actors, moment.ego
    places = to_frame(actors.poses[:, :2], ego.x, ego.y, ego.yaw)
    view = 0.79 * METRES
    seen = (places[:, 0] < view) & (places[:, 0] > view - METRES) & (np.abs(places[:, 1]) < METRES / 2)
    return int((seen & (actors.kinds != Kind.WALKER)).sum()), int((seen & (actors.kinds == Kind.WALKER)).sum())
