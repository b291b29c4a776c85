"""VLM-RL's own definitions where they differ from ours, for a table beside its paper's.

After reading github.com/zihaosheng/VLM-RL (`eval.py`, `eval_plots.py`, `carla_env/envs/carla_route_env.py`), written
anew. They are kept with what is wrong about them: the place on the route runs ahead when the car leaves it, a driver
that ends near the goal succeeds however it came there, and rates are means of episodes' rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from apps.driving.measures.episodes import LEAST_DISTANCE, Case, Episode
from apps.driving.roads.routes import Route

#: Metres from the last point of the route within which an episode counts as a success.
NEAR = 5.0


def episode_of(case: Case, policy: str, summary: Mapping[str, Any], route: Route) -> Episode:
    """An episode from the environment's `info["summary"]`, with VLM-RL's completion and success beside ours."""
    track = summary["track"]
    own = {"vlm_rl_completion": completion(route, track), "vlm_rl_success": success(route, track)}
    return Episode.of(case, policy, summary, **own)


def completion(route: Route, track: Sequence[Sequence[float]]) -> float:
    """min((index + 1) / points, 1) at the end of the drive.

    The index goes on while the next point lies behind the car, seen along that point's lane, and starts over at the
    first point after the last. Range (0, 1], higher is better; it can exceed ours by far off the route, and is above 0
    for a car that never moved.
    """
    xs, ys = route.xyz[:, 0].tolist(), route.xyz[:, 1].tolist()
    cosines, sines = [math.cos(yaw) for yaw in route.yaw], [math.sin(yaw) for yaw in route.yaw]
    count, index = len(xs), 0
    for x, y, *_ in track:
        for _ in range(count):
            point = (index + 1) % count
            if cosines[point] * (x - xs[point]) + sines[point] * (y - ys[point]) <= 0.0:
                break
            index += 1
    return min((index + 1) / count, 1.0)


def success(route: Route, track: Sequence[Sequence[float]]) -> bool:
    """Whether the last position lies less than `NEAR` metres from the route's end; no progress is asked for."""
    if not track:
        return False
    x, y = track[-1][:2]
    return math.hypot(x - float(route.xyz[-1, 0]), y - float(route.xyz[-1, 1])) < NEAR


def route_completion(episode: Episode) -> float:
    """`completion` of the episode; NaN where it was not kept. Range (0, 1], higher is better."""
    return math.nan if episode.vlm_rl_completion is None else episode.vlm_rl_completion


def success_rate(episode: Episode) -> float:
    """`success` of the episode, 1 or 0; NaN where it was not kept. Range [0, 1], higher is better."""
    return math.nan if episode.vlm_rl_success is None else float(episode.vlm_rl_success)


def collision_speed(episode: Episode) -> float:
    """CS: km/h at the collision that ended the episode, 0 without one.

    Range [0, inf), lower is better. A policy that crashes seldom and hard and one that crashes often and softly can
    have the same; ours is the mean over collisions, beside their rate. VLM-RL reads the speed after the contact.
    """
    return episode.collisions[-1].speed if episode.collisions else 0.0


def collisions_per_step(episode: Episode) -> float:
    """CPS: 1 / steps of an episode with a collision, 0 without; the mean of it over episodes.

    Range [0, 1], lower is better. An early crash weighs more than a late one, and more than once it cannot count.
    """
    return 1.0 / episode.steps if episode.collided and episode.steps else 0.0


def collisions_per_km(episode: Episode) -> float:
    """CPM: 1000 / metres of an episode with a collision, 0 without; the mean of it over episodes.

    Range [0, inf), lower is better. VLM-RL divides by 0 where a car is hit before it moved; here that is NaN and the
    episode is left out of the mean.
    """
    if not episode.collided:
        return 0.0
    return 1000.0 / episode.distance if episode.distance >= LEAST_DISTANCE else math.nan


def collision_interval(episodes: Sequence[Episode]) -> float:
    """ICT: mean of the steps driven since the collision before (or the start), over episodes with a collision.

    Range [1, inf), higher is better; NaN without a collision. Steps after the last collision are forgotten, so it
    falls short of what was driven.
    """
    gaps, since = [], 0
    for episode in episodes:
        since += episode.steps
        if episode.collided:
            gaps.append(since)
            since = 0
    return sum(gaps) / len(gaps) if gaps else math.nan
