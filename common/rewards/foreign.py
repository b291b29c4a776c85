"""A reward function written for trl, as a reward of ours."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput, nan_like

#: What trl passes beside a data set's columns, by our name where that is another one.
_OURS = {"prompts": "prompt", "completions": "completion"}
_LOGS = ("log_extra", "log_metric")


class ForeignReward(Reward):
    """A function with trl's calling convention: `f(prompts=, completions=, **columns) -> list[float | None]`.

    Range: as declared by `bounds`; whether higher is better is the function's affair, as is whose fault a 0 is. None
    and NaN are rows that could not be scored. Coroutine functions are run to their end. A function that raises is not
    caught: only its author knows whose fault that was.

    Args:
        path: "package.module:function", imported again after pickling; a callable object will do.
        bounds: least and greatest value. A value outside raises: every composition would be wrong.
        settings: further keyword arguments of each call.
        factory: where given, `path` names a function that makes the reward function, called with these arguments.
        needs: columns it reads; those its signature asks for by default. A function that takes `**kwargs` is also
            handed every other column there is.
        conversational: hand completions over as trl does for chats, `[{"role": "assistant", "content": text}]`.
        name: the part's name; the function's by default.

    Raises:
        UsageError: the path names nothing.
        RewardError: it names nothing that can be called.
    """

    def __init__(
        self,
        path: str,
        bounds: tuple[float, float] = (0.0, 1.0),
        settings: Mapping[str, Any] | None = None,
        factory: Mapping[str, Any] | None = None,
        needs: Sequence[str] | None = None,
        conversational: bool = False,
        name: str | None = None,
    ) -> None:
        self.path = path
        self.bounds = (float(bounds[0]), float(bounds[1]))
        self.settings = dict(settings or {})
        self.factory = None if factory is None else dict(factory)
        self.conversational = conversational
        self._opened: Callable[..., Any] | None = None
        parameters = inspect.signature(self.open()).parameters.values()
        self.takes = tuple(one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))
        self.takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
        asked = [
            _OURS.get(one.name, one.name)
            for one in parameters
            if one.name in self.takes and one.default is one.empty and one.name not in (*_LOGS, *self.settings)
        ]
        self.needs = tuple(dict.fromkeys(("completion", *(asked if needs is None else needs))))
        self.name = path.split(":")[1].replace(".", "_") if name is None else name

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def open(self) -> Callable[..., Any]:
        """The function, imported on first use."""
        if self._opened is None:
            from common.rewards.build import imported

            found = imported(self.path, "reward")
            if self.factory is not None:
                found = found(**self.factory)
            if isinstance(found, type) or not callable(found):
                raise RewardError(
                    f"{self.path} is neither a Reward nor a function of trl's kind (prompts=, completions=, "
                    "**columns); where it makes such a function, give `factory:` with its arguments, {} for none"
                )
            self._opened = found
        return self._opened

    def score(self, **columns: Any) -> RewardOutput:
        """Call the function; see `Reward.score`."""
        texts = columns["completion"]
        if not len(texts):
            return RewardOutput(nan_like(0))
        said = [[{"role": "assistant", "content": text}] for text in texts] if self.conversational else list(texts)
        handed: dict[str, Any] = {"completions": said}
        if "prompt" in columns:
            handed["prompts"] = list(columns["prompt"])
        handed |= {name: column for name, column in columns.items() if name not in ("completion", "prompt")}
        handed |= {name: _unheard for name in _LOGS if name in self.takes and name not in handed}
        if not self.takes_all:
            handed = {name: column for name, column in handed.items() if name in self.takes}
        found = self.open()(**{**handed, **self.settings})
        values = [math.nan if one is None else float(one) for one in _settled(found)]
        if len(values) != len(texts):
            raise RewardError(f"reward {self.name!r}: {self.path} returned {len(values)} values for {len(texts)} rows")
        for row, value in enumerate(values):
            if value < self.bounds[0] or value > self.bounds[1]:
                raise RewardError(
                    f"reward {self.name!r}: {self.path} gave row {row} {value:g}, outside {self.bounds}; declare its "
                    "range with `bounds: [low, high]`"
                )
        reasons = [f"{self.path} gave no number" if math.isnan(value) else "" for value in values]
        return RewardOutput(torch.tensor(values, dtype=torch.float32), info={"reason": reasons})


def _unheard(*_: Any) -> None:
    """Stands for trl's logs where nobody reads them."""


def _settled(found: Any) -> Any:
    return asyncio.run(found) if inspect.iscoroutine(found) else found
