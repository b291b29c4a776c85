"""The environment: one class in front of every simulator.

Map, route, observation, reward, termination and summary live here, on plain numbers; the simulator below only moves
things (`apps.driving.backends.base.Backend`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from apps.driving.backends.base import Backend, BackendLost, Frame, Scenario, Traffic
from apps.driving.env_config import CLEAR, EnvConfig, ViewConfig
from apps.driving.environment.actions import Actions
from apps.driving.environment.route_source import RouteSource
from apps.driving.environment.summary import Summary
from apps.driving.environment.termination import GOES_ON, Ending, Termination
from apps.driving.environment.tracker import RouteTracker
from apps.driving.observation import camera
from apps.driving.observation.bev import View
from apps.driving.observation.measures import Way, hazard, in_ego_frame, measures, neighbours, spread
from apps.driving.observation.space import space
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route
from common.errors import UsageError

Observation = dict[str, NDArray[Any]]

#: Steps whose distances from the lane's centre, and whose steers, are spread over, as in VLM-RL.
STEADY = 30
#: What `render` shows.
RENDERED = ViewConfig("rgb", size=512, metres=64.0, behind=0.35)
#: Half the width of the corridor ahead that must be free, in metres.
CORRIDOR = 1.1


class DrivingEnv(gymnasium.Env[Observation, Any]):
    """Drive a route.

    Observation: a dictionary of `measures` `(9,)`, `waypoints` `(P, 2)`, `neighbours` `(K, 8)` where K > 0, and `bev`
    where wanted (`(C, H, W)` masks or `(3, H, W)` RGB, uint8). Action: steer and pedals in [-1, 1], or a number of a
    pair. Reward: the metres of route gained in units of what the target speed covers in a step, so about 1 a step, and
    `penalty` instead where the episode ends badly; richer rewards go around it (`apps.driving.rewards`), for which
    `info["state"]` has what they read.

    Args:
        config: settings.
        backend: makes a simulator for a road network; the embedded one where not given.
        render_mode: `rgb_array` or None.
        rank: number of this environment among several in parallel, which sets their random numbers apart.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - gymnasium's own form

    def __init__(
        self,
        config: EnvConfig | None = None,
        backend: Callable[[RoadNetwork], Backend] | None = None,
        render_mode: str | None = None,
        rank: int = 0,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"render_mode {render_mode!r}: choose rgb_array or None")
        self.config = config or EnvConfig()
        self.render_mode = render_mode
        self.rank = rank
        self.source = RouteSource(self.config.routes)
        self.actions = Actions(self.config.action)
        self.action_space = self.actions.space
        self._make_backend = backend or _embedded
        self._backends: dict[str, Backend] = {}
        self._ended = True
        self.views = {name: View(one) for name, one in self._wanted() if one.kind in ("masks", "rgb")}
        bev = self.views["bev"].shape if "bev" in self.views else None
        self.observation_space: spaces.Dict = space(self.config.observation, bev)  # type: ignore[assignment]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of everything random from here on.
            options: `route` (a `Route` or the name of one in the route file) and `traffic` (a `Traffic`) in place of
                the next ones.

        Raises:
            UsageError: an option is unknown or does not fit.
            BackendUnavailable: the simulator cannot be reached.
        """
        super().reset(seed=None if seed is None else seed + self.rank)
        options = dict(options or {})
        route, traffic = options.pop("route", None), options.pop("traffic", None)
        if options:
            raise UsageError(f"unknown reset options {sorted(options)}; there are route and traffic")
        rng = self.np_random
        route = self.source.take(rng) if route is None else self.source.named(route)
        return self._begin(Scenario(route, traffic or self._traffic(rng), int(rng.integers(2**31))))

    def _begin(self, scenario: Scenario) -> tuple[Observation, dict[str, Any]]:
        self.scenario = scenario
        self.route: Route = scenario.route
        self.roads = self.source.roads(self.route.town)
        self.backend = self._backend(self.roads)
        self.frame: Frame = self.backend.reset(scenario)
        self.dt = self.backend.dt
        sight = self.config.observation
        self.way = Way(self.route, sight.waypoints * sight.spacing)
        self.tracker = RouteTracker(self.route, self.config.end.off_route)
        ego = self.frame.ego
        self.tracker.start(ego.x, ego.y, ego.yaw)
        self.termination = Termination(self.config.end, self.dt)
        self.offsets: deque[float] = deque(maxlen=STEADY)
        self.steers: deque[float] = deque(maxlen=STEADY)
        self.actions.reset()
        self.summary = Summary(self.route, self.backend.name, scenario.traffic, scenario.seed)
        self._steer = ego.steer
        self._ended = False
        for view in self.views.values():
            view.reset(self.roads, self.route, self.frame)
        observation, blocked = self._observe()
        info = self._info(self._state(0.0, blocked, GOES_ON))
        return observation, info | {"route": self.route.name, "town": self.route.town}

    def step(self, action: Any) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive on for one step.

        Raises:
            ValueError: the action has another shape, or holds NaN or infinity.
            RuntimeError: the episode is over, or was not begun.
        """
        if self._ended:
            raise RuntimeError("the episode is over; call reset() before the next step()")
        control = self.actions.control(action)
        before = self.frame
        try:
            frame = self.backend.step(control)
        except BackendLost as error:
            return self._lost(error)
        self.frame = frame
        ego = frame.ego
        reach = max(abs(ego.speed), abs(before.ego.speed)) * self.dt
        gained = self.tracker.update(ego.x, ego.y, ego.yaw, reach)
        for view in self.views.values():
            view.update(frame)
        observation, blocked = self._observe()
        end = self.route.xyz[-1]
        gap = math.hypot(ego.x - end[0], ego.y - end[1])
        ending = self.termination.check(ego.speed, frame.collisions, self.tracker, gap, blocked)
        state = self._state(gained, blocked, ending)
        info = self._info(state)
        self.summary.add(before, frame, state, self.tracker, self.dt)
        if ending.cause:
            info |= self._over(ending)
        return observation, self._reward(gained, ending), ending.terminated, ending.truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """The scene from above as people want to see it, `(H, W, 3)` uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        from apps.driving.observation.render import annotate

        place = self.tracker.place
        return annotate(self.views["render"].draw(place.s), self.frame, self.tracker.progress, place.offset)

    def close(self) -> None:
        """Leave the simulators as they were found."""
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()
        self._ended = True

    def _wanted(self) -> list[tuple[str, ViewConfig]]:
        wanted = [("bev", self.config.observation.bev), ("image", self.config.picture)]
        if self.render_mode is not None:
            wanted.append(("render", RENDERED))
        return wanted

    def _info(self, state: dict[str, float]) -> dict[str, Any]:
        info: dict[str, Any] = {"state": state}
        if self.config.picture.kind == "camera":
            info["image"] = camera.picture(self.frame, self.config.picture.size)
        elif "image" in self.views:
            info["image"] = self.views["image"].draw(self.tracker.place.s)
        return info

    def _reward(self, gained: float, ending: Ending) -> float:
        if ending.terminated and not ending.success:
            return self.config.penalty
        return gained * self.tracker.length / (self.config.target_speed * self.dt)

    def _observe(self) -> tuple[Observation, float]:
        config = self.config.observation
        ego, tracker, actors = self.frame.ego, self.tracker, self.frame.actors
        ahead = self.way.ahead(tracker.place.s, config.waypoints, config.spacing)
        reach = config.waypoints * config.spacing
        blocked = hazard(ahead, actors, config.spacing, CORRIDOR)
        free = min(blocked / reach, 1.0)
        found: Observation = {
            "measures": measures(ego, tracker.place, tracker.remaining, tracker.tolerance, free),
            "waypoints": (in_ego_frame(ahead, ego) / reach).astype(np.float32),
        }
        if config.neighbours:
            found["neighbours"] = neighbours(ego, actors, config)
        if "bev" in self.views:
            found["bev"] = self.views["bev"].draw(tracker.place.s)
        return found, blocked

    def _state(self, gained: float, blocked: float, ending: Ending) -> dict[str, float]:
        """What rewards read; see `apps.driving.rewards`."""
        frame, tracker = self.frame, self.tracker
        ego, place = frame.ego, tracker.place
        self.offsets.append(abs(place.offset))
        self.steers.append(ego.steer)
        steer, self._steer = self._steer, ego.steer
        hit = frame.collisions[0] if frame.collisions else None
        return {
            "speed": ego.speed,
            "offset": place.offset,
            "heading": place.heading,
            "offset_std": spread(self.offsets),
            "steer": ego.steer,
            "steer_change": ego.steer - steer,
            "steer_std": spread(self.steers),
            "throttle": ego.throttle,
            "brake": ego.brake,
            "acceleration": ego.acceleration,
            "progress": tracker.progress,
            "progress_change": gained,
            "distance": gained * tracker.length,
            "lane_width": place.lane_width,
            "speed_limit": float(self.route.speed_limit[place.point]),
            "off_route": float(tracker.off_route),
            "collision": float(hit is not None),
            "collision_speed": abs(hit.speed) if hit is not None else 0.0,
            "red_light": 0.0,
            "success": float(ending.success),
            "terminated": float(ending.terminated),
            "truncated": float(ending.truncated),
            "hazard": min(blocked, CLEAR),
            "time": frame.time,
            "step": float(self.termination.steps),
        }

    def _lost(self, error: BackendLost) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """The simulator's failure is not the driver's: the episode is cut off, with the last observation."""
        ending = Ending("backend lost", truncated=True)
        # What was hit in the step before was told then.
        self.frame = self.frame._replace(collisions=())
        observation, blocked = self._observe()
        info = self._info(self._state(0.0, blocked, ending)) | self._over(ending)
        return observation, 0.0, False, True, info | {"backend_lost": str(error)}

    def _over(self, ending: Ending) -> dict[str, Any]:
        """What the last step of an episode tells beside its state; the numbers go into the training's log."""
        self._ended = True
        summary = self.summary.result(ending)
        return {
            "cause": ending.cause,
            "is_success": ending.success,
            "route_completion": summary["route_completion"],
            "collided": float(summary["collided"]),
            "summary": summary,
        }

    def _backend(self, roads: RoadNetwork) -> Backend:
        """The simulator of a road network."""
        if roads.digest not in self._backends:
            if any(one.name != "embedded" for one in self._backends.values()):
                # A server has one map at a time, and whoever leaves it sets back what he found.
                self.close()
            backend = self._make_backend(roads)
            backend.connect()
            self._backends[roads.digest] = backend
        return self._backends[roads.digest]

    def _traffic(self, rng: np.random.Generator) -> Traffic:
        bounds = self.config.traffic
        low, high = zip(bounds.vehicles, bounds.walkers, bounds.parked, strict=True)
        return Traffic(*(int(one) for one in rng.integers(low, high, endpoint=True)))


def _embedded(roads: RoadNetwork) -> Backend:
    from apps.driving.backends.embedded import EmbeddedBackend

    return EmbeddedBackend(roads)
