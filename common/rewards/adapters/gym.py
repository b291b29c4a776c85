"""Puts a reward into the steps of vectorised Gymnasium environments (stable-baselines3's `VecEnv`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from common.rewards.adapters.scores import REASON, SCORED, Scores, Scoring
from common.rewards.adapters.scoring import TransitionScorer
from common.rewards.adapters.transitions import Columns, StepReader
from common.rewards.base import Reward
from common.rewards.check import check_reward

if TYPE_CHECKING:
    from torch import Tensor


class VecRewardWrapper(VecEnvWrapper):
    """One call of a reward for each step of N environments; its values replace the environments' or are added.

    Put it straight around a DummyVecEnv or SubprocVecEnv, inside VecNormalize: it must see the observations as they
    were made. Time limits stay time limits, so that the trainer's bootstrap is kept. The info of each step gets
    `scored`: value, environment, failed and the reward's parts, and `scored_reason` where the grader failed.

    What it asks of the environment: `info["state"]`, a dictionary of numbers with the same keys in every step, and the
    picture of the state that the step led to, in the info or the observation; see `Columns`.

    Args:
        venv: the environments.
        reward: any reward; `scorer.training = False` freezes what it remembers of its scores, for an evaluation.
        columns: which columns it gets; `state` alone by default.
        scoring: how its values are used, and what stands for one that failed.
        encode: turns frames into the vectors that the reward finds in `images`; see `TransitionScorer`.

    Raises:
        RewardError: the reward needs pictures and `columns` does not say where they lie; settings that cannot be.
    """

    def __init__(
        self,
        venv: VecEnv,
        reward: Reward,
        columns: Columns | None = None,
        scoring: Scoring | None = None,
        encode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(venv)
        self.scorer = TransitionScorer(reward, venv.num_envs, columns, scoring, encode)
        self.reader = StepReader(
            self.scorer.columns, venv.num_envs, self.scorer.scoring.stride, pictures=self.scorer.looks
        )

    def reset(self) -> Any:
        """Reset all environments; see `VecEnv.reset`."""
        self.reader.restart()
        self.scorer.restart()
        return self.venv.reset()

    def step_wait(self) -> Any:
        """Observations, rewards, dones and infos of the step; see `VecEnv.step_wait`.

        Raises:
            RewardError: a column is missing.
            GraderFailure: too many steps could not be scored.
        """
        observations, rewards, dones, infos = self.venv.step_wait()
        scores = self.scorer.score(self.reader.read(observations, rewards, dones, infos))
        told = [{**info, **_told(scores, row)} for row, info in enumerate(infos)]
        return observations, scores.rewards, dones, told

    def state_dict(self) -> dict[str, Any]:
        """All that the next step's reward depends on beside the environments."""
        return {"reader": self.reader.state_dict(), "scorer": self.scorer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.reader.load_state_dict(state["reader"])
        self.scorer.load_state_dict(state["scorer"])


def check_in_environment(
    reward: Reward,
    venv: VecEnv,
    columns: Columns | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
    steps: int = 4,
) -> None:
    """Run `check_reward` on a few random steps: what every trainer does before its first one.

    The environments are reset before and must be reset after it. A reward that re-scales by its past scores takes
    nothing in, for it gets no `step`.

    Args:
        reward: the reward to check.
        venv: environments that are not wrapped yet.
        columns: as for `VecRewardWrapper`.
        encode: as for `VecRewardWrapper`.
        steps: of each environment.

    Raises:
        RewardError: the first thing found wrong.
    """
    scorer = TransitionScorer(reward, venv.num_envs, columns, encode=encode)
    if encode is None:
        # As pictures, not as what is remembered of them.
        scorer.memory = None
    scorer.training = False
    reader = StepReader(scorer.columns, venv.num_envs, pictures=scorer.looks)
    venv.reset()
    venv.action_space.seed(0)
    rows = []
    for _ in range(max(steps, 2)):
        actions = np.array([venv.action_space.sample() for _ in range(venv.num_envs)])
        rows += reader.read(*venv.step(actions))
    check_reward(reward, scorer.columns_of(rows))


def _told(scores: Scores, row: int) -> dict[str, Any]:
    known: dict[str, Any] = {
        SCORED: {
            "value": float(scores.values[row]),
            "environment": float(scores.environment[row]),
            "failed": bool(scores.failed[row]),
            **{name: float(part[row]) for name, part in scores.parts.items()},
        }
    }
    return known | ({REASON: scores.reasons[row]} if scores.reasons[row] else {})
