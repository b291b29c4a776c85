"""Builds stable-baselines3's algorithms from a config, and keeps the policies that they end with.

SB3's own `save` pickles attributes, and its `load` executes them. Here a policy is a folder of safetensors and JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim

from common.errors import DataError, UsageError
from common.files import read_json, write_json
from common.models.sizes import Held, held_in
from common.training.plain_state import TENSORS, load_state, save_state
from common.training.sb3.config import ControlConfig
from common.training.sb3.spaces import space_from_plain, space_to_plain

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.policies import BasePolicy
    from stable_baselines3.common.vec_env import VecEnv

POLICY = "config.json"
#: Of one layer, in a file that is read.
MOST_UNITS = 16_384


@dataclass(frozen=True)
class Features:
    """What turns observations into features, where SB3's own choice is not wanted.

    It is code, not data: whoever loads a policy gives the same.

    Attributes:
        kind: SB3's `features_extractor_class`; None for SB3's choice.
        settings: its `features_extractor_kwargs`.
    """

    kind: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def policy_settings(self) -> dict[str, Any]:
        """As SB3's `policy_kwargs` hold them."""
        if self.kind is None:
            return {}
        return {"features_extractor_class": self.kind, "features_extractor_kwargs": dict(self.settings)}


def build(config: ControlConfig, venv: VecEnv, seed: int, features: Features | None = None) -> BaseAlgorithm:
    """An algorithm with a fresh policy.

    Args:
        config: the settings.
        venv: the environments.
        seed: of policy, actions and environments.
        features: of the observations.

    Raises:
        UsageError: settings that cannot be, or actions that the algorithm cannot take.
    """
    from stable_baselines3 import PPO, SAC

    from common.training.sb3.replay import FrameReplayBuffer

    config.check(venv.num_envs)
    box = isinstance(venv.action_space, spaces.Box)
    if (config.algorithm == "sac" or config.sde) and not box:
        raise UsageError(f"{config.algorithm} with sde {config.sde} needs continuous actions, not {venv.action_space}")
    if box and not np.isfinite([venv.action_space.low, venv.action_space.high]).all():  # type: ignore[attr-defined]
        raise UsageError(f"continuous actions must have finite bounds: {venv.action_space}")
    shared: dict[str, Any] = {
        "policy": _policy_name(venv.observation_space),
        "env": venv,
        "learning_rate": Line(config.learning_rate, config.final_learning_rate),
        "gamma": config.gamma,
        "use_sde": config.sde,
        "policy_kwargs": _policy_settings(config, features),
        "seed": seed,
        "device": config.device,
        "verbose": 0,
    }
    if config.algorithm == "ppo":
        ppo = config.ppo
        shared["policy_kwargs"]["log_std_init"] = math.log(ppo.spread)
        return PPO(
            **shared,
            n_steps=ppo.rollout,
            batch_size=ppo.batch_size,
            n_epochs=ppo.epochs,
            gae_lambda=ppo.gae_lambda,
            clip_range=ppo.clip_range,
            ent_coef=ppo.entropy,
            vf_coef=ppo.value,
            max_grad_norm=ppo.max_grad_norm,
            target_kl=ppo.target_kl,
        )
    sac = config.sac
    return SAC(
        **shared,
        buffer_size=sac.buffer_size,
        learning_starts=sac.learning_starts,
        batch_size=sac.batch_size,
        tau=sac.tau,
        train_freq=sac.collect,
        gradient_steps=sac.updates,
        ent_coef=sac.entropy,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"binary": tuple(sac.binary)},
    )


@dataclass(frozen=True)
class Line:
    """A learning rate that goes in a straight line, as a function of the share of the run that remains."""

    begin: float
    end: float | None = None

    def __call__(self, remaining: float) -> float:
        """The rate; `remaining` goes from 1 to 0."""
        return self.begin if self.end is None else self.end + remaining * (self.begin - self.end)


class Policy:
    """A policy that acts.

    Args:
        network: SB3's.
        normaliser: what `VecNormalize` had learnt about observations; None where there was none.
    """

    def __init__(self, network: BasePolicy, normaliser: Mapping[str, Any] | None = None) -> None:
        self.network = network
        self.normaliser = normaliser

    def act(self, observation: Any, deterministic: bool = True) -> np.ndarray:
        """The action on one observation, or the actions on a batch of them."""
        action, _ = self.network.predict(self._normalised(observation), deterministic=deterministic)
        return action

    def _normalised(self, observation: Any) -> Any:
        known = self.normaliser
        if known is None:
            return observation
        if not isinstance(observation, Mapping):
            return _standard(observation, known["keys"][""], known)
        return {
            key: _standard(value, known["keys"][key], known) if key in known["keys"] else value
            for key, value in observation.items()
        }


def _standard(value: Any, moments: Mapping[str, Any], known: Mapping[str, Any]) -> np.ndarray:
    scaled = (np.asarray(value) - moments["mean"]) / np.sqrt(moments["var"] + known["epsilon"])
    return np.clip(scaled, -known["clip"], known["clip"]).astype(np.float32)


def policy_of(model: BaseAlgorithm) -> Policy:
    """The policy of an algorithm as it is now; it goes on changing where the algorithm learns."""
    return Policy(model.policy, normaliser_of(model.get_vec_normalize_env()))


def normaliser_of(venv: Any) -> dict[str, Any] | None:
    """What a `VecNormalize` has learnt about observations, as plain values."""
    if venv is None or not venv.norm_obs:
        return None
    moments = venv.obs_rms if isinstance(venv.obs_rms, dict) else {"": venv.obs_rms}
    keys = {key: {"mean": np.array(one.mean), "var": np.array(one.var)} for key, one in moments.items()}
    return {"keys": keys, "epsilon": float(venv.epsilon), "clip": float(venv.clip_obs)}


def save_policy(model: BaseAlgorithm, config: ControlConfig, folder: Path | str) -> Path:
    """Write an algorithm's policy; see `save_network`."""
    return save_network(policy_of(model), config, model.num_timesteps, folder)


def save_network(policy: Policy, config: ControlConfig, steps: int, folder: Path | str) -> Path:
    """Write a policy after `steps` transitions; `config.json`, the mark that it is whole, comes last."""
    folder = Path(folder)
    save_state(folder, {"policy": policy.network.state_dict(), "normaliser": policy.normaliser})
    description = {
        "algorithm": config.algorithm,
        "net": config.net,
        "sde": config.sde,
        "observation_space": space_to_plain(policy.network.observation_space),
        "action_space": space_to_plain(policy.network.action_space),
        "steps": steps,
    }
    write_json(folder / POLICY, description)
    return folder


def load_policy(folder: Path | str, features: Features | None = None, device: str = "cpu") -> Policy:
    """Read what `save_policy` wrote.

    Args:
        folder: the policy's.
        features: the same that it was trained with.
        device: where it shall compute.

    Raises:
        DataError: the folder holds no policy, a damaged one, or one with other features.
    """
    from stable_baselines3.common.utils import get_device
    from stable_baselines3.ppo.ppo import PPO
    from stable_baselines3.sac.sac import SAC

    folder = Path(folder)
    about = read_json(folder / POLICY)
    try:
        config = ControlConfig(algorithm=about["algorithm"], net=list(about["net"]), sde=bool(about["sde"]))
        observations = space_from_plain(about["observation_space"])
        actions = space_from_plain(about["action_space"])
        algorithm: Any = {"ppo": PPO, "sac": SAC}[config.algorithm]
        kind = algorithm.policy_aliases[_policy_name(observations)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"no policy of this suite: {error}", path=folder / POLICY) from error
    except DataError as error:
        raise DataError(str(error), path=folder / POLICY) from error
    if not all(isinstance(units, int) and 1 <= units <= MOST_UNITS for units in config.net) or len(config.net) > 32:
        raise DataError(f"no network has these layers: {config.net!r:.80}", path=folder / POLICY)
    sizes, seen = [*config.net, flatdim(actions)], 0
    if features is None:
        sizes, seen = [_flat(observations), *sizes], flatdim(observations)
    _check_sizes(sizes, seen, held_in([folder / TENSORS]), folder / POLICY)
    try:
        network = kind(observations, actions, Line(1e-3), use_sde=config.sde, **_policy_settings(config, features))
    except (TypeError, ValueError, AssertionError, RuntimeError, AttributeError, LookupError) as error:
        raise DataError(f"no policy sees and does what is described: {error}", path=folder / POLICY) from error
    state = load_state(folder)
    try:
        network.load_state_dict(state["policy"])
        normaliser = _known(state["normaliser"])
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"weights of another network (other features?): {error}", path=folder) from error
    if not all(bool(weights.isfinite().all()) for weights in network.parameters()):
        raise DataError("weights that are no numbers", path=folder / TENSORS)
    network.to(get_device(device))
    network.set_training_mode(False)
    return Policy(network, normaliser)


def _known(normaliser: Any) -> dict[str, Any] | None:
    """What `normaliser_of` said, read from a file; raises where it is something else."""
    if normaliser is None:
        return None
    moments = {
        key: {name: np.asarray(one[name], float) for name in ("mean", "var")}
        for key, one in normaliser["keys"].items()
    }
    return {"keys": moments, "epsilon": float(normaliser["epsilon"]), "clip": float(normaliser["clip"])}


def _check_sizes(sizes: Sequence[int], seen: int, held: Held, path: Path) -> None:
    """Raise a `DataError` where such layers need more weights than there are; SB3 builds none without memory."""
    # Where a picture is seen, its convolutions' weights are more than its numbers.
    wanted = max(seen, sum(one * other for one, other in pairwise(sizes)))
    if wanted > held.numbers:
        raise DataError(
            f"layers of {list(sizes)!s:.80} units need {wanted:,} weights, and those beside it are {held.numbers:,}; "
            "take settings and weights of one policy",
            path=path,
        )


def _flat(observations: spaces.Space) -> int:
    """Numbers that the first layer sees at least; a picture goes through convolutions first, and counts as one."""
    from stable_baselines3.common.preprocessing import is_image_space

    parts = observations.spaces.values() if isinstance(observations, spaces.Dict) else [observations]
    return sum(1 if is_image_space(one) else flatdim(one) for one in parts)


def actor_critic(observations: spaces.Space, actions: spaces.Space, config: ControlConfig) -> Any:
    """SB3's network of PPO with fresh weights, for a trainer other than SB3."""
    from stable_baselines3 import PPO

    settings = {**_policy_settings(config, None), "log_std_init": math.log(config.ppo.spread)}
    return PPO.policy_aliases[_policy_name(observations)](observations, actions, Line(1e-3), **settings)


def _policy_settings(config: ControlConfig, features: Features | None) -> dict[str, Any]:
    return {"net_arch": list(config.net), **(features or Features()).policy_settings()}


def _policy_name(observations: spaces.Space) -> str:
    from stable_baselines3.common.preprocessing import is_image_space

    if isinstance(observations, spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(observations) else "MlpPolicy"
