"""PPO on RLlib, whose environments run in workers on one or several machines; the policy is the one SB3 would train.

The network is SB3's, so that a run ends with the same files as `common.training.sb3.train` leaves, and whatever loads
those loads these. What RLlib cannot do here: SAC, gSDE, rewards that are computed at a rollout's end, and going on in
the middle of a stage exactly where it was stopped; an interrupted stage begins again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.tune.registry import register_env
from stable_baselines3.common.utils import get_device

from common.errors import TouchstoneError, UsageError
from common.rewards.adapters.scores import SCORED
from common.training.callbacks import HELD_OUT, Progress
from common.training.run import Interrupted, Run
from common.training.sb3.config import ControlConfig
from common.training.sb3.model import Policy, actor_critic, load_policy, save_network

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

ENVIRONMENT = "touchstone"
#: Numbers of RLlib's update, under SB3's names.
FIGURES = {
    "policy_loss": "policy_gradient_loss",
    "vf_loss": "value_loss",
    "vf_explained_var": "explained_variance",
    "mean_kl_loss": "approx_kl",
}


class OneOf(gymnasium.Env):
    """A `VecEnv` of one environment as that environment, so that what is wrapped around SB3's serves RLlib too.

    It is built at the first reset: RLlib makes an environment in its own process too, which never drives, and on CARLA
    a second connection to the first worker's server would end the first.
    """

    def __init__(
        self, make: Callable[[], VecEnv], observations: spaces.Space, actions: spaces.Space, seed: int
    ) -> None:
        torch.set_num_threads(1)
        self.make = make
        self.observation_space = observations
        self.action_space = actions
        self.seed = seed
        self.venv: VecEnv | None = None
        self.begun: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; a `VecEnv` has begun it already where one has ended."""
        if self.venv is None:
            self.venv = self.make()
            self.venv.seed(self.seed)
        begun, self.begun = self.begun, None
        return _first(self.venv.reset()) if begun is None else begun, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; the observation of an episode's end is the one it ended with."""
        assert self.venv is not None
        observations, rewards, dones, infos = self.venv.step(np.asarray(action)[None])
        observation, info = _first(observations), infos[0]
        if not dones[0]:
            return observation, float(rewards[0]), False, False, info
        self.begun = observation
        truncated = bool(info.get("TimeLimit.truncated", False))
        return info["terminal_observation"], float(rewards[0]), not truncated, truncated, info

    def close(self) -> None:
        """End the environment."""
        if self.venv is not None:
            self.venv.close()
            self.venv = None


def _first(observations: Any) -> Any:
    if isinstance(observations, Mapping):
        return {name: value[0] for name, value in observations.items()}
    return observations[0]


class ActorCritic(TorchRLModule, ValueFunctionAPI):
    """SB3's network of PPO behind RLlib's interface."""

    def setup(self) -> None:
        """Build it; RLlib calls this with the spaces."""
        given: Any = self.model_config
        observations, actions = self.observation_space, self.action_space
        assert observations is not None
        assert actions is not None
        self.network = actor_critic(observations, actions, given["control"])

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        features = self.network.extract_features(batch[Columns.OBS])
        actions = self.network.action_net(self.network.mlp_extractor.forward_actor(features))
        if isinstance(self.action_space, spaces.Box):
            actions = torch.cat([actions, self.network.log_std.expand_as(actions)], dim=-1)
        return {Columns.ACTION_DIST_INPUTS: actions}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Any:
        """The value of each observation, `(B,)`."""
        features = self.network.extract_features(batch[Columns.OBS])
        return self.network.value_net(self.network.mlp_extractor.forward_critic(features)).squeeze(-1)


@dataclass(frozen=True)
class Workers:
    """The environments.

    Attributes:
        make: makes the environment of a rank, rewards and all; can be sent to another process.
        number: how many, each in a process of its own.
        observations: their space.
        actions: their space.
        address: of a Ray cluster; empty starts a Ray on this machine.
    """

    make: Callable[[int], VecEnv]
    number: int
    observations: spaces.Space
    actions: spaces.Space
    address: str = ""


def train_on_rllib(
    run: Run,
    stage: str,
    config: ControlConfig,
    workers: Workers,
    evaluate: Callable[[Policy], Mapping[str, float]] | None = None,
    keys: Sequence[str] = (),
) -> Policy:
    """Take a policy to its last step; a finished stage is only loaded. See `common.training.sb3.train.train_policy`.

    Args:
        run: the run's folder.
        stage: name of the stage in log and checkpoints.
        config: the settings.
        workers: the environments.
        evaluate: measures the policy on held-out episodes, every `eval_every` steps and at the end.
        keys: numbers in the info of an episode's last step that are logged as `episode/<key>`.

    Raises:
        UsageError: settings that RLlib's PPO does not have.
        Interrupted: the user stopped the run.
        TouchstoneError: a worker failed.
    """
    from common.scale.session import on_ray

    if run.finished(stage):
        return load_policy(run.final(stage), None, config.device)
    check(config, workers.number)
    run.rewind(stage, 0)
    with on_ray(workers.number + 1, workers.address):
        import ray

        algorithm = settings(run.seed, config, workers, keys).build_algo()
        try:
            policy, steps = _learn(run, stage, config, algorithm, workers, evaluate, keys)
        except KeyboardInterrupt as error:
            raise Interrupted(f"stopped ({stage}); begin it again with:\n  {run.resume_command}") from error
        except ray.exceptions.RayError as error:
            told = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            run.alarm("failed", stage, 0, told[0])
            raise TouchstoneError(
                f"an environment's worker failed: {told[0]}\nbegin the stage again with:\n  {run.resume_command}"
            ) from error
        finally:
            algorithm.stop()
    save_network(policy, config, steps, run.final(stage))
    return load_policy(run.final(stage), None, config.device)


def check(config: ControlConfig, environments: int) -> None:
    """Whether RLlib can do what is asked.

    Raises:
        UsageError: it cannot.
    """
    config.check(environments)
    if config.algorithm != "ppo" or config.sde:
        raise UsageError("on RLlib there is control.algorithm ppo without control.sde; use the engine sb3")
    if config.ppo.target_kl is not None:
        raise UsageError("on RLlib there is no control.ppo.target_kl; leave it out or use the engine sb3")


def settings(seed: int, config: ControlConfig, workers: Workers, keys: Sequence[str] = ()) -> PPOConfig:
    """RLlib's settings that do what SB3's PPO does: actions are clipped, values are not, no KL term."""
    make, observations, actions = workers.make, workers.observations, workers.actions

    def environment(context: Any) -> OneOf:
        # Workers count from 1; 0 is this process, whose environment never drives.
        rank = max(context.worker_index - 1, 0)
        return OneOf(functools.partial(make, rank), observations, actions, seed + rank)

    register_env(ENVIRONMENT, environment)
    ppo, end = config.ppo, config.final_learning_rate
    rate: Any = config.learning_rate if end is None else [[0, config.learning_rate], [config.steps, end]]
    return (
        PPOConfig()
        .environment(
            ENVIRONMENT,
            observation_space=observations,
            action_space=actions,
            normalize_actions=False,
            clip_actions=True,
            disable_env_checking=True,
        )
        .env_runners(num_env_runners=workers.number, num_envs_per_env_runner=1, rollout_fragment_length=ppo.rollout)
        .learners(num_learners=0, num_gpus_per_learner=int(get_device(config.device).type == "cuda"))
        .training(
            lr=rate,
            gamma=config.gamma,
            lambda_=ppo.gae_lambda,
            clip_param=ppo.clip_range,
            entropy_coeff=ppo.entropy,
            vf_loss_coeff=ppo.value,
            vf_clip_param=float("inf"),
            use_kl_loss=False,
            grad_clip=ppo.max_grad_norm,
            grad_clip_by="global_norm",
            num_epochs=ppo.epochs,
            minibatch_size=ppo.batch_size,
            train_batch_size_per_learner=ppo.rollout * workers.number,
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActorCritic, model_config={"control": config}))
        .callbacks(on_episode_step=_stepped, on_episode_end=functools.partial(_ended, keys=tuple(keys)))
        # A worker that fails ends the run with its reason; a grader's failure is not tried again for ever.
        .fault_tolerance(restart_failed_env_runners=False)
        .debugging(seed=seed, log_level="ERROR")
    )


def _stepped(*, episode: Any, metrics_logger: Any, **_: Any) -> None:
    info = episode.get_infos(-1)
    metrics_logger.log_value("reward", float(episode.get_rewards(-1)), reduce="mean", clear_on_reduce=True)
    for name, value in (info or {}).get(SCORED, {}).items():
        metrics_logger.log_value(f"reward/{name}", float(value), reduce="mean", clear_on_reduce=True)


def _ended(*, episode: Any, metrics_logger: Any, keys: Sequence[str], **_: Any) -> None:
    info = episode.get_infos(-1) or {}
    for name in keys:
        if name in info:
            metrics_logger.log_value(f"episode/{name}", float(info[name]), reduce="mean", window=100)
    if "is_success" in info:
        metrics_logger.log_value("episode/success", float(info["is_success"]), reduce="mean", window=100)


def _learn(
    run: Run,
    stage: str,
    config: ControlConfig,
    algorithm: Any,
    workers: Workers,
    evaluate: Callable[[Policy], Mapping[str, float]] | None,
    keys: Sequence[str],
) -> tuple[Policy, int]:
    progress, step, measured_at = Progress(stage), 0, 0
    progress.start(0, config.steps)
    try:
        while step < config.steps:
            began = time.perf_counter()
            result = algorithm.train()
            step = int(result["num_env_steps_sampled_lifetime"])
            row = figures(result)
            due = config.eval_every and step // config.eval_every > measured_at // config.eval_every
            if evaluate is not None and (due or step >= config.steps):
                measured_at = step
                found = evaluate(_policy(algorithm, config, workers))
                row |= {HELD_OUT + name: float(value) for name, value in found.items()}
            row["time/step"] = time.perf_counter() - began
            run.log(step, stage, **row)
            progress.update(step, row)
    finally:
        progress.close()
    return _policy(algorithm, config, workers), step


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """What the log tells of one update, under the names that SB3's log has."""
    sampled = result.get("env_runners", {})
    row = {name: value for name, value in sampled.items() if name.split("/")[0] in ("reward", "episode")}
    for name, ours in (("episode_return_mean", "episode/return"), ("episode_len_mean", "episode/length")):
        if name in sampled:
            row[ours] = sampled[name]
    learner = result.get("learners", {}).get("default_policy", {})
    row |= {ours: learner[name] for name, ours in FIGURES.items() if name in learner}
    if "entropy" in learner:
        row["entropy_loss"] = -float(learner["entropy"])
    return {name: float(value) for name, value in row.items() if np.isfinite(float(value))}


def _policy(algorithm: Any, config: ControlConfig, workers: Workers) -> Policy:
    """The learner's weights in a network of our own."""
    weights = algorithm.learner_group.get_weights()["default_policy"]
    network = actor_critic(workers.observations, workers.actions, config)
    prefix = "network."
    network.load_state_dict({name.removeprefix(prefix): torch.as_tensor(value) for name, value in weights.items()})
    network.set_training_mode(False)
    return Policy(network)
