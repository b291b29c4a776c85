"""Drives of mixed quality on the embedded simulator: whole episodes that a reward should rank as the field does."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.auditing.play import Steps
from apps.driving.backends.base import Traffic
from apps.driving.drivers.base import Driver
from apps.driving.drivers.random_driver import RandomDriver
from apps.driving.drivers.rule_based import RuleBased
from apps.driving.env_config import EnvConfig
from apps.driving.environment.actions import Actions
from apps.driving.environment.env import DrivingEnv
from apps.driving.measures.episodes import Case, Episode
from apps.driving.measures.scores import driving_score
from apps.driving.pocket.drives import Faulty
from common.errors import UsageError


class Stopping:
    """Drives well for a while, then brakes for good."""

    name = "stopping"

    def __init__(self, config: EnvConfig, rng: np.random.Generator) -> None:
        self.driver = RuleBased(config)
        self.left = int(rng.integers(30, 150))

    def act(self, observation: Mapping[str, NDArray[Any]]) -> Any:
        """Steer and pedals."""
        self.left -= 1
        action = self.driver.act(observation)
        return action if self.left > 0 else np.array([action[0], -1.0], np.float32)


Maker = Callable[[EnvConfig, np.random.Generator], Any]


def _paced(factor: float) -> Maker:
    return lambda config, rng: RuleBased(replace(config, target_speed=config.target_speed * factor))


def _faulty(manner: str) -> Maker:
    return lambda config, rng: Faulty(config, manner, rng)


#: Drivers by name, from the good to the hopeless.
DRIVERS: Mapping[str, Maker] = {
    "rule-based": lambda config, rng: RuleBased(config),
    "slow": _paced(0.5),
    "too fast": _paced(1.6),
    "shaky": _faulty("shaky"),
    "pulls aside": _faulty("pulling aside"),
    "blind to traffic": _faulty("blind"),
    "stops for good": Stopping,
    "clueless": _faulty("clueless"),
    "random": lambda config, rng: RandomDriver(Actions(config.action).space, int(rng.integers(2**31))),
}


@dataclass(frozen=True)
class Drives:
    """What was driven.

    Attributes:
        steps: of all drives; number i in `episodes` is drive i.
        drivers: name of each drive's driver.
        routes: which route each was on, with the same traffic: drives of one route belong together.
        scores: driving score of each, in [0, 1].
        causes: why each ended.
    """

    steps: Steps
    drivers: Sequence[str]
    routes: Sequence[int]
    scores: Sequence[float]
    causes: Sequence[str]


def drive(
    config: EnvConfig, routes: int, seed: int = 0, stride: int = 0, told: Callable[[int], None] | None = None
) -> Drives:
    """Each driver of `DRIVERS` on each of so many routes, in the traffic that the config has.

    Args:
        config: of the environment; its actions must be continuous.
        routes: how many, drawn anew.
        seed: equal seeds give equal drives.
        stride: steps from one picture to the next; 0 makes none.
        told: called with the drives that are done.

    Raises:
        UsageError: the environment's actions are numbers of a table, which these drivers do not know.
    """
    if config.action.kind != "continuous":
        raise UsageError("the audit's drivers steer continuously; set env.action.kind to continuous")
    env = DrivingEnv(config)
    rng = np.random.default_rng(seed)
    steps = Steps()
    drivers: list[str] = []
    owners: list[int] = []
    scores: list[float] = []
    causes: list[str] = []
    for number in range(routes):
        route = env.source.take(rng)
        bounds = (config.traffic.vehicles, config.traffic.walkers, config.traffic.parked)
        traffic = Traffic(*(int(rng.integers(low, high, endpoint=True)) for low, high in bounds))
        start = int(rng.integers(2**31))
        for name, make in DRIVERS.items():
            own = np.random.default_rng((start, zlib.crc32(name.encode())))
            driver: Driver = make(config, own)
            episode = len(drivers)
            observation, _ = env.reset(seed=start, options={"route": route, "traffic": traffic})
            done, step = False, 0
            while not done:
                observation, _, terminated, truncated, info = env.step(driver.act(observation))
                done = terminated or truncated
                steps.add(episode, info, bool(stride) and (step % stride == 0 or done))
                step += 1
            case = Case(route.town, route.name, traffic.vehicles, traffic.walkers, traffic.parked, start)
            drivers.append(name)
            owners.append(number)
            scores.append(driving_score(Episode.of(case, name, info["summary"])))
            causes.append(info["cause"])
            if told is not None:
                told(len(drivers))
    env.close()
    return Drives(steps, drivers, owners, scores, causes)
