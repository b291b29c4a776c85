"""`--dry_run`: everything that can be wrong with a config, found in seconds."""

from __future__ import annotations

from pathlib import Path

from apps.driving import dry_run_reward
from apps.driving.config import DrivingConfig
from common.training import dry_run
from common.training.dry_run import Check, NotChecked, show

__all__ = ["Check", "check", "show"]


def check(config: DrivingConfig) -> list[Check]:
    """Look at maps, routes, the environment, the algorithm's arithmetic, the simulator and the reward."""
    return dry_run.checks(
        (
            ("maps", lambda: _maps(config)),
            ("held-out maps", lambda: _heldout(config)),
            ("no overlap", lambda: _overlap(config)),
            ("environment", lambda: _environment(config)),
            ("simulator", lambda: _simulator(config)),
            ("batches", lambda: _batches(config)),
            ("clip", lambda: dry_run_reward.clip(config)),
            ("reward", lambda: dry_run_reward.reward(config)),
            ("memory", lambda: _memory(config)),
            ("run folder", lambda: dry_run.folder(config.runs)),
        )
    )


def _here(config: DrivingConfig, names: list[str]) -> None:
    """Raise `NotChecked` where a map may lie in a folder that is not on this machine."""
    from apps.driving.roads.library import known_maps

    folders = tuple(config.env.routes.folders)
    known = known_maps(folders)
    absent = [folder for folder in folders if not Path(folder).expanduser().is_dir()]
    if absent and not all(name in known or Path(name).is_file() for name in names):
        raise NotChecked(f"{', '.join(absent)}: not on this machine; put CARLA's maps there, or set routes.folders")


def _maps(config: DrivingConfig) -> str:
    from apps.driving.roads.library import load_roads

    names = config.env.routes.maps
    _here(config, names)
    sizes = [len(load_roads(name, tuple(config.env.routes.folders))) for name in names]
    return f"{', '.join(names)}: {sum(sizes):,} points of lanes"


def _heldout(config: DrivingConfig) -> str:
    from apps.driving.measures.evaluation import cases

    _here(config, config.evaluate.maps)
    return f"{len(cases(config.evaluate, config.env.routes.folders))} episodes on {', '.join(config.evaluate.maps)}"


def _overlap(config: DrivingConfig) -> str:
    from apps.driving.train import refuse_overlap

    _here(config, [*config.env.routes.maps, *config.evaluate.maps])
    refuse_overlap(config)
    return "no map is both trained on and measured on"


def _environment(config: DrivingConfig) -> str:
    from apps.driving.environment.env import DrivingEnv

    _here(config, config.env.routes.maps)
    env = DrivingEnv(config.env)
    shapes = ", ".join(f"{name} {space.shape}" for name, space in env.observation_space.items())
    return f"observation {shapes}; action {env.action_space}"


def _simulator(config: DrivingConfig) -> str:
    from apps.driving.backends.backend_config import for_worker

    last = for_worker(config.simulator, config.learn.environments - 1)
    if config.simulator.kind != "carla":
        return config.simulator.kind
    from apps.driving.backends.carla_probe import look

    server = config.simulator.carla
    found = look(server.host, server.port, server.answer_timeout)
    if found.kind != "carla":
        starts = f"; {server.server.command[0]} would be started" if server.server.command else ""
        raise NotChecked(
            f"{found.explain(server.host, server.port)}{starts}; ports {server.port} to {last.carla.port + 2} are used"
        )
    return f"carla on {server.host}, ports {server.port} to {last.carla.port}"


def _batches(config: DrivingConfig) -> str:
    config.control.check(config.learn.environments)
    control = config.control
    if control.algorithm == "ppo":
        rollout = control.ppo.rollout * config.learn.environments
        rollouts, batches = -(-control.steps // rollout), rollout // control.ppo.batch_size
        return f"PPO: {rollouts} rollouts of {rollout:,} steps, {batches} batches each"
    return f"SAC: {control.steps:,} steps, {control.sac.updates} updates every {control.sac.collect}"


def _memory(config: DrivingConfig) -> str:
    view, sac = config.env.observation.bev, config.control.sac
    if config.control.algorithm != "sac" or view.kind == "none":
        return "no pictures are kept"
    pixels = view.size**2 * (3 + len(view.history) if view.kind == "masks" else 3)
    size = pixels / 8 if "bev" in sac.binary else pixels
    return f"{sac.buffer_size:,} steps of pictures: {size * sac.buffer_size / 1e9:.1f} GB"
