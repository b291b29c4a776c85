"""What can be set about training; nothing here imports anything heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class LearnConfig:
    """How the reward reaches the policy.

    Args:
        engine: "sb3", or "rllib" for PPO whose environments run in Ray's workers, on several machines too.
        address: of a Ray cluster, for rllib; empty starts a Ray on this machine.
        environments: driven side by side; with rllib each in a worker of its own.
        processes: each environment in a process of its own.
        relabel: rewards are computed at the end of a rollout, in large batches, and not step by step; with rllib
            always step by step.
        stride: pictures are looked at every so many steps; the value holds in between.
        failed_share: the run stops where the reward failed on more than this share of steps.
        check: a few random steps are scored before training, as `check_reward` does.
    """

    engine: Literal["sb3", "rllib"] = "sb3"
    address: str = ""
    environments: int = 8
    processes: bool = False
    relabel: bool = True
    stride: int = 1
    failed_share: float = 0.2
    check: bool = True
