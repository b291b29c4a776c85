"""`train`: PPO or SAC on the configured reward; at the end the driver beside a random and a rule-based one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.driving.config import DrivingConfig
from apps.driving.env_config import ViewConfig
from common.errors import UsageError

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from apps.driving.evaluate import Evaluation
    from common.models.clip import Clip
    from common.rewards.adapters.scores import Scoring
    from common.rewards.adapters.transitions import Columns
    from common.rewards.base import Reward
    from common.training.run import Run
    from common.training.sb3.model import Policy

STAGE = "control"
#: Drivers that every trained one is measured beside.
BESIDE = ("random", "rule-based")
#: Numbers of an episode's last step that go into the log, beside its success.
LOGGED = ("route_completion", "collided")
#: Episodes of a measurement during training.
QUICK = 6


@dataclass(frozen=True)
class Result:
    """What one run did: the trained driver and the others, on the same held-out routes."""

    run: Run
    trained: Evaluation
    beside: tuple[Evaluation, ...]


def run_train(
    config: DrivingConfig,
    resume: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
    engine: str | None = None,
    json_output: bool = False,
) -> int:
    """Train one run, or every recipe and seed that `comparison` lists; `engine` in place of `learn.engine`."""
    from apps.driving import comparison
    from apps.driving import dry_run as checks

    if config.reward.own and config.comparison.recipes:
        raise UsageError("reward.own stands in a recipe's place: leave comparison.recipes empty, or reward.own")
    if engine is not None and resume is not None:
        raise UsageError("--resume goes on with the run's own engine; leave out --engine")
    if engine is not None:
        config = replace(config, learn=replace(config.learn, engine=engine))  # type: ignore[arg-type]
    if dry_run:
        return checks.show(checks.check(config), json_output)
    return comparison.TRAINING.start(config, resume, name, json_output)


def train_one(
    config: DrivingConfig, name: str | None = None, resume: Path | None = None, command: str | None = None
) -> Result:
    """One run: train, then measure on held-out routes, report.

    Args:
        config: the settings.
        name: of the run folder; the date and time where not given.
        resume: folder of an interrupted run to go on with.
        command: what a user types to go on, where that is not `train --resume FOLDER`.

    Raises:
        UsageError: the settings cannot be trained with.
        GraderFailure: the reward failed on too many steps.
    """
    from apps.driving.training_report import write_report
    from common.training.run import Run, seed_everything
    from common.training.sb3.train import train_policy

    refuse_overlap(config)
    run = Run.open("python -m apps.driving", config, name, resume, command)
    seed_everything(run.seed)
    reward, encode = build_reward(config)
    sees = "images" in reward.needs
    config = replace(config, env=replace(config.env, picture=config.env.picture if sees else ViewConfig()))
    if config.learn.engine == "rllib" and not run.finished(STAGE):
        from apps.driving import train_rllib

        train_rllib.train(run, STAGE, config, reward, LOGGED)
    elif not run.finished(STAGE):
        venv, callbacks = attached(config, reward, encode)
        try:
            train_policy(run, STAGE, config.control, venv, callbacks, evaluate=quick(config), keys=LOGGED)
        finally:
            venv.close()
    keep(run, config)
    trained, *beside = measured(run, config)
    result = Result(run, trained, tuple(beside))
    write_report(result, config)
    return result


def refuse_overlap(config: DrivingConfig) -> None:
    """Raise where a map is both trained on and measured on."""
    from apps.driving.roads.library import load_roads

    folders = tuple(config.env.routes.folders)
    trained, held = (
        {load_roads(name, folders).digest: name for name in names}
        for names in (config.env.routes.maps, config.evaluate.maps)
    )
    both = sorted(trained[digest] for digest in trained.keys() & held.keys())
    if both:
        raise UsageError(
            f"{', '.join(both)} is in env.routes.maps and in evaluate.maps; figures on a map that was trained on are "
            "not held-out figures"
        )


def build_reward(config: DrivingConfig, clip: Clip | None = None) -> tuple[Reward, Callable[..., Any] | None]:
    """The reward, and what turns pictures into the features that it reads, each once; `reward.own` gets pictures.

    Raises:
        UsageError: the reward looks at pictures and the environment makes none.
    """
    from apps.driving.rewards import build, configured_clip

    clip = clip or configured_clip(config.reward)
    reward = build(config.reward, clip)
    if "images" not in reward.needs:
        return reward, None
    if config.env.picture.kind not in ("rgb", "camera"):
        raise UsageError(
            f"the reward {config.reward.title} looks at pictures; set env.picture.kind to rgb or, on CARLA, camera "
            f"(it is {config.env.picture.kind})"
        )
    return reward, None if config.reward.own else clip.image


def attached(config: DrivingConfig, reward: Reward, encode: Callable[..., Any] | None) -> tuple[VecEnv, list[Any]]:
    """The environments with the reward, step by step or at the end of a rollout."""
    from common.training.sb3.relabel import RelabelReplay, RelabelRollout

    venv = environments(config)
    if config.learn.check:
        checked(venv, config, reward, encode)
    if not config.learn.relabel:
        return stepwise(venv, config, reward, encode), []
    relabel = RelabelRollout if config.control.algorithm == "ppo" else RelabelReplay
    return venv, [relabel(reward, *_columns(config, reward), encode)]


def checked(venv: VecEnv, config: DrivingConfig, reward: Reward, encode: Callable[..., Any] | None) -> None:
    """Score a few random steps, as every trainer does before its first one; see `check_in_environment`."""
    from common.rewards.adapters.gym import check_in_environment

    check_in_environment(reward, venv, _columns(config, reward)[0], encode)


def stepwise(venv: VecEnv, config: DrivingConfig, reward: Reward, encode: Callable[..., Any] | None) -> VecEnv:
    """The environments with the reward in each step."""
    from common.rewards.adapters.gym import VecRewardWrapper

    return VecRewardWrapper(venv, reward, *_columns(config, reward), encode)


def _columns(config: DrivingConfig, reward: Reward) -> tuple[Columns, Scoring]:
    from common.rewards.adapters.scores import Scoring
    from common.rewards.adapters.transitions import Columns, Picture

    learn = config.learn
    columns = Columns(picture=Picture("info", "image", "CHW") if "images" in reward.needs else None)
    return columns, Scoring(stride=learn.stride, failed_share=learn.failed_share, keep_penalties=False)


def environments(config: DrivingConfig) -> VecEnv:
    """The environments that the policy learns in, seeded apart from each other."""
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    makers: list[Callable[[], Any]] = [Maker(config, rank) for rank in range(config.learn.environments)]
    if config.learn.processes:
        return SubprocVecEnv(makers, start_method="spawn")
    return DummyVecEnv(makers)


@dataclass(frozen=True)
class Maker:
    """Makes one of several environments; can be sent to another process."""

    config: DrivingConfig
    rank: int

    def __call__(self) -> Any:
        """The environment; on a simulator that repeats itself exactly, one that a resumed run can go on with."""
        from apps.driving.backends.backend_config import for_worker
        from apps.driving.backends.choose import Simulator
        from apps.driving.environment.env import DrivingEnv
        from common.training.sb3.replayed import Replayed

        backend = for_worker(self.config.simulator, self.rank)
        env = DrivingEnv(self.config.env, Simulator(backend))
        return Replayed(env) if backend.kind == "embedded" else env


def quick(config: DrivingConfig) -> Callable[[Policy], Mapping[str, float]] | None:
    """A measurement on a few held-out routes; None where none is asked for."""
    if not config.control.eval_every:
        return None
    from apps.driving.backends.choose import Simulator
    from apps.driving.drivers.trained import Trained
    from apps.driving.measures.evaluation import Course, cases, evaluate

    wanted = cases(config.evaluate, config.env.routes.folders)
    few = wanted[:: max(len(wanted) // QUICK, 1)][:QUICK]

    def measure(policy: Policy) -> dict[str, float]:
        driver = Trained(policy, config.env, "policy")
        course = Course(
            lambda _: driver, config.env, replace(config.evaluate, processes=1), Simulator(config.simulator)
        )
        episodes = evaluate(course, few, quiet=True)
        count = len(episodes)
        return {
            "route_completion": sum(one.route_completion for one in episodes) / count,
            "collisions": sum(one.collided for one in episodes) / count,
            "speed": sum(one.average_speed for one in episodes) / count,
        }

    return measure


def keep(run: Run, config: DrivingConfig) -> None:
    """Put the finished policy where `evaluate`, `drive` and the demo look for it."""
    import shutil

    from apps.driving.drivers.trained import ENVIRONMENT, MODEL, save_environment

    target = run.folder / MODEL
    if not (target / ENVIRONMENT).is_file():
        shutil.copytree(run.final(STAGE), target, dirs_exist_ok=True)
        save_environment(replace(config.env, picture=ViewConfig()), target)


def measured(run: Run, config: DrivingConfig) -> list[Evaluation]:
    """The trained driver and those beside it, on the held-out routes; kept in `driven`, and only read where it is."""
    from apps.driving.evaluate import REPORT, courses_of, drive, write
    from apps.driving.measures.evaluation import cases

    courses = courses_of(config, [str(run.folder), *BESIDE])
    wanted = cases(config.evaluate, config.env.routes.folders)
    folder = run.folder / "driven"
    found = [drive(course, wanted, str(folder), False) for course in courses]
    if not (folder / REPORT).is_file():
        write(config, courses, found, None, folder, False)
    return found
