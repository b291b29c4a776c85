"""Hands a reward to ms-swift's GRPO as an ORM; swift is not imported, only its calling convention followed.

Read at ms-swift 4.6.0: `orms[name](args=args)` makes the object, which is called with the completions' texts and the
data set's columns as keywords. None becomes NaN and is then left out of a `nansum` over the reward functions, so a row
that no function scored counts as 0 in its group. Therefore a missing value is filled in with its group's mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from common.rewards.adapters.filling import FillingScorer, Missing
from common.rewards.adapters.trl import text_of
from common.rewards.base import Reward


class SwiftReward:
    """What `to_swift` derives its classes from; swift logs the class's name."""

    settings: tuple[Any, ...]

    def __init__(self, args: Any = None, **_: Any) -> None:
        self.args = args
        self.scorer = FillingScorer(*self.settings)

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float]:
        """One finite number a completion; see `FillingScorer` for what it raises."""
        state = columns.pop("trainer_state", None)
        step = {} if state is None else {"step": int(state.global_step)}
        given = {**step, **columns, "completion": [text_of(completion) for completion in completions]}
        return self.scorer(given, _groups(columns, len(completions))).values

    def __reduce__(self) -> tuple[Any, ...]:
        # Its class was made by a function, so pickle cannot find it by name.
        return _again, (type(self).__name__, self.settings), {"scorer": self.scorer, "args": None}


def to_swift(
    reward: Reward, columns: Mapping[str, str] | None = None, missing: Missing = "group", concurrent: bool = False
) -> type[SwiftReward]:
    """A class to enter in `swift.rewards.orms` from an `--external_plugins` file. Arguments: see `FillingScorer`.

    The reward finds the completion in `completion` and every column of the data set under its own name. Rows of one
    `prompt_id`, or of equal messages before the completion, are a group. The objects pickle.
    """
    settings = (reward, columns, missing, concurrent)
    FillingScorer(*settings)
    return type(reward.name, (SwiftReward,), {"settings": settings})


def _again(name: str, settings: tuple[Any, ...]) -> SwiftReward:
    return type(name, (SwiftReward,), {"settings": settings})()


def _groups(columns: Mapping[str, Any], rows: int) -> list[str]:
    for name in ("prompt_id", "messages", "prompt"):
        asked = columns.get(name)
        if asked is not None and all(one is not None for one in asked):
            # The last message is the completion itself.
            return [json.dumps(one[:-1] if name == "messages" else one, default=str) for one in asked]
    return [""] * rows
