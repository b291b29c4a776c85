"""The application's settings. Nothing heavy is imported here: `--help` reads this module."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.driving.backends.backend_config import BackendConfig
from apps.driving.env_config import EnvConfig
from apps.driving.evaluate_config import EvaluateConfig
from apps.driving.pretrain_config import PretrainConfig
from apps.driving.reward_config import RewardConfig
from apps.driving.train_config import LearnConfig
from common.config import CompareConfig
from common.training.sb3.config import ControlConfig


@dataclass
class DrivingConfig:
    """Settings of driving.

    Args:
        env: what is driven: routes, traffic, observation, action, when an episode ends.
        simulator: which one, and how it is run.
        reward: what the driver is trained on.
        control: the algorithm, PPO or SAC.
        learn: how the reward reaches it.
        pretrain: the pocket CLIP.
        evaluate: routes and rules that drivers are measured on; none of its maps is trained on.
        comparison: several recipes or seeds in one command.
        seed: seed of everything random.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        runs: folder of the run folders.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    simulator: BackendConfig = field(default_factory=BackendConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    comparison: CompareConfig = field(default_factory=CompareConfig)
    seed: int = 0
    threads: int = 1
    runs: str = "runs/driving"
