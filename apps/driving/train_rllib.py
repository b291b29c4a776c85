"""`train --engine rllib`: the same environments and rewards in RLlib's workers, one environment in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.driving.config import DrivingConfig
from common.errors import UsageError

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from common.rewards.base import Reward
    from common.training.run import Run


@dataclass(frozen=True)
class Rewarded:
    """Makes the environment of one worker, with the reward in its steps; can be sent to another process.

    On CARLA each rank has a server of its own, `backend_config.for_worker`.
    """

    config: DrivingConfig

    def __call__(self, rank: int) -> VecEnv:
        """One environment of that rank, as a vector of one."""
        from stable_baselines3.common.vec_env import DummyVecEnv

        from apps.driving.train import Maker, build_reward, stepwise

        reward, encode = build_reward(self.config)
        return stepwise(DummyVecEnv([Maker(self.config, rank)]), self.config, reward, encode)


def train(run: Run, stage: str, config: DrivingConfig, reward: Reward, keys: tuple[str, ...]) -> None:
    """Train the stage on RLlib.

    Raises:
        UsageError: a setting or a reward that this engine does not have.
    """
    from stable_baselines3.common.vec_env import DummyVecEnv

    from apps.driving.train import Maker, build_reward, checked, quick
    from common.rewards.state import stateful_parts
    from common.training.rllib import Workers, check, train_on_rllib

    check(config.control, config.learn.environments)
    if list(stateful_parts(reward)) or hasattr(reward, "state_dict"):
        raise UsageError(
            f"the reward {config.reward.title} learns from what it scores, and would learn something else in each "
            "worker; use --engine sb3"
        )
    venv = DummyVecEnv([Maker(config, 0)])
    try:
        if config.learn.check:
            checked(venv, config, reward, build_reward(config)[1])
        spaces = venv.observation_space, venv.action_space
    finally:
        # Before the workers begin: a CARLA server serves one client.
        venv.close()
    workers = Workers(Rewarded(config), config.learn.environments, *spaces, config.learn.address)
    train_on_rllib(run, stage, config.control, workers, quick(config), keys)
