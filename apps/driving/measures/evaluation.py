"""Drives a driver over fixed routes, traffic densities and seeds; equal seeds give equal figures, in any order."""

from __future__ import annotations

import hashlib
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from apps.driving.backends.base import Traffic
from apps.driving.backends.choose import Simulator
from apps.driving.drivers.base import Driver, begin, digest_of, env_of
from apps.driving.drivers.load import load_driver
from apps.driving.env_config import EnvConfig, ViewConfig
from apps.driving.environment.env import DrivingEnv
from apps.driving.environment.route_source import EVALUATION
from apps.driving.evaluate_config import EvaluateConfig
from apps.driving.measures.episodes import Case, Episode
from apps.driving.measures.journal import Journal
from apps.driving.measures.vlm_rl import episode_of
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route
from common import ui
from common.errors import UsageError

#: In place of a file: routes planned on the spot, the same ones every time; how many, of what length in m, the seed.
PLANNED = "planned"
PLANS = (10, (150.0, 400.0), 0)


@dataclass(frozen=True)
class Loader:
    """Makes a driver for an environment; can be sent to another process.

    Attributes:
        name: as for `load_driver`.
    """

    name: str

    def __call__(self, config: EnvConfig) -> Driver:
        """The driver."""
        return load_driver(self.name, config)


class Watch(Protocol):
    """What may look on while an episode is driven."""

    def __call__(self, env: DrivingEnv, info: dict[str, Any]) -> None:
        """After the reset and after every step."""


@dataclass(frozen=True)
class Course:
    """All that decides what an episode comes to, but for the case. It can be sent to other processes.

    Attributes:
        make: makes the driver for an environment.
        env: settings of the environment, where the driver brings none.
        evaluate: routes and rules.
        simulator: makes simulators.
        label: what tables call the driver; its own name where empty.
    """

    make: Callable[[EnvConfig], Driver]
    env: EnvConfig
    evaluate: EvaluateConfig
    simulator: Simulator
    label: str = ""

    def open(self, rendered: bool = False) -> Track:
        """The driver in its environment, with the rules and roads of the evaluation."""
        driver = self.make(self.env)
        own = env_of(driver, self.env)
        if own.end.off_route != self.evaluate.end.off_route:
            # The offset is observed in units of it.
            raise UsageError(
                f"{driver.name} was trained with off_route {own.end.off_route} m, but evaluate.end.off_route is "
                f"{self.evaluate.end.off_route} m, and what it observes is in units of that; set both alike"
            )
        routes = replace(own.routes, maps=self.evaluate.maps, folders=self.env.routes.folders, file="", pool=1)
        config = replace(own, routes=routes, end=self.evaluate.end, picture=ViewConfig())
        env = DrivingEnv(config, self.simulator, render_mode="rgb_array" if rendered else None)
        return Track(driver, env, fixed_routes(self.evaluate, self.env.routes.folders), self.label or driver.name)

    def rules(self) -> dict[str, Any]:
        """What an episode holds under, as plain values: the same rules and the same case give the same episode."""
        track = self.open()
        config, routes = track.env.config, track.routes.values()
        towns = sorted({route.town for route in routes})
        return {
            "policy": track.label,
            "digest": digest_of(track.driver),
            "simulator": asdict(self.simulator.config),
            "observation": asdict(config.observation),
            "action": asdict(config.action),
            "end": asdict(config.end),
            "target_speed": config.target_speed,
            "maps": {town: next(route.digest for route in routes if route.town == town) for town in towns},
            "routes": {town: _digest([route for route in routes if route.town == town]) for town in towns},
        }


class Track:
    """A driver in its environment, for one episode after the other.

    Args:
        driver: that drives.
        env: that it drives in.
        routes: by town and name.
        label: what tables call the driver.
    """

    def __init__(self, driver: Driver, env: DrivingEnv, routes: dict[tuple[str, str], Route], label: str) -> None:
        self.driver = driver
        self.label = label
        self.env = env
        self.routes = routes

    def drive(self, case: Case, watch: Watch | None = None) -> Episode:
        """Drive one case to its end.

        Raises:
            UsageError: there is no such route.
        """
        env, driver = self.env, self.driver
        route = self.routes.get((case.town, case.route))
        if route is None:
            names = ", ".join(name for town, name in self.routes if town == case.town)
            raise UsageError(f"no route {case.route!r} in {case.town!r}; there are {names or 'none'}")
        traffic = Traffic(case.vehicles, case.walkers, case.parked)
        begin(driver, zlib.crc32(repr(tuple(case)).encode()))
        observation, info = env.reset(seed=case.seed, options={"route": route, "traffic": traffic})
        done = False
        while not done:
            if watch is not None:
                watch(env, info)
            observation, _, terminated, truncated, info = env.step(driver.act(observation))
            done = terminated or truncated
        if watch is not None:
            watch(env, info)
        return episode_of(case, self.label, info["summary"], route)


def fixed_routes(config: EvaluateConfig, folders: Sequence[str] = ()) -> dict[tuple[str, str], Route]:
    """The routes of an evaluation by town and name, in order.

    Raises:
        UsageError: there is no map, or one file for several maps.
        DataError: a map has no routes.
    """
    from apps.driving.roads.library import load_roads

    if not config.maps:
        raise UsageError("evaluate.maps is empty; name a map, for instance village")
    if config.routes not in (EVALUATION, PLANNED) and len(config.maps) > 1:
        raise UsageError(f"{config.routes} is a file of one map's routes, but evaluate.maps names {config.maps}")
    found = {}
    for name in config.maps:
        roads = load_roads(name, tuple(folders))
        found.update({(roads.name, route.name): route for route in _routes(config.routes, roads)})
    return found


def _routes(routes: str, roads: RoadNetwork) -> list[Route]:
    from apps.driving.roads.planner import random_routes
    from apps.driving.roads.route_files import evaluation_routes, read_routes

    if routes == EVALUATION:
        return evaluation_routes(roads)
    return random_routes(roads, *PLANS) if routes == PLANNED else read_routes(routes, roads)


def cases(config: EvaluateConfig, folders: Sequence[str] = ()) -> list[Case]:
    """Everything that is to be driven: each route in each density with each seed.

    Raises:
        UsageError: there is nothing to drive.
    """
    for name in ("vehicles", "seeds"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values) or min(values) < 0:
            raise UsageError(f"evaluate.{name} is {values}; give one or more different numbers of 0 and up")
    roads: dict[str, list[str]] = {}
    for town, name in fixed_routes(config, folders):
        roads.setdefault(town, []).append(name)
    limit = config.routes_per_map or None
    return [
        Case(town, name, vehicles, config.walkers, config.parked, seed)
        for town, names in roads.items()
        for vehicles in config.vehicles
        for seed in config.seeds
        for name in names[:limit]
    ]


def evaluate(
    course: Course, wanted: Sequence[Case], journal: Journal | None = None, quiet: bool = False
) -> list[Episode]:
    """Drive what was not driven yet, and return all episodes in the order of `wanted`.

    Args:
        course: driver, rules and simulator.
        wanted: what is to be driven.
        journal: keeps episodes as they come; a killed evaluation goes on from it.
        quiet: show no progress.
    """
    done: dict[Case, Episode] = {}
    missing = list(wanted)
    if journal is not None:
        missing = journal.missing(wanted)
        done = {case: journal.done[case] for case in wanted if case not in set(missing)}
    if done and missing:
        ui.say(f"{len(done)} of {len(wanted)} episodes were driven before; going on with the others")
    with ui.progress("driving", len(wanted), quiet) as bar:
        bar(len(done))
        for episode in _drive(course, missing):
            done[episode.case] = episode
            if journal is not None:
                journal.add(episode)
            bar(len(done), f"{episode.case.text}: {episode.cause}")
    return [done[case] for case in wanted]


def _drive(course: Course, wanted: Sequence[Case]) -> Iterator[Episode]:
    """Episodes as they are finished, here or in several processes."""
    processes = min(course.evaluate.processes, len(wanted))
    if course.evaluate.processes < 1:
        raise UsageError(f"evaluate.processes is {course.evaluate.processes}; it must be at least 1")
    if processes > 1 and course.simulator.config.kind == "carla":
        raise UsageError("a CARLA server serves one process; set evaluate.processes to 1")
    if not wanted:
        return
    if processes == 1:
        track = course.open()
        try:
            for case in wanted:
                yield track.drive(case)
        finally:
            track.env.close()
        return
    # Spawned, not forked: whatever threads run here would be forked in the middle of what they do.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_open_here, initargs=(course,))
    try:
        for finished in as_completed([pool.submit(_drive_here, case) for case in wanted]):
            yield finished.result()
    finally:
        pool.shutdown(cancel_futures=True)


#: In a worker process: its driver and environment.
_track: Track | None = None


def _open_here(course: Course) -> None:
    import signal

    import cv2

    global _track
    # The parent hears Ctrl-C and ends the pool; so many tracebacks of workers would help nobody.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _track = course.open()


def _drive_here(case: Case) -> Episode:
    if _track is None:
        raise RuntimeError("this process was not prepared")
    return _track.drive(case)


def _digest(routes: Sequence[Route]) -> str:
    found = hashlib.sha256()
    for route in routes:
        found.update(route.name.encode() + route.xyz.tobytes())
    return found.hexdigest()
