"""Plays acts through the real environment: its tracker, rules and pictures say what a puppet's driving comes to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.auditing.acts import GOOD, WRONG, Act, Scene, good
from apps.driving.backends.base import NOBODY, Actors, Collision, Control, Ego, Frame, Kind, Scenario, Traffic
from apps.driving.env_config import EnvConfig, TrafficConfig
from apps.driving.environment.env import DrivingEnv
from common.errors import UsageError

#: Steps of good driving before an act, at least and at most; 30 fill the window that stability is measured on.
BEFORE = (32, 45)
#: Bounds of good driving's speed, as shares of the target speed.
PACES = (0.9, 1.05)
#: Steps of an act.
LENGTH = 30
#: Half the length of a car: so far apart are two middles that touch is twice this.
HALF_CAR = 2.4


@dataclass
class Steps:
    """Transitions in order, of one drive or act after the other.

    Attributes:
        states: `info["state"]` of each.
        pictures: the view that rewards look at, `(3, H, W)` uint8, or None where none was made or wanted.
        episodes: number of the drive or act that each belongs to.
    """

    states: list[Mapping[str, float]] = field(default_factory=list)
    pictures: list[NDArray[np.uint8] | None] = field(default_factory=list)
    episodes: list[int] = field(default_factory=list)

    def add(self, episode: int, info: Mapping[str, Any], picture: bool) -> None:
        """Take in one transition."""
        self.states.append(info["state"])
        self.pictures.append(info["image"] if picture and "image" in info else None)
        self.episodes.append(episode)

    def __len__(self) -> int:
        """Transitions."""
        return len(self.states)


@dataclass(frozen=True)
class Played:
    """Acts and their transitions.

    Attributes:
        steps: of all acts; number i in `episodes` is act i.
        acts: name of each.
        scenes: which scene each was played in: acts of one scene belong together.
    """

    steps: Steps
    acts: Sequence[str]
    scenes: Sequence[int]


class Puppet:
    """A simulator in which the car goes where an act says. Its controls do nothing.

    Attributes:
        scene: what the next episode is played in.
        act: what comes after the good beginning.
    """

    name = "puppet"
    dt = 0.1

    def __init__(self) -> None:
        self.act: Act = good
        self.scene = Scene(7.0, 1.0, math.pi, 3.5, 14.0, 25.0)
        self.others = NOBODY

    def connect(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def reset(self, scenario: Scenario) -> Frame:
        """At the start of the route."""
        self.route, self.number, self.steer = scenario.route, 0, 0.0
        self.others = NOBODY
        if self.act is WRONG["into a standing car"]:
            x, y, z, yaw = self._place(self.scene.start + self.scene.speed * 1.5 + 2 * HALF_CAR, 0.0)
            self.others = Actors(
                np.array([1], np.int64),
                np.array([Kind.VEHICLE], np.int8),
                np.array([(x, y, z, yaw)]),
                np.zeros(1),
                np.array([(HALF_CAR, 0.95)]),
            )
        return self._frame()

    def step(self, control: Control) -> Frame:
        """One step further along the act."""
        self.number += 1
        return self._frame()

    def _frame(self) -> Frame:
        scene = self.scene
        began = round(scene.start / (scene.speed * self.dt))
        t = (self.number - began) * self.dt
        pose = good(scene, t) if t <= 0.0 else self.act(scene, t)
        x, y, z, yaw = self._place(scene.start + pose.ahead, pose.right)
        hits = (Collision(self.number, 1, Kind.VEHICLE, pose.speed),) if pose.hit else ()
        ego = Ego(x, y, z, yaw + pose.turn, pose.speed, steer=pose.steer, throttle=0.3 * (pose.speed > 0.0))
        return Frame(self.number, self.number * self.dt, ego, self.others, hits)

    def _place(self, s: float, right: float) -> tuple[float, float, float, float]:
        """X, y, z and yaw at a place along the route."""
        route = self.route
        x, y, z = (float(np.interp(s, route.s, route.xyz[:, axis])) for axis in range(3))
        yaw = float(route.yaw[min(int(np.searchsorted(route.s, s)), len(route.s) - 1)])
        return x - right * math.sin(yaw), y + right * math.cos(yaw), z, yaw


def play(
    config: EnvConfig, scenes: int, seed: int = 0, stride: int = 0, told: Callable[[int], None] | None = None
) -> Played:
    """Every act of `WRONG`, and good driving, in so many scenes.

    Args:
        config: of the environment: maps, rules of ending, target speed, picture.
        scenes: how many; each on a route drawn anew.
        seed: equal seeds give equal acts.
        stride: steps from one picture to the next; 0 makes none.
        told: called with the scenes that are done.

    Raises:
        UsageError: good driving itself would end the episode, for it is too fast.
    """
    fastest = config.target_speed * PACES[1]
    if 0 < config.end.top_speed < fastest:
        raise UsageError(
            f"env.target_speed {config.target_speed:g} m/s: good driving, up to {fastest:.3g} m/s here, would end the "
            f"episode at env.end.top_speed {config.end.top_speed:.3g}; lower the one or raise the other"
        )
    puppet = Puppet()
    config = replace(config, traffic=TrafficConfig([0, 0], [0, 0], [0, 0]))
    env = DrivingEnv(config, backend=lambda roads: puppet)
    rng = np.random.default_rng(seed)
    steps = Steps()
    names: list[str] = []
    owners: list[int] = []
    for number in range(scenes):
        route = env.source.take(rng)
        speed = config.target_speed * float(rng.uniform(*PACES))
        before = int(rng.integers(*BEFORE))
        limit = float(route.speed_limit[min(before, len(route.speed_limit) - 1)])
        puppet.scene = Scene(
            speed=speed,
            side=float(rng.choice([-1.0, 1.0])),
            turn=math.radians(float(rng.uniform(132.0, 180.0))),
            lane_width=float(route.width[min(before, len(route.width) - 1)]),
            fast=max(limit, config.target_speed) * float(rng.uniform(1.2, 1.8)),
            start=before * puppet.dt * speed,
        )
        for name, act in {GOOD: good, **WRONG}.items():
            puppet.act = act
            _play(env, steps, len(names), before, stride, {"route": route, "traffic": Traffic()})
            names.append(name)
            owners.append(number)
        if told is not None:
            told(number + 1)
    env.close()
    return Played(steps, names, owners)


def _play(env: DrivingEnv, steps: Steps, episode: int, before: int, stride: int, options: Mapping[str, Any]) -> None:
    """One act; its transitions come into `steps`, those before it do not."""
    idle = env.action_space.sample() if env.actions.discrete else np.zeros(2, np.float32)
    env.reset(seed=0, options=dict(options))
    for _ in range(before):
        env.step(idle)
    for number in range(LENGTH):
        *_, terminated, truncated, info = env.step(idle)
        steps.add(episode, info, bool(stride) and number % stride == 0)
        if terminated or truncated:
            break
