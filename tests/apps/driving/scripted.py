"""A simulator that tells a prepared story, for tests of what the environment makes of it."""

from __future__ import annotations

import math

import numpy as np

from apps.driving.backends.base import NOBODY, Actors, Ego, Frame, Kind
from apps.driving.env_config import EnvConfig, RouteConfig, TrafficConfig, ViewConfig
from apps.driving.environment.env import DrivingEnv


def settings(vehicles=0, bev="none", picture="none", **end):
    """A small environment; `end` are its rules of ending."""
    config = EnvConfig(traffic=TrafficConfig(vehicles=[vehicles, vehicles]), routes=RouteConfig(pool=4))
    config.observation.bev = ViewConfig(bev, size=32)
    config.picture = ViewConfig(picture, size=48)
    for name, value in end.items():
        setattr(config.end, name, value)
    return config


def drive(env, actions):
    """Infos of a drive until it ends."""
    infos = []
    for action in actions:
        *_, terminated, truncated, info = env.step(action)
        infos.append(info)
        if terminated or truncated:
            break
    return infos


class Scripted:
    """A simulator that tells a prepared story along the route.

    A moment may say: metres `ahead` of the last place, metres to the `right`, `turn`, `speed`, `hits`, and how many
    metres ahead a `car` stands. An exception is raised; the last moment goes on for ever.
    """

    name = "scripted"
    dt = 0.1

    def __init__(self, moments):
        self.moments = list(moments)

    def connect(self):
        pass

    def close(self):
        pass

    def reset(self, scenario):
        self.route, self.number, self.ahead = scenario.route, 0, 0.0
        return self.frame(0.0, 0.0, 0.0, ())

    def step(self, control):
        moment = self.moments[min(self.number, len(self.moments) - 1)]
        if isinstance(moment, Exception):
            raise moment
        self.number += 1
        self.ahead += moment.get("ahead", 0.0)
        return self.frame(self.ahead, moment.get("right", 0.0), moment.get("turn", 0.0), moment.get("hits", ()))

    def frame(self, ahead, right, turn, hits):
        s, xyz = self.route.s, self.route.xyz
        x, y, z = (float(np.interp(ahead, s, xyz[:, axis])) for axis in range(3))
        yaw = float(self.route.yaw[min(int(np.searchsorted(s, ahead)), len(s) - 1)])
        x, y = x - right * math.sin(yaw), y + right * math.cos(yaw)
        moment = self.moments[min(max(self.number - 1, 0), len(self.moments) - 1)]
        speed = moment.get("speed", moment.get("ahead", 0.0) / self.dt) if isinstance(moment, dict) else 0.0
        others = NOBODY
        if isinstance(moment, dict) and "car" in moment:
            others = self.standing(ahead + moment["car"])
        return Frame(self.number, self.number * self.dt, Ego(x, y, z, yaw + turn, speed), others, tuple(hits))

    def standing(self, ahead):
        """A car that stands on the route."""
        place = [float(np.interp(ahead, self.route.s, self.route.xyz[:, axis])) for axis in range(3)]
        yaw = float(self.route.yaw[min(int(np.searchsorted(self.route.s, ahead)), len(self.route.s) - 1)])
        ids, kinds = np.array([7], np.int64), np.array([Kind.VEHICLE], np.int8)
        return Actors(ids, kinds, np.array([[*place, yaw]]), np.zeros(1), np.array([[2.4, 0.95]]))


def scripted(moments, town="town", **end):
    """An environment in which this happens."""
    config = settings(**end)
    config.routes.maps = [town]
    env = DrivingEnv(config, backend=lambda roads: Scripted(moments))
    env.reset(seed=0)
    return env
