"""A reward that is not the suite's, on an application's rows: a trl-style function, a URL, a config, a name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from common.config import nearest
from common.errors import RewardError, TouchstoneError, UsageError
from common.rewards.base import Reward, RewardOutput

T = TypeVar("T")

#: So often a range that nobody declared is widened before that is called a fault.
TRIES = 12


class _Beyond(Exception):
    """A value lies outside the range that is known so far."""


class Borrowed(Reward):
    """Somebody's reward, under the names that an application's rows have.

    Args:
        reward: theirs.
        names: of columns it may ask for, the application's column; those that it has already stay, unless given here.
        app: whose rows, for messages.
        declared: whether its bounds are known; if not, they are widened as values come, see `within_range`.
    """

    def __init__(self, reward: Reward, names: Mapping[str, str], app: str, declared: bool = True) -> None:
        self.reward = reward
        self.name = reward.name
        self.names = dict(names)
        self.app = app
        self.declared = declared
        self.bounds = reward.bounds if declared else (0.0, 1.0)
        self.needs = ("state",) if "state" in reward.needs else ("completion",)
        self.part_names = reward.part_names

    def score(self, **columns: object) -> RewardOutput:
        """Ask it; see `Reward.score`.

        Raises:
            UsageError: it needs a column that the rows have not.
            RewardError: it raised, or its values are outside its bounds.
        """
        given = {**columns, **{name: columns[own] for name, own in self.names.items() if own in columns}}
        for column in self.reward.needs:
            if column not in given:
                raise UsageError(
                    f"{self.name} needs the column {column!r}{nearest(column, sorted(given))}; name the one of "
                    f"{self.app} that it means: --columns {column}=COLUMN"
                )
        try:
            output = self.reward(**given)
        except TouchstoneError:
            raise
        except Exception as error:  # it is not ours, and may fail in any way
            raise RewardError(f"{self.name} raised {type(error).__name__}: {error}") from error
        known = [value for value in output.values.tolist() if not math.isnan(value)]
        low, high = min([self.bounds[0], *known]), max([self.bounds[1], *known])
        if (low, high) != self.bounds and not math.isclose(high - low, self.bounds[1] - self.bounds[0], rel_tol=1e-5):
            if self.declared:
                raise RewardError(f"{self.name} scored from {low:g} to {high:g}, outside its bounds {self.bounds}")
            self.bounds = (low, high)
            raise _Beyond
        return output


def borrow(
    spec: str,
    app: str,
    names: Mapping[str, str],
    bounds: Sequence[float] | None = None,
    conversational: bool = False,
) -> Borrowed:
    """Open somebody's reward.

    Args:
        spec: `package.module:thing`, a trl-style function or a subclass of `Reward`; `http://…` or `https://…`, a
            reward server; a YAML file with a `reward:` block; or a name of the catalogue.
        app: whose rows it is assayed on.
        names: see `Borrowed`.
        bounds: least and greatest value of a function; found out where not given.
        conversational: hand completions over to a function as chat messages.

    Raises:
        UsageError: there is no such thing.
    """
    from common.rewards.build import build, read
    from common.rewards.foreign import ForeignReward

    if spec.startswith(("http://", "https://")):
        return Borrowed(_remote(spec), names, app)
    if spec.endswith((".yaml", ".yml")):
        return Borrowed(read(Path(spec)), names, app)
    reward = build({"name": spec})
    if not isinstance(reward, ForeignReward):
        return Borrowed(reward, names, app)
    reward.conversational = conversational
    reward.bounds = (float(bounds[0]), float(bounds[1])) if bounds else (-math.inf, math.inf)
    return Borrowed(reward, names, app, declared=bool(bounds))


def within_range(rewards: Sequence[Borrowed], assay: Callable[[], T]) -> T:
    """Assay rewards whose range nobody declared: from [0, 1] on it is widened to what they give, and begun anew."""
    for _ in range(TRIES):
        try:
            return assay()
        except _Beyond:
            continue
    told = ", ".join(f"{one.name} {one.bounds}" for one in rewards if not one.declared)
    raise RewardError(f"the values go on growing ({told}); declare the range with --bounds LOW HIGH")


def _remote(url: str) -> Reward:
    try:
        from common.rewards.remote import RemoteReward
    except ModuleNotFoundError as error:
        raise UsageError(f"{url}: this version has no client for reward servers (common.rewards.remote)") from error
    reward: Reward = RemoteReward(url)
    return reward
