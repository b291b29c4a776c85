"""Drives that scenes are taken from: good drivers, drivers with faults, and drivers that know nothing yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import Actors, Traffic
from apps.driving.drivers.rule_based import Habits, RuleBased
from apps.driving.env_config import EndConfig, EnvConfig, RouteConfig, TrafficConfig
from apps.driving.environment.env import DrivingEnv
from apps.driving.pocket.moments import PAST, Drawn, Moment

#: How the driver of an episode drives, and how often. A policy that learns drives like all of them in turn.
MANNERS = {"well": 0.2, "blind": 0.3, "pulling aside": 0.15, "shaky": 0.15, "clueless": 0.2}
#: Fewest and most of each other participant, and how often there are any.
TRAFFIC, THERE = ((4, 24), (2, 16), (1, 8)), (0.9, 0.6, 0.7)
#: m/s that a blind driver keeps: faster than traffic, so that he runs into it.
RUSH = (7.0, 10.0)
#: Steps of an episode, and steps between two moments that are taken.
STEPS, STRIDE = 300, (4, 14)
#: Steps before a collision that are taken as well: they are what a reward should have warned of.
BEFORE = (0, 1, 3, 6, 10)
#: Metres from the lane beyond which nothing more is taken.
GONE = 6.0


class Faulty:
    """A rule-based driver with a fault.

    Args:
        config: of the environment.
        manner: one of `MANNERS`.
        rng: of the fault.
    """

    def __init__(self, config: EnvConfig, manner: str, rng: np.random.Generator) -> None:
        self.manner, self.rng = manner, rng
        habits = Habits(headway=float(rng.uniform(0.5, 1.6)), standstill=float(rng.uniform(1.5, 4.0)))
        if manner == "blind":
            config = replace(config, target_speed=float(rng.uniform(*RUSH)))
        self.driver = RuleBased(config, habits)
        self.aside = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.6))
        self.drift = np.zeros(2)
        self.pace = float(rng.uniform(-0.2, 0.6))

    def act(self, observation: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Steer and pedals."""
        self.drift = 0.93 * self.drift + self.rng.normal(0.0, 0.25, 2)
        if self.manner == "clueless":
            return np.clip(0.6 * self.drift + (0.0, self.pace), -1.0, 1.0).astype(np.float32)
        if self.manner == "blind":
            observation = {**observation, "neighbours": np.zeros((0, 8), np.float32)}
        action = self.driver.act(observation)
        if self.manner == "pulling aside":
            action[0] += self.aside
        elif self.manner == "shaky":
            action += 0.8 * self.drift.astype(np.float32)
        return np.clip(action, -1.0, 1.0)


def drive_config(town: str) -> EnvConfig:
    """The environment that scenes are taken from: without pictures, and it goes on off the route."""
    return EnvConfig(
        routes=RouteConfig([town], pool=200),
        traffic=TrafficConfig([0, 0]),
        end=EndConfig(end_off_route=False, stuck_seconds=6.0, top_speed=0.0),
    )


class Drives:
    """Episodes in one town, made one after another.

    Args:
        town: where.
    """

    def __init__(self, town: str) -> None:
        self.config = drive_config(town)
        self.env = DrivingEnv(self.config)

    def episode(self, rng: np.random.Generator) -> tuple[Drawn, Iterator[Moment]]:
        """One episode: its route, and moments of it as they come.

        Args:
            rng: of everything.
        """
        manner = str(rng.choice(list(MANNERS), p=list(MANNERS.values())))
        counts = [
            int(rng.integers(*ends)) * int(rng.random() < often) for ends, often in zip(TRAFFIC, THERE, strict=True)
        ]
        observation, _ = self.env.reset(seed=int(rng.integers(2**31)), options={"traffic": Traffic(*counts)})
        driver = Faulty(self.config, manner, rng)
        return Drawn(self.env.roads, self.env.route), self._moments(observation, driver, rng)

    def _moments(self, observation: Mapping[str, Any], driver: Faulty, rng: np.random.Generator) -> Iterator[Moment]:
        env = self.env
        past: deque[Actors] = deque([env.frame.actors], maxlen=PAST)
        # The last moments, so that those before a collision can still be taken.
        last: deque[Moment] = deque([self._moment(past)], maxlen=max(BEFORE) + 1)
        wait = int(rng.integers(*STRIDE))
        for _ in range(STEPS):
            observation, _, terminated, truncated, info = env.step(driver.act(observation))
            past.append(env.frame.actors)
            last.append(self._moment(past))
            wait -= 1
            if info["state"]["collision"]:
                yield from (last[-1 - ago] for ago in BEFORE if ago < len(last))
            elif wait <= 0:
                wait = int(rng.integers(*STRIDE))
                yield last[-1]
            if terminated or truncated or abs(env.tracker.place.offset) > GONE:
                return

    def _moment(self, past: deque[Actors]) -> Moment:
        return Moment(self.env.frame.ego, tuple(past), self.env.tracker.place)
