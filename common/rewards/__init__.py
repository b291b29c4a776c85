"""Rewards that measure meaning: one contract, a small algebra, leaves, an audit, and adapters to trainers.

The names below are imported when they are first asked for: the catalogue and `--help` must not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.rewards.base import Reward, RewardOutput
    from common.rewards.check import check_reward
    from common.rewards.compose import Gate, Product, WeightedSum
    from common.rewards.transforms import Affine, Cached, Clip, Rescale

__all__ = [
    "Affine",
    "Cached",
    "Clip",
    "Gate",
    "Product",
    "Rescale",
    "Reward",
    "RewardOutput",
    "WeightedSum",
    "check_reward",
]

_HOMES = {
    **dict.fromkeys(("Reward", "RewardOutput"), "base"),
    "check_reward": "check",
    **dict.fromkeys(("Gate", "Product", "WeightedSum"), "compose"),
    **dict.fromkeys(("Affine", "Cached", "Clip", "Rescale"), "transforms"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
