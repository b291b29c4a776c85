"""Settings of a policy that learns in an environment; nothing heavy is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from common.errors import UsageError


@dataclass
class PpoConfig:
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

    Args:
        rollout: steps of each environment between updates.
        batch_size: transitions in one gradient step.
        epochs: passes over a rollout.
        gae_lambda: of the generalised advantage estimate.
        clip_range: how far the probability ratio may go from 1.
        entropy: weight of the entropy.
        value: weight of the value's loss.
        max_grad_norm: longer gradients are cut.
        target_kl: an update ends where it has gone further than 1.5 times this; none by default.
        spread: standard deviation of continuous actions at the beginning.
    """

    rollout: int = 1024
    batch_size: int = 64
    epochs: int = 10
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy: float = 0.0
    value: float = 0.5
    max_grad_norm: float = 0.5
    target_kl: float | None = None
    spread: float = 1.0


@dataclass
class SacConfig:
    """Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905).

    Args:
        buffer_size: transitions remembered.
        learning_starts: transitions of random actions before anything is learnt.
        batch_size: transitions in one gradient step.
        tau: share of the critic that goes into its target at each update.
        collect: steps of each environment between updates; rewards are relabelled so often.
        updates: gradient steps after each collection; -1 for as many as were collected.
        entropy: "auto", or a fixed weight of the entropy.
        binary: keys of the observation whose masks are stored as bits.
    """

    buffer_size: int = 100_000
    learning_starts: int = 10_000
    batch_size: int = 256
    tau: float = 0.005
    collect: int = 64
    updates: int = 64
    entropy: str | float = "auto"
    binary: list[str] = field(default_factory=list)


@dataclass
class ControlConfig:
    """How a policy learns.

    Args:
        algorithm: "ppo", for discrete and continuous actions, or "sac", for continuous ones.
        steps: transitions of all environments together.
        learning_rate: at the beginning.
        final_learning_rate: at the end, reached in a straight line; the same where not given.
        gamma: discount of a step.
        net: widths of the layers of policy and value, after the features.
        sde: exploration that depends on the state (gSDE) in place of fresh noise in each step; for continuous actions.
        device: "auto", "cpu" or "cuda".
        log_every: transitions between lines of the log; 0 for one after each update.
        save_every: transitions between checkpoints; 0 for none but where the run is stopped.
        eval_every: transitions between measurements on held-out episodes; 0 for none.
        ppo: settings of PPO.
        sac: settings of SAC.
    """

    algorithm: Literal["ppo", "sac"] = "ppo"
    steps: int = 100_000
    learning_rate: float = 3e-4
    final_learning_rate: float | None = None
    gamma: float = 0.99
    net: list[int] = field(default_factory=lambda: [64, 64])
    sde: bool = False
    device: str = "cpu"
    log_every: int = 0
    save_every: int = 10_000
    eval_every: int = 0
    ppo: PpoConfig = field(default_factory=PpoConfig)
    sac: SacConfig = field(default_factory=SacConfig)

    def check(self, environments: int) -> None:
        """Whether the numbers fit together.

        Raises:
            UsageError: they do not; the message names the setting.
        """
        positive: dict[str, Any] = {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "net": min(self.net, default=1),
        }
        if self.algorithm == "ppo":
            ppo = self.ppo
            positive |= {"ppo.rollout": ppo.rollout, "ppo.epochs": ppo.epochs, "ppo.clip_range": ppo.clip_range}
            positive |= {"ppo.batch_size": ppo.batch_size, "ppo.max_grad_norm": ppo.max_grad_norm}
            positive |= {"ppo.spread": ppo.spread}
            whole = ppo.rollout * environments
            if ppo.batch_size < 2 or whole % ppo.batch_size:
                raise UsageError(
                    f"ppo.batch_size {ppo.batch_size} must be 2 or more and divide a rollout of {ppo.rollout} steps x "
                    f"{environments} environments = {whole}"
                )
        elif self.algorithm == "sac":
            sac = self.sac
            positive |= {
                "sac.buffer_size": sac.buffer_size,
                "sac.batch_size": sac.batch_size,
                "sac.collect": sac.collect,
            }
            if not 0 < sac.tau <= 1:
                raise UsageError(f"sac.tau {sac.tau} must lie in (0, 1]")
        else:
            raise UsageError(f"algorithm {self.algorithm!r}: ppo or sac")
        for name, value in positive.items():
            if not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} {value} must be above 0")
        if not 0 <= self.gamma <= 1:
            raise UsageError(f"gamma {self.gamma} must lie in [0, 1]")
