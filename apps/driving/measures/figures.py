"""The figures of an evaluation: pure functions of episodes, with interval, range, direction and source.

Names are those of VLM-RL's table (AS, RC, TD, CS, CPS, CPM, ICT, CR, SR; arXiv 2412.15544); definitions are ours where
its own mislead, and its own stand beside them (`measures.vlm_rl`). An episode that the simulator broke off is in none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from apps.driving.measures import intervals, vlm_rl
from apps.driving.measures.episodes import LEAST_DISTANCE, Episode, driven, one_backend
from apps.driving.measures.scores import driving_score, infraction_penalty, infractions
from common.stats import Interval

Value = Callable[[Episode], float]


def average_speed(episode: Episode) -> float:
    """AS: mean of |speed| over an episode's steps in km/h; then the mean over episodes.

    Range [0, inf), higher is better below the target speed. Source: VLM-RL.
    """
    return episode.average_speed if episode.steps else math.nan


def route_completion(episode: Episode) -> float:
    """RC: metres of the route driven on it / metres of the route; then the mean over episodes.

    Range [0, 1], higher is better. Potential-based: leaving the route freezes it, nothing is credited twice or for
    going round. Source: CARLA Leaderboard; VLM-RL counts otherwise, see its own figure.
    """
    return episode.route_completion


def total_distance(episode: Episode) -> float:
    """TD: metres driven, along the route or not; the sum over episodes.

    Range [0, inf), higher is better at equal routes. Source: VLM-RL.
    """
    return episode.distance


def success_rate(episode: Episode) -> float:
    """SR: share of episodes that end less than 5 m from the goal with at least .999 of the route driven.

    Range [0, 1], higher is better. A collision in the same step is no success. Source: Found-RL's "strict"; VLM-RL
    asks for the 5 m alone.
    """
    return float(episode.success)


def collision_rate(episode: Episode) -> float:
    """CR: share of episodes with at least one collision.

    Range [0, 1], lower is better. Source: VLM-RL, which takes the last 100 episodes of training.
    """
    return float(episode.collided)


def collisions(episode: Episode) -> float:
    """Number of collisions of an episode."""
    return float(len(episode.collisions))


def collision_speed(episode: Episode) -> float:
    """CS: km/h of the car just before a contact, mean over the episode's collisions; then over episodes with one.

    Range [0, inf), lower is better; NaN where nothing was hit. Source: ours; VLM-RL counts 0 for episodes without a
    collision, which mixes how often with how hard.
    """
    hits = episode.collisions
    return sum(hit.speed for hit in hits) / len(hits) if hits else math.nan


def off_route(episode: Episode) -> float:
    """Share of an episode's steps further from the lane's centre than allowed; then the mean over episodes.

    Range [0, 1], lower is better. Source: ours, after the leaderboard's share outside the route's lanes.
    """
    return episode.off_route if episode.steps else math.nan


def lane_offset(episode: Episode) -> float:
    """Mean metres from the lane's centre; then the mean over episodes.

    Range [0, inf), lower is better. Source: VLM-RL ("center deviation").
    """
    return episode.offset if episode.steps else math.nan


def all_infractions(episode: Episode) -> float:
    """Number of infractions of all kinds of an episode, endings such as "off the route" and "stuck" included."""
    return float(sum(infractions(episode).values()))


def steps(episode: Episode) -> float:
    """Steps of an episode."""
    return float(episode.steps)


def kilometres(episode: Episode) -> float:
    """Kilometres of an episode; less than a millimetre is none."""
    return episode.distance / 1000.0 if episode.distance >= LEAST_DISTANCE else 0.0


def seconds(episode: Episode) -> float:
    """Simulated seconds of an episode."""
    return episode.seconds


@dataclass(frozen=True)
class Measure:
    """How a figure comes from episodes.

    Attributes:
        name: key in files.
        title: for people, with the paper's letters and the unit.
        kind: `mean`, `total` or `rate` of the episodes' values; `ratio`: their sum by the sum of `per`; `interval`:
            the other way round.
        value: of an episode.
        per: of an episode, for `ratio` and `interval`.
        better: `higher`, `lower`, or empty where neither is.
        scale: factor for people; 100 for per cent.
        digits: decimals for people.
        text: what it is, where the value's own description does not say it.
    """

    name: str
    title: str
    kind: Literal["mean", "total", "rate", "ratio", "interval"]
    value: Value
    per: Value | None = None
    better: Literal["higher", "lower", ""] = ""
    scale: float = 1.0
    digits: int = 2
    text: str = ""

    @property
    def definition(self) -> str:
        """What it is, its range, direction and source, in a paragraph."""
        return self.text or " ".join((self.value.__doc__ or "").split())

    def figure(self, episodes: Sequence[Episode]) -> Interval:
        """The figure of some episodes with its 95 % interval.

        Raises:
            UsageError: they were driven in several simulators.
        """
        kept = driven(episodes)
        if kept:
            one_backend(kept)
        values, roads = [self.value(one) for one in kept], [one.road for one in kept]
        if self.kind == "mean":
            return intervals.mean(values, roads)
        if self.kind == "total":
            return intervals.total(values, roads)
        if self.kind == "rate":
            known = [(value, road) for value, road in zip(values, roads, strict=True) if not math.isnan(value)]
            return intervals.rate([bool(value) for value, _ in known], [road for _, road in known])
        per = self.per or steps
        found = intervals.ratio(values, [per(one) for one in kept], roads)
        return intervals.inverse(found) if self.kind == "interval" else found

    def shown(self, figure: Interval) -> str:
        """The figure for people; where nothing happened what is known instead: more than so much without one."""
        if self.kind == "interval" and math.isnan(figure.mean) and not math.isnan(figure.low):
            return f"above {figure.low * self.scale:.{self.digits}f}"
        return figure.text(self.scale, self.digits).replace("nan", "∞" if self.kind == "interval" else "–")


def _events(
    name: str, title: str, value: Value, per: Value, text: str, scale: float = 1.0, digits: int = 2
) -> Measure:
    """A measure that is a sum by a sum; less of it is better."""
    return Measure(name, title, "ratio", value, per, "lower", scale, digits, text)


OURS: tuple[Measure, ...] = (
    Measure("driving_score", "driving score", "mean", driving_score, better="higher", digits=3),
    Measure("route_completion", "route completion (RC)", "mean", route_completion, better="higher", digits=3),
    Measure("success_rate", "success rate (SR), %", "rate", success_rate, better="higher", scale=100, digits=1),
    Measure("collision_rate", "collision rate (CR), %", "rate", collision_rate, better="lower", scale=100, digits=1),
    Measure("average_speed", "average speed (AS), km/h", "mean", average_speed, better="higher"),
    Measure("total_distance", "total distance (TD), m", "total", total_distance, digits=0),
    Measure("collision_speed", "collision speed (CS), km/h", "mean", collision_speed, better="lower"),
    _events(
        "collisions_per_step",
        "collisions per 1,000 steps (CPS)",
        collisions,
        steps,
        "CPS: collisions / steps, sum over sum. Range [0, 1] with one a step, lower is better. Source: ours; VLM-RL "
        "averages the rates of single episodes.",
        scale=1000,
        digits=3,
    ),
    _events(
        "collisions_per_km",
        "collisions per km (CPM)",
        collisions,
        kilometres,
        "CPM: collisions / kilometres driven, sum over sum. Range [0, inf), lower is better; – where no metre was "
        "driven. Source: ours, after VLM-RL's.",
    ),
    Measure(
        "time_between_collisions",
        "time between collisions (ICT), s",
        "interval",
        collisions,
        seconds,
        "higher",
        digits=0,
        text="ICT: simulated seconds / collisions, sum over sum. Range (0, inf), higher is better; where nothing was "
        "hit, the lower end of its interval (exact Poisson). Source: ours; VLM-RL forgets what follows the last one.",
    ),
    Measure("off_route", "off the route, % of steps", "mean", off_route, better="lower", scale=100),
    Measure("lane_offset", "distance from the lane's centre, m", "mean", lane_offset, better="lower", digits=3),
    _events(
        "infractions_per_km",
        "infractions per km",
        all_infractions,
        kilometres,
        "Infractions of all kinds / kilometres driven, sum over sum. Range [0, inf), lower is better; – where no "
        "metre was driven. Source: CARLA Leaderboard, which averages over routes.",
    ),
    Measure("infraction_penalty", "infraction penalty", "mean", infraction_penalty, better="higher", digits=3),
)
VLM_RL: tuple[Measure, ...] = (
    Measure("vlm_rl_route_completion", "RC", "mean", vlm_rl.route_completion, better="higher", digits=3),
    Measure("vlm_rl_success_rate", "SR, %", "rate", vlm_rl.success_rate, better="higher", scale=100, digits=1),
    Measure("vlm_rl_collision_speed", "CS, km/h", "mean", vlm_rl.collision_speed, better="lower"),
    Measure("vlm_rl_collisions_per_step", "CPS, per 1,000", "mean", vlm_rl.collisions_per_step, None, "lower", 1e3, 3),
    Measure("vlm_rl_collisions_per_km", "CPM", "mean", vlm_rl.collisions_per_km, better="lower"),
)
MEASURES: tuple[Measure, ...] = (*OURS, *VLM_RL)


def figures(episodes: Iterable[Episode]) -> dict[str, Interval]:
    """Every figure of some episodes, by name.

    Raises:
        UsageError: they were driven in several simulators.
    """
    kept = driven(episodes)
    return {measure.name: measure.figure(kept) for measure in MEASURES}
