"""Infractions, and the driving score that is made of them."""

from __future__ import annotations

from collections.abc import Mapping

from apps.driving.measures.episodes import Episode

#: What one infraction of a kind leaves of the score. CARLA Autonomous Driving Leaderboard 1.0 and 2.0,
#: `statistics_manager.py` (github.com/carla-simulator/leaderboard, commit e4f8571, read): pedestrian 0.50, vehicle
#: 0.60, static layout 0.65, red light 0.70, stop sign 0.80. Its collision test passes over pavements ("sidewalk"), so
#: a kerb costs nothing beyond the rest of the route, which is lost where it ends the episode. The 0.70 each of version
#: 2.0 for scenario time-outs and for not yielding to emergency vehicles belong to scenarios that are not driven here.
PENALTIES: Mapping[str, float] = {
    "walker": 0.50,
    "vehicle": 0.60,
    "static": 0.65,
    "red light": 0.70,
    "stop sign": 0.80,
    "sidewalk": 1.00,
}
#: Endings that are infractions in themselves, the leaderboard's route deviation, blocked agent and time-out among
#: them.
ENDINGS = ("off the route", "too fast", "stuck", "time limit")
#: Every kind that is counted, in the order of tables.
INFRACTIONS = (*PENALTIES, *ENDINGS)


def infractions(episode: Episode) -> dict[str, int]:
    """How many of each kind of `INFRACTIONS`; those without any are 0."""
    found = dict.fromkeys(INFRACTIONS, 0)
    for hit in episode.collisions:
        # A kind of another simulator is the layout's, as in the leaderboard.
        found[hit.kind if hit.kind in PENALTIES else "static"] += 1
    found["red light"] += episode.red_lights
    found["stop sign"] += episode.stop_signs
    if episode.cause in ENDINGS:
        found[episode.cause] += 1
    return found


def infraction_penalty(episode: Episode) -> float:
    """Product of `PENALTIES[kind] ** count` and of 1 - the share driven off the route.

    Range [0, 1], higher is better; 1 without an infraction. Source: CARLA Leaderboard. It takes the share outside the
    route's lanes by distance, this by steps. Endings cost nothing here: the rest of the route is lost with them.
    """
    found = 1.0 - min(max(episode.off_route, 0.0), 1.0)
    for kind, count in infractions(episode).items():
        found *= PENALTIES.get(kind, 1.0) ** count
    return found


def driving_score(episode: Episode) -> float:
    """Route completion times the infraction penalty, RC * product of p ^ n * (1 - share off the route).

    Range [0, 1], higher is better (the leaderboard shows 100 times that). Source: CARLA Leaderboard, "driving score".
    """
    return episode.route_completion * infraction_penalty(episode)
