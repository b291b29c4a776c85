"""Scores transitions of environments with a reward, under the failure policy (shared/design.md, section 3).

`VecRewardWrapper` does it step by step, `common.training.sb3.relabel` for whole rollouts; both give the same rewards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import GraderFailure, RewardError
from common.rewards.adapters.frames import FrameMemory, stacked_vectors
from common.rewards.adapters.scores import Scores, Scoring
from common.rewards.adapters.transitions import Array, Columns, Transition, as_pictures, as_states
from common.rewards.adapters.trl import reason_of
from common.rewards.base import Reward, RewardOutput, take_rows
from common.rewards.state import stateful_parts


class TransitionScorer:
    """Scores rows of transitions in the order in which they happened.

    Where `encode` is given, frames become vectors `(B, D)` once, by digest, and the reward finds them in `images` (the
    picture rewards take features); so what depends on the state is fresh in every step and the model is asked only for
    new frames. Without it a reward that needs nothing but `images` and has no state is itself remembered by frame; any
    other gets the pictures and is asked in every step.

    Args:
        reward: any reward.
        environments: their number.
        columns: which columns it gets.
        scoring: how its values are used.
        encode: pictures `(B, 3, H, W)` in [0, 1] to vectors, such as `common.models.clip.Clip.image`.

    Raises:
        RewardError: not a reward, or settings that cannot be.
    """

    def __init__(
        self,
        reward: Reward,
        environments: int,
        columns: Columns | None = None,
        scoring: Scoring | None = None,
        encode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if not isinstance(reward, Reward):
            raise RewardError(f"{type(reward).__name__} is not a common.rewards.Reward")
        self.reward = reward
        self.columns = columns or Columns()
        self.scoring = (scoring or Scoring()).checked()
        self.training = True
        self.step = 0
        self.looks = "images" in reward.needs
        self.failures: deque[bool] = deque(maxlen=self.scoring.failed_rows)
        self.reason = ""
        self._values: list[float | None] = [None] * environments
        self._held: list[Tensor | None] = [None] * environments
        self._part_names: tuple[str, ...] | None = None
        stateful = bool(list(stateful_parts(reward)))
        alone = set(reward.needs) - set(self.columns.constants) == {"images"}
        self._remembers_values = self.looks and encode is None and alone and not stateful
        layout = self.columns.picture.layout if self.columns.picture is not None else "HWC"
        compute = encode if encode is not None else self._scored_frames
        self.memory = (
            FrameMemory(compute, layout, self.scoring.cache, self.scoring.batch_size)
            if self._remembers_values or (self.looks and encode is not None)
            else None
        )

    def score(self, rows: Sequence[Transition]) -> Scores:
        """Score the rows; those of one environment must stand in the order in which they happened.

        Raises:
            RewardError: the caller's fault; see `Reward.__call__`.
            GraderFailure: too many rows could not be scored.
        """
        if not rows:
            none = np.zeros(0, np.float32)
            return Scores(none, none, none, np.zeros(0, np.bool_), {}, [])
        self.step += self.training
        output = self._output(rows)
        values = output.values.detach().float().cpu()
        failed = ~values.isfinite()
        reasons = [_reason(output, row) if lost else "" for row, lost in enumerate(failed.tolist())]
        rewards, used = self._combine(rows, values, failed.tolist())
        self._count(failed.tolist(), reasons)
        return Scores(
            np.array(rewards, np.float32),
            np.array(used, np.float32),
            np.array([row.reward for row in rows], np.float32),
            failed.numpy(),
            {name: part.detach().float().cpu().numpy() for name, part in output.parts.items()},
            reasons,
        )

    def restart(self) -> None:
        """All environments were reset: nothing holds any longer."""
        self._values = [None] * len(self._values)
        self._held = [None] * len(self._held)

    def columns_of(self, rows: Sequence[Transition]) -> dict[str, Any]:
        """The columns that the reward gets for rows in the order in which they happened."""
        columns: dict[str, Any] = {
            "environment": torch.tensor([row.environment for row in rows]),
            "group": torch.tensor([row.episode for row in rows]),
            "first": torch.tensor([row.first for row in rows]),
            "last": torch.tensor([row.last for row in rows]),
            **{name: [row.extra[name] for row in rows] for name in self.columns.info},
            **{name: [value] * len(rows) for name, value in self.columns.constants.items()},
        }
        if rows[0].state is not None:
            columns["state"] = as_states([row.state or {} for row in rows])
        if self.training:
            columns["step"] = self.step
        if self.looks:
            columns["images"] = self._images(rows)
        return columns

    def _output(self, rows: Sequence[Transition]) -> RewardOutput:
        columns = self.columns_of(rows)
        if self._remembers_values:
            return self._unpacked(columns["images"])
        size = self.scoring.batch_size
        if len(rows) <= size:
            return self.reward(**columns)
        several = []
        for start in range(0, len(rows), size):
            some = range(start, min(start + size, len(rows)))
            several.append(self.reward(**take_rows(columns, some, len(rows))))
        return _joined(several)

    def _images(self, rows: Sequence[Transition]) -> Tensor:
        """The pictures or vectors that hold in each row."""
        new = [row.picture for row in rows if row.picture is not None]
        layout = self.columns.picture.layout if self.columns.picture is not None else "HWC"
        looked = iter(self._looked_at(new, layout))
        column = []
        for row in rows:
            if row.picture is not None:
                self._held[row.environment] = next(looked)
            held = self._held[row.environment]
            if held is None:
                raise RewardError(f"environment {row.environment} has shown no picture yet in this episode")
            column.append(held)
            if row.last:
                self._held[row.environment] = None
        return stacked_vectors(column) if self.memory is not None else torch.stack(column)

    def _looked_at(self, pictures: Sequence[Array], layout: Any) -> Sequence[Tensor]:
        if self.memory is not None:
            return self.memory.vectors(pictures)
        return list(as_pictures(pictures, layout)) if pictures else []

    def _scored_frames(self, pictures: Tensor) -> Tensor:
        """Value and parts of each picture side by side, so that they can be remembered as a vector."""
        constants = {name: [value] * len(pictures) for name, value in self.columns.constants.items()}
        output = self.reward(images=pictures, **constants)
        self._part_names = tuple(output.parts)
        assert self.memory is not None
        lost = (~output.values.isfinite()).nonzero().flatten().tolist()
        self.memory.reason = _reason(output, lost[0]) if lost else self.memory.reason
        columns = [output.values, *(output.parts[name] for name in self._part_names)]
        return torch.stack([column.detach().float().cpu() for column in columns], dim=1)

    def _unpacked(self, vectors: Tensor) -> RewardOutput:
        names = self._part_names or ()
        wide = vectors if vectors.shape[1] > len(names) else vectors.expand(-1, 1 + len(names))
        parts = {name: wide[:, 1 + at] for at, name in enumerate(names)}
        assert self.memory is not None
        reason = self.memory.reason
        return RewardOutput(wide[:, 0], parts, {"reason": [reason] * len(wide)})

    def _combine(
        self, rows: Sequence[Transition], values: Tensor, failed: Sequence[bool]
    ) -> tuple[list[float], list[float]]:
        scoring = self.scoring
        known = values[values.isfinite()]
        low, high = self.reward.bounds
        otherwise = float(known.mean()) if len(known) else (low + high) / 2
        rewards, used = [], []
        for row, value, lost in zip(rows, values.tolist(), failed, strict=True):
            if not lost:
                self._values[row.environment] = value
            elif not isinstance(scoring.fallback, str):
                value = float(scoring.fallback)
            else:
                before = self._values[row.environment]
                value = otherwise if before is None else before
            if row.last:
                self._values[row.environment] = None
            kept = scoring.keep_penalties and row.terminated and row.reward < 0
            if (lost and scoring.fallback == "environment") or (scoring.mode == "replace" and kept):
                rewards.append(row.reward)
            else:
                rewards.append(scoring.weight * value + (row.reward if scoring.mode == "add" else 0.0))
            used.append(value)
        return rewards, used

    def _count(self, failed: Sequence[bool], reasons: Sequence[str]) -> None:
        self.failures.extend(failed)
        self.reason = next((reason for reason in reversed(reasons) if reason), self.reason)
        lost, total = sum(self.failures), len(self.failures)
        if total < self.scoring.failed_rows or lost <= self.scoring.failed_share * total:
            return
        last = self.reason or "none given"
        self.failures.clear()
        raise GraderFailure(
            f"reward {self.reward.name!r} could not score {lost} of the last {total} steps ({lost / total:.0%}). Last "
            f"reason: {last}. The grader is at fault, not the policy: repair it and resume the run"
        )

    def state_dict(self) -> dict[str, Any]:
        """What holds, what is remembered and the reward's own state.

        Failures are not part of it: a run that is resumed once the grader works again starts a new count.
        """
        return {
            "step": self.step,
            "values": list(self._values),
            "held": [None if held is None else held.clone() for held in self._held],
            "part_names": list(self._part_names) if self._part_names is not None else None,
            "memory": self.memory.state_dict() if self.memory is not None else None,
            "reward": {path: dict(part.state_dict()) for path, part in stateful_parts(self.reward)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned.

        Raises:
            RewardError: it is of another number of environments or another reward.
        """
        parts = dict(stateful_parts(self.reward))
        if len(state["values"]) != len(self._values) or set(parts) != set(state["reward"]):
            raise RewardError(
                f"the saved state is of {len(state['values'])} environments and the parts {sorted(state['reward'])}; "
                f"here are {len(self._values)} and {sorted(parts)}"
            )
        self.step = int(state["step"])
        self._values = list(state["values"])
        self._held = [None if held is None else held.clone() for held in state["held"]]
        self._part_names = None if state["part_names"] is None else tuple(state["part_names"])
        if self.memory is not None and state["memory"] is not None:
            self.memory.load_state_dict(state["memory"])
        for path, part in parts.items():
            part.load_state_dict(state["reward"][path])


def _joined(outputs: Sequence[RewardOutput]) -> RewardOutput:
    parts = {name: torch.cat([output.parts[name] for output in outputs]) for name in outputs[0].parts}
    names = dict.fromkeys(name for output in outputs for name in output.info)
    info = {
        name: [text for output in outputs for text in output.info.get(name, [""] * len(output.values))]
        for name in names
    }
    return RewardOutput(torch.cat([output.values for output in outputs]), parts, info)


def _reason(output: RewardOutput, row: int) -> str:
    return reason_of(output, [row]) or "the reward is not a number"
