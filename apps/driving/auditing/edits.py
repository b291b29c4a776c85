"""Single transitions of good driving with one thing made wrong, as the environment would tell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from apps.driving.env_config import EndConfig

State = Mapping[str, float]
Edit = Callable[[State, EndConfig, np.random.Generator], dict[str, float]]

#: What stands still when the car does, or when it gains nothing.
NOTHING_GAINED = {"progress_change": 0.0, "distance": 0.0}


def wrong_way(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """The nose 132° to 180° against the route; nothing is gained."""
    turn = math.radians(float(rng.uniform(132.0, 180.0))) * float(rng.choice([-1.0, 1.0]))
    return {**state, "heading": turn, **_without_gain(state)}


def reverse(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """The same speed, backwards."""
    return {**state, "speed": -state["speed"], **_without_gain(state)}


def standing(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """Stands; nothing is on the way."""
    still = {"speed": 0.0, "acceleration": 0.0, "throttle": 0.0, "hazard": 1e3}
    return {**state, **still, **_without_gain(state)}


def off_lane(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """The middle of the car outside of its lane, but not so far that the route is left."""
    edge = state["lane_width"] / 2
    offset = float(rng.uniform(edge + 0.2, max(end.off_route, edge + 0.4)))
    return {**state, "offset": offset * float(rng.choice([-1.0, 1.0]))}


def off_route(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """Further away than the route allows; ends the episode where the config says so."""
    offset = end.off_route + float(rng.uniform(0.3, 6.0))
    gone = {"offset": offset * float(rng.choice([-1.0, 1.0])), "off_route": 1.0}
    return {**state, **gone, "terminated": float(end.end_off_route), **_without_gain(state)}


def collision(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """Something is hit at full speed."""
    hit = {"collision": 1.0, "collision_speed": abs(state["speed"]), "hazard": 2.0}
    return {**state, **hit, "terminated": float(end.collisions)}


def too_fast(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """1.2 to 1.8 times what is allowed: more is gained, as it would be."""
    speed = max(state["speed_limit"], state["speed"]) * float(rng.uniform(1.2, 1.8))
    more = speed / state["speed"]
    return {
        **state,
        "speed": speed,
        "distance": state["distance"] * more,
        "progress": min(state["progress"] + (more - 1) * state["progress_change"], 1.0),
        "progress_change": state["progress_change"] * more,
        "terminated": float(0 < end.top_speed < speed),
    }


def shaking(state: State, end: EndConfig, rng: np.random.Generator) -> dict[str, float]:
    """The car has swung to and fro for three seconds and steers hard once more."""
    side = float(rng.choice([-1.0, 1.0]))
    return {
        **state,
        "offset": side * float(rng.uniform(0.3, 1.2)),
        "offset_std": float(rng.uniform(0.4, 0.7)),
        "heading": side * float(rng.uniform(0.1, 0.4)),
        "steer": -side * float(rng.uniform(0.5, 1.0)),
        "steer_change": -side * float(rng.uniform(0.5, 1.0)),
    }


#: By the names of `acts.WRONG`.
EDITS: Mapping[str, Edit] = {
    "wrong way, 132–180°": wrong_way,
    "reverse at speed": reverse,
    "standing on a free road": standing,
    "off the lane": off_lane,
    "off the route": off_route,
    "collision": collision,
    "over the speed limit": too_fast,
    "shaking": shaking,
}


def is_good(state: State) -> bool:
    """Whether a transition is good driving on a free road: in its lane, along it, at speed, with something gained."""
    return (
        state["speed"] > 4.0
        and abs(state["offset"]) < 0.5
        and abs(state["heading"]) < math.radians(10)
        and state["offset_std"] < 0.15
        and state["hazard"] > 20.0
        and abs(state["steer_change"]) < 0.05
        and state["progress_change"] > 0.0
        and not (state["terminated"] or state["truncated"] or state["collision"] or state["off_route"])
    )


def _without_gain(state: State) -> dict[str, float]:
    return {**NOTHING_GAINED, "progress": state["progress"] - state["progress_change"]}
