"""Rewards that are computed at the end of a rollout: one large call where `VecRewardWrapper` makes many small ones.

Both are callbacks, SB3's own extension points, and work with any algorithm that keeps its rollout or replay buffer
(PPO, A2C; SAC, TD3, TQC). No algorithm is subclassed: `on_step` sees the infos before a transition is stored, and
`on_rollout_end` comes after the last one was stored and before anything is learnt from it. Put them before callbacks
that read rewards. Environments are asked for the same infos as by `VecRewardWrapper`.

Pictures from an observation are those that the algorithm sees: `VecTransposeImage`, which SB3 adds by itself, makes
them CHW (taken into account); `VecNormalize` would change them (put pictures into the info then).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize, VecTransposeImage

from common.errors import UsageError
from common.rewards.adapters.scores import Scores, Scoring, figures
from common.rewards.adapters.scoring import TransitionScorer
from common.rewards.adapters.transitions import Array, Columns, StepReader, Transition, from_plain, to_plain
from common.rewards.base import Reward

if TYPE_CHECKING:
    from torch import Tensor


class Relabel(BaseCallback):
    """What both kinds share: the steps since the last relabelling, and how they are scored.

    Args:
        reward: any reward.
        columns: which columns it gets; `state` alone by default.
        scoring: how its values are used, and what stands for one that failed.
        encode: turns frames into the vectors that the reward finds in `images`; see `TransitionScorer`.
    """

    def __init__(
        self,
        reward: Reward,
        columns: Columns | None = None,
        scoring: Scoring | None = None,
        encode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.reward = reward
        self.columns = columns or Columns()
        self.scoring = scoring or Scoring()
        self.encode = encode
        self.scorer: TransitionScorer
        self.reader: StepReader
        #: Slot in the buffer and transitions of each step, in the order of time.
        self.pending: list[tuple[int, list[Transition]]] = []
        self.scores: Scores | None = None

    def _init_callback(self) -> None:
        number = self.training_env.num_envs
        if hasattr(self, "scorer") and len(self.reader.clock) == number:
            # `learn` was called again: what was seen before goes on.
            return
        columns = _as_seen(self.columns, self.training_env)
        self.scorer = TransitionScorer(self.reward, number, columns, self.scoring, self.encode)
        self.reader = StepReader(columns, number, self.scoring.stride, pictures=self.scorer.looks)

    def _on_training_start(self) -> None:
        if self.num_timesteps == 0:
            # SB3 has just reset the environments; it does not where it goes on.
            self.restart()

    def _note(self, slot: int) -> list[Transition]:
        seen = self.locals
        normalised = self.model.get_vec_normalize_env()
        # What the environments paid, not what was made of it: a replay buffer holds that too.
        paid = seen["rewards"] if normalised is None else normalised.get_original_reward()
        rows = self.reader.read(seen["new_obs"], paid, seen["dones"], seen["infos"])
        self.pending.append((slot, rows))
        return rows

    def _score(self) -> Array:
        """New rewards `(steps, environments)` of the pending steps."""
        scores = self.scorer.score([row for _, rows in self.pending for row in rows])
        self.scores = scores
        return scores.rewards.reshape(len(self.pending), -1)

    def restart(self) -> None:
        """All environments were reset, and what they were in the middle of is lost."""
        self.reader.restart()
        self.scorer.restart()

    def figures(self) -> dict[str, float]:
        """Means over the steps relabelled last; see `common.rewards.adapters.scores.figures`."""
        return {} if self.scores is None else figures(self.scores)

    def state_dict(self) -> dict[str, Any]:
        """All that the next relabelling depends on, also in the middle of a window."""
        return {
            "reader": self.reader.state_dict(),
            "scorer": self.scorer.state_dict(),
            "pending": [{"slot": slot, "rows": to_plain(rows)} for slot, rows in self.pending],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned, once the callback belongs to a model."""
        self.reader.load_state_dict(state["reader"])
        self.scorer.load_state_dict(state["scorer"])
        self.pending = [(int(entry["slot"]), from_plain(entry["rows"])) for entry in state["pending"]]


class RelabelRollout(Relabel):
    """Relabels a rollout buffer (PPO, A2C), then computes returns and advantages again.

    SB3 has added the discounted value of the last observation to the reward of a step that a time limit broke off;
    that part is kept.

    Raises (when training begins):
        UsageError: rewards are normalised by `VecNormalize`, so that what is in the buffer is of another scale.
    """

    def _init_callback(self) -> None:
        super()._init_callback()
        normalised = self.model.get_vec_normalize_env()
        if normalised is not None and normalised.norm_reward:
            raise UsageError("rewards that are relabelled cannot be normalised; use VecNormalize(norm_reward=False)")

    def _on_rollout_start(self) -> None:
        # A rollout that was broken off left steps behind; the buffer begins anew.
        self.pending = []

    def _on_step(self) -> bool:
        self._note(self.model.rollout_buffer.pos)  # type: ignore[attr-defined]
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        paid = np.array([[row.reward for row in rows] for _, rows in self.pending])
        slots = [slot for slot, _ in self.pending]
        bootstrap = buffer.rewards[slots] - paid
        buffer.rewards[slots] = self._score() + bootstrap
        self.pending = []
        buffer.compute_returns_and_advantage(last_values=self.locals["values"], dones=self.locals["dones"])


class RelabelReplay(Relabel):
    """Relabels what came into a replay buffer since the last time (SAC, TD3, TQC), of all environments.

    That is done at the end of every collection (`train_freq` steps), so that nothing is sampled before it was
    relabelled; random first steps (`learning_starts`) are no exception. Entries of earlier windows stay as they are.
    Of a window that is longer than the buffer the steps that are still in it count.
    """

    def _on_step(self) -> bool:
        self._note(self.model.replay_buffer.pos)  # type: ignore[attr-defined]
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.replay_buffer  # type: ignore[attr-defined]
        rewards: Any = self._score() if self.pending else []
        # In the order of time: where a slot was written twice, the later step is the one in it.
        for (slot, _), reward in zip(self.pending, rewards, strict=True):
            buffer.rewards[slot] = reward
        self.pending = []


def _as_seen(columns: Columns, venv: Any) -> Columns:
    """The columns with the layout of pictures as the algorithm sees them."""
    picture = columns.picture
    if picture is None or picture.source == "info":
        return columns
    while hasattr(venv, "venv"):
        if isinstance(venv, VecNormalize) and venv.norm_obs and picture.key in (venv.norm_obs_keys or [picture.key]):
            raise UsageError(f"VecNormalize changes the picture {picture.key!r}; leave it out of norm_obs_keys")
        if isinstance(venv, VecTransposeImage) and not getattr(venv, "skip", False):
            keys = getattr(venv, "image_space_keys", None) or [""]
            if picture.key in keys:
                return replace(columns, picture=replace(picture, layout="CHW"))
        venv = venv.venv
    return columns
