"""All that a policy's further learning depends on, taken between two updates and put back.

Of an environment it is `get_state()`, a nesting of dictionaries, lists, tuples, numbers, texts, None, arrays and
tensors, which holds all that its next steps depend on (its generator too), and `set_state(state)`. With them a run
that was killed and resumed equals one that was not, bit for bit (same machine, same threads);
`Replayed` gives them to any environment that is deterministic (`replayed.py`). One without them is reset on resuming,
with a seed of its own: episodes in progress are lost, and the run goes on with others. A wrapper of the vector
environment that remembers something must have `state_dict` and `load_state_dict`, as `VecRewardWrapper` has;
VecNormalize is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from common.errors import DataError
from common.training.run import rng_state, set_rng_state

COUNTERS = (
    "num_timesteps",
    "_episode_num",
    "_n_updates",
    "_current_progress_remaining",
    "_last_obs",
    "_last_episode_starts",
    "_last_original_obs",
)


def has_state(venv: VecEnv) -> bool:
    """Whether all environments offer `get_state` and `set_state`."""
    return bool(venv.has_attr("get_state") and venv.has_attr("set_state"))


def take(model: BaseAlgorithm, callbacks: Sequence[Any]) -> dict[str, Any]:
    """The state of an algorithm, its environments, its random numbers and of callbacks that have state.

    The replay buffer is not part of it; see `common.training.sb3.replay_files`.
    """
    assert model.env is not None
    return {
        "parameters": model.get_parameters(),
        "variables": {name: getattr(model, name).detach().clone() for name in _variables(model)},
        "counters": {name: getattr(model, name) for name in COUNTERS},
        "episodes": [list(model.ep_info_buffer or ()), [float(one) for one in model.ep_success_buffer or ()]],
        "random": _random(model),
        "wrappers": [wrapper_state(wrapper) for wrapper in _wrappers(model.env)],
        "environments": environment_states(model.env) if has_state(model.env) else None,
        "callbacks": [one.state_dict() if hasattr(one, "state_dict") else None for one in callbacks],
    }


def put_back(model: BaseAlgorithm, callbacks: Sequence[Any], state: Mapping[str, Any]) -> None:
    """Put back what `take` returned, after the environments were reset and the callbacks belong to the model.

    Where the environments' states are not known they are reset, with seeds that depend on the step.

    Raises:
        DataError: it is of another algorithm, or of other wrappers or callbacks.
    """
    assert model.env is not None
    wrappers = _wrappers(model.env)
    if len(wrappers) != len(state["wrappers"]) or len(callbacks) != len(state["callbacks"]):
        raise DataError("the checkpoint is of a run with other wrappers or callbacks")
    try:
        model.set_parameters(state["parameters"], exact_match=True, device=model.device)
    except (RuntimeError, ValueError, KeyError) as error:
        raise DataError(f"the checkpoint is of another network: {error}") from error
    for name in _variables(model):
        with torch.no_grad():
            getattr(model, name).copy_(state["variables"][name])
    for wrapper, kept in zip(wrappers, state["wrappers"], strict=True):
        set_wrapper_state(wrapper, kept)
    for callback, kept in zip(callbacks, state["callbacks"], strict=True):
        if kept is not None:
            callback.load_state_dict(kept)
    for name in COUNTERS:
        setattr(model, name, state["counters"][name])
    if state["environments"] is not None and has_state(model.env):
        set_environment_states(model.env, state["environments"])
    else:
        _begin_episodes(model, callbacks)
    if model.ep_info_buffer is not None and model.ep_success_buffer is not None:
        model.ep_info_buffer.extend(state["episodes"][0])
        model.ep_success_buffer.extend(state["episodes"][1])
    # Last: whatever was drawn on the way here does not count.
    _set_random(model, state["random"])


def _begin_episodes(model: BaseAlgorithm, callbacks: Sequence[Any]) -> None:
    """Reset the environments, to other episodes than those that the run began with."""
    assert model.env is not None
    model.env.seed((model.seed or 0) + model.num_timesteps)
    model._last_obs = model.env.reset()  # type: ignore[assignment]
    model._last_episode_starts = np.ones(model.env.num_envs, bool)
    normalised = model.get_vec_normalize_env()
    if normalised is not None:
        model._last_original_obs = normalised.get_original_obs()
    for callback in callbacks:
        if hasattr(callback, "restart"):
            callback.restart()


def environment_states(venv: VecEnv) -> list[Any]:
    """State of each environment, with the step count of a `TimeLimit` around it."""
    states = venv.env_method("get_state")
    counts = venv.get_attr("_elapsed_steps") if venv.has_attr("_elapsed_steps") else [None] * venv.num_envs
    return [{"state": state, "elapsed": count} for state, count in zip(states, counts, strict=True)]


def set_environment_states(venv: VecEnv, states: Sequence[Mapping[str, Any]]) -> None:
    """Put back what `environment_states` returned.

    Raises:
        DataError: it is of another number of environments.
    """
    if len(states) != venv.num_envs:
        raise DataError(f"the checkpoint is of {len(states)} environments, here are {venv.num_envs}")
    for number, kept in enumerate(states):
        venv.env_method("set_state", kept["state"], indices=number)
        if kept["elapsed"] is not None:
            venv.env_method("set_wrapper_attr", "_elapsed_steps", kept["elapsed"], indices=number)


def wrapper_state(wrapper: Any) -> Any:
    """State of one wrapper of the vector environment; None where it has none."""
    if isinstance(wrapper, VecNormalize):
        moments = {"": wrapper.ret_rms}
        if wrapper.norm_obs:
            seen = wrapper.obs_rms
            moments |= (
                {f"observation/{key}": one for key, one in seen.items()}
                if isinstance(seen, dict)
                else {"observation": seen}
            )
        return {
            "moments": {
                name: [np.array(one.mean), np.array(one.var), float(one.count)] for name, one in moments.items()
            },
            "returns": wrapper.returns,
            "old_obs": getattr(wrapper, "old_obs", None),
            "old_reward": wrapper.old_reward,
        }
    return wrapper.state_dict() if hasattr(type(wrapper), "state_dict") else None


def set_wrapper_state(wrapper: Any, state: Any) -> None:
    """Put back what `wrapper_state` returned."""
    if isinstance(wrapper, VecNormalize):
        for name, (mean, var, count) in state["moments"].items():
            seen: Any = wrapper.ret_rms if not name else wrapper.obs_rms
            if isinstance(seen, dict):
                seen = seen[name.removeprefix("observation/")]
            seen.mean, seen.var, seen.count = mean, var, count
        wrapper.returns, wrapper.old_reward = state["returns"], state["old_reward"]
        if state["old_obs"] is not None:
            wrapper.old_obs = state["old_obs"]
    elif state is not None:
        wrapper.load_state_dict(state)


def _wrappers(venv: Any) -> list[Any]:
    """The wrappers around a vector environment, the outermost first."""
    found = []
    while hasattr(venv, "venv"):
        found.append(venv)
        venv = venv.venv
    return found


def _variables(model: BaseAlgorithm) -> list[str]:
    """Names of tensors outside the networks that are learnt, such as SAC's entropy weight."""
    return [name for name in model._get_torch_save_params()[1] if "." not in name]


def _random(model: BaseAlgorithm) -> dict[str, Any]:
    return {**rng_state(), "actions": model.action_space.np_random.bit_generator.state}


def _set_random(model: BaseAlgorithm, state: Mapping[str, Any]) -> None:
    set_rng_state(state)
    model.action_space.np_random.bit_generator.state = state["actions"]
