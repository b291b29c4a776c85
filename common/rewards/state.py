"""The state of a composed reward: found wherever it lies, kept in a checkpoint as one dictionary.

A part with state has `state_dict` and `load_state_dict` (`common.training.callbacks.Stateful`); one whose state must
be the same in all processes has `synchronise` too (`common.rewards.transforms.history.History`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from common.errors import RewardError
from common.rewards.base import Reward
from common.rewards.compose import Product, WeightedSum
from common.rewards.transforms.history import Gather


def stateful_parts(reward: Reward, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every part that has state of its own, with the path of names that leads to it."""
    if hasattr(reward, "state_dict") and not isinstance(reward, KeepsState):
        yield path, reward
    for name, child in _children(reward).items():
        yield from stateful_parts(child, f"{path}.{name}" if path else name)


class KeepsState:
    """A mix-in for a reward made of others (`children` or `inner`): their state as one's own."""

    def state_dict(self: Any) -> dict[str, Any]:
        """The state of all parts by path."""
        return {path: part.state_dict() for path, part in stateful_parts(self)}

    def load_state_dict(self: Any, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned.

        Raises:
            RewardError: the state belongs to a reward with other parts.
        """
        parts = dict(stateful_parts(self))
        if set(parts) != set(state):
            raise RewardError(
                f"the saved state is of the parts {sorted(state)}, but the reward {self.name!r} has {sorted(parts)}; "
                "resume with the reward that the run began with"
            )
        for path, part in parts.items():
            part.load_state_dict(state[path])

    def synchronise(self: Any, gather: Gather[Any]) -> None:
        """Make the state the same in all processes, after a step; see `History.synchronise`."""
        for _, part in stateful_parts(self):
            if hasattr(part, "synchronise"):
                part.synchronise(gather)


class _Kept(KeepsState):
    """The state of a reward's parts, beside the reward itself."""

    def __init__(self, reward: Reward) -> None:
        self.inner, self.name = reward, reward.name


def kept_state(reward: Reward) -> Any:
    """What a trainer saves, restores and shares: the reward, or what stands for its parts' state; None without any."""
    paths = [path for path, _ in stateful_parts(reward)]
    if isinstance(reward, KeepsState) or paths == [""]:
        return reward
    return _Kept(reward) if paths else None


class StatefulSum(KeepsState, WeightedSum):
    """A `WeightedSum` of which a part has state, so that a trainer finds it; see `with_state`."""


class StatefulProduct(KeepsState, Product):
    """A `Product` of which a factor has state, so that a trainer finds it; see `with_state`."""


def with_state(reward: Reward) -> Reward:
    """The reward in a form in which a trainer finds the state of its parts; itself where there is none.

    Raises:
        RewardError: state lies in a composition other than a sum or a product.
    """
    if hasattr(reward, "state_dict") or not list(stateful_parts(reward)):
        return reward
    if type(reward) is WeightedSum:
        return StatefulSum({one: (child, reward.weights[one]) for one, child in reward.children.items()}, reward.name)
    if type(reward) is Product:
        return StatefulProduct(reward.children, reward.name)
    raise RewardError(f"reward {reward.name!r} has parts with state; put it into a sum or a product")


def _children(reward: Reward) -> Mapping[str, Reward]:
    children = getattr(reward, "children", None)
    if isinstance(children, Mapping):
        return children
    inner = getattr(reward, "inner", None)
    return {inner.name: inner} if isinstance(inner, Reward) else {}
