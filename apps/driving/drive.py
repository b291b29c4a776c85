"""`drive`: one route by one policy, with a live line of what the car does, and a film of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from apps.driving.drive_view import end_line, hears_ctrl_c, status, status_line
from apps.driving.env_config import RouteConfig, ViewConfig
from apps.driving.evaluate_config import DriveSettings
from common import ui
from common.errors import UsageError

if TYPE_CHECKING:
    from apps.driving.drivers.base import Driver
    from apps.driving.environment.env import DrivingEnv
    from apps.driving.measures.episodes import Episode
    from apps.driving.roads.network import RoadNetwork
    from apps.driving.roads.routes import Route

#: Random routes that are planned where a map has no fixed ones.
PLANNED = 8
INTERRUPTED = 130
STOPPED = "stopped by hand"
Scorer = Callable[[Mapping[str, Any]], dict[str, float]]


@dataclass
class Drive:
    """What a drive came to.

    Attributes:
        episode: its summary.
        film: the recording, where one was made.
        interrupted: somebody pressed Ctrl-C.
    """

    episode: Episode
    film: str | None
    interrupted: bool


def run_drive(
    config: DriveSettings,
    policy: str = "pocket",
    backend: str | None = None,
    host: str | None = None,
    port: int | None = None,
    town: str | None = None,
    route: str | None = None,
    vehicles: int = 10,
    walkers: int = 0,
    record: str | None = None,
    parts: str | None = None,
    json_output: bool = False,
) -> int:
    """Drive one route, with a status line while it lasts and the summary at its end.

    Args:
        config: the settings; `seed` is that of route and traffic.
        policy: pocket, rule-based, random, a run folder or a saved policy.
        backend: embedded, carla or auto, in place of the configured one.
        host: of the CARLA server.
        port: of the CARLA server.
        town: name of a map or path of one; the first of `evaluate.maps` where not given.
        route: name of one of the map's fixed routes; the seed picks one where not given.
        vehicles: other cars.
        walkers: pedestrians.
        record: .mp4 or .gif file to write.
        parts: recipe whose value and parts are shown; the environment's own where not given.
        json_output: print the summary as JSON.

    Returns:
        0; 1 where the simulator broke the drive off; 130 after Ctrl-C, with everything closed and the film kept.
    """
    from apps.driving.backends.base import Traffic
    from apps.driving.backends.choose import chosen
    from apps.driving.drivers.base import env_of
    from apps.driving.drivers.load import load_driver
    from apps.driving.environment.env import DrivingEnv
    from apps.driving.measures.episodes import LOST
    from apps.driving.recording import open_recorder
    from apps.driving.roads.library import load_roads

    seed = config.seed
    if seed < 0:
        raise UsageError(f"--seed is {seed}; it must be 0 or more")
    town = town or next(iter(config.evaluate.maps), "town")
    folders = config.env.routes.folders
    roads = load_roads(town, tuple(folders))
    driver = load_driver(policy, config.env)
    own = env_of(driver, config.env)
    scorer, picture = _scorer(config, parts)
    settings = replace(
        own, routes=RouteConfig(maps=[town], folders=folders, pool=PLANNED), end=config.evaluate.end, picture=picture
    )
    simulator = chosen(config.simulator, roads, backend, host, port)
    recorder = None if record is None else open_recorder(record, 1.0 / simulator.config.dt)
    env = DrivingEnv(settings, simulator, render_mode=None if record is None else "rgb_array")
    way = _route(env, roads, route, seed)
    found = drive(env, driver, way, Traffic(vehicles, walkers), seed, recorder, scorer, json_output)
    if json_output:
        ui.print_json({**found.episode.to_dict(track=False), "film": found.film, "interrupted": found.interrupted})
    else:
        ui.say(end_line(found.episode, found.film))
    return INTERRUPTED if found.interrupted else int(found.episode.cause == LOST)


def drive(
    env: DrivingEnv,
    driver: Driver,
    route: Route,
    traffic: Any,
    seed: int = 0,
    recorder: Any = None,
    scorer: Scorer | None = None,
    quiet: bool = False,
) -> Drive:
    """Drive to the end, or to Ctrl-C; either way the simulator is closed and the film is finished.

    Args:
        env: closed afterwards.
        driver: that drives.
        route: that it drives.
        traffic: who else is there.
        seed: of everything random.
        recorder: takes the frames.
        scorer: from `info` to the reward's value and parts.
        quiet: show no status line.
    """
    from apps.driving.drivers.base import begin
    from apps.driving.environment.termination import Ending
    from apps.driving.measures.episodes import Case
    from apps.driving.measures.vlm_rl import episode_of
    from apps.driving.recording import Recording

    interrupted, summary = False, None
    with ExitStack() as stack:
        stack.callback(env.close)
        recording = stack.enter_context(Recording(recorder))
        show = stack.enter_context(status_line(quiet))
        stopped = stack.enter_context(hears_ctrl_c())
        try:
            begin(driver, seed)
            observation, info = env.reset(seed=seed, options={"route": route, "traffic": traffic})
            while summary is None:
                _record(env, recording)
                observation, own, _, _, info = env.step(driver.act(observation))
                scores = {"reward": float(own)} if scorer is None else scorer(info)
                show(status(info["state"], scores))
                summary = info.get("summary")
                if summary is None and stopped():
                    raise KeyboardInterrupt
            _record(env, recording)
        except KeyboardInterrupt:
            interrupted = True
            if not hasattr(env, "summary"):
                raise
            summary = env.summary.result(Ending(STOPPED, truncated=True))
    case = Case(route.town, route.name, traffic.vehicles, traffic.walkers, traffic.parked, seed)
    episode = episode_of(case, driver.name, summary, route)
    return Drive(episode, None if recording.path is None else str(recording.path), interrupted)


def _record(env: DrivingEnv, recording: Any) -> None:
    if recording.recorder is not None:
        recording.recorder.add(env.render())


def _route(env: DrivingEnv, roads: RoadNetwork, name: str | None, seed: int) -> Route:
    """The fixed route of that name, one of them by the seed, or a random one where the map has none."""
    import numpy as np

    from apps.driving.roads.route_files import evaluation_routes
    from common.errors import DataError

    try:
        fixed = evaluation_routes(roads)
    except DataError:
        if name is not None:
            raise
        return env.source.take(np.random.default_rng(seed))
    if name is None:
        return fixed[seed % len(fixed)]
    found = next((one for one in fixed if one.name == name), None)
    if found is None:
        raise UsageError(f"no route {name!r} in {roads.name!r}; there are {', '.join(one.name for one in fixed)}")
    return found


def _scorer(config: DriveSettings, recipe: str | None) -> tuple[Scorer | None, ViewConfig]:
    """Scores single steps with a recipe's reward, and the picture that it looks at."""
    if recipe is None:
        return None, ViewConfig()
    import torch

    from apps.driving.rewards import build

    reward = build(config.reward.of(recipe))
    looks = "images" in reward.needs

    def score(info: Mapping[str, Any]) -> dict[str, float]:
        columns: dict[str, Any] = {
            "state": {name: torch.tensor([value], dtype=torch.float32) for name, value in info["state"].items()},
            "group": torch.zeros(1, dtype=torch.long),
        }
        if looks:
            columns["images"] = torch.from_numpy(info["image"]).float()[None] / 255.0
        output = reward(**columns)
        parts = {name: float(part[0]) for name, part in output.parts.items()}
        return {"reward": float(output.values[0]), **parts}

    picture = config.env.picture if config.env.picture.kind == "rgb" else ViewConfig("rgb")
    return score, picture if looks else ViewConfig()
