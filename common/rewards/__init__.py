"""Rewards that measure meaning: one contract, a small algebra, leaves, an audit, and adapters to trainers."""

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
