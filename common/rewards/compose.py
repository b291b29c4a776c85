"""Rewards made of rewards. Bounds, needs and differentiability follow from the children.

Parts are named `child` and `child.part`, so a child's name is unique among its siblings and holds no dot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput, nan_like, scatter_rows, take_rows

Weighted = Mapping[str, tuple[Reward, float]] | Iterable[tuple[Reward, float]]


class Composite(Reward):
    """What the compositions share: named children, merged needs, merged parts and info."""

    def __init__(self, children: Mapping[str, Reward], name: str) -> None:
        if not children:
            raise RewardError(f"reward {name!r} has no parts")
        for child_name, child in children.items():
            _check_child(name, child_name, child)
        self.name = name
        self.children = dict(children)
        self.needs = tuple(dict.fromkeys(column for child in children.values() for column in child.needs))
        self.differentiable = all(child.differentiable for child in children.values())
        names = ((one, *(f"{one}.{part}" for part in child.part_names)) for one, child in children.items())
        self.part_names = tuple(part for group in names for part in group)


class WeightedSum(Composite):
    r""":math:`\sum_k w_k r_k`; a part that could not be scored is left out and the rest renormalised.

    Range: from the children's bounds and the weights. Higher is better. Fails (NaN) only where no part with a weight
    could be scored; see `functional.weighted_sum`. At the top of a composition `to_trl` hands its parts to the trainer
    one by one, so that they are logged and, in GDPO (arXiv 2601.05242), normalised apart.

    Args:
        parts: `{name: (reward, weight)}`, or pairs that are named after their rewards. Weights may be negative; a part
            of weight 0 is computed and logged and does not count.
        name: the sum's own name.

    Raises:
        RewardError: no parts, a weight that is not finite, a child without finite bounds.
    """

    def __init__(self, parts: Weighted, name: str = "sum") -> None:
        named = dict(parts) if isinstance(parts, Mapping) else by_name(parts)
        super().__init__({one: reward for one, (reward, _) in named.items()}, name)
        self.weights = {one: float(weight) for one, (_, weight) in named.items()}
        for one, weight in self.weights.items():
            if not math.isfinite(weight):
                raise RewardError(f"reward {name!r}: the weight of {one!r} is {weight}")
        ends = [sorted(weight * end for end in self.children[one].bounds) for one, weight in self.weights.items()]
        self.bounds = (sum(low for low, _ in ends), sum(high for _, high in ends))

    def score(self, **columns: Any) -> RewardOutput:
        """Score every part; see `Reward.score`."""
        outputs = {name: child(**columns) for name, child in self.children.items()}
        # In double precision, so that the sum stays within bounds that were computed so.
        values = stacked(outputs.values())
        limits = torch.tensor([child.bounds for child in self.children.values()], dtype=torch.float64)
        weights = torch.tensor(list(self.weights.values()), dtype=torch.float64)
        return merge(functional.weighted_sum(values, weights, limits).float(), outputs)


class Product(Composite):
    r""":math:`\prod_k r_k`: each factor guards against hacks of the others (R3, arXiv 2402.03469; GoT-R1).

    Range: product of the children's bounds, which must start at 0 or above: a negative factor would turn every other
    incentive round. Higher is better. Fails (NaN) where a factor could not be scored, unless another one is 0.

    Args:
        factors: by name, or in a row and named after themselves.
        name: the product's own name.

    Raises:
        RewardError: no factors, or one whose lower bound is below 0 or whose bounds are not finite.
    """

    def __init__(self, factors: Mapping[str, Reward] | Sequence[Reward], name: str = "product") -> None:
        if not isinstance(factors, Mapping):
            factors = {one: reward for one, (reward, _) in by_name((reward, 1.0) for reward in factors).items()}
        super().__init__(factors, name)
        for one, factor in factors.items():
            refuse_negative(name, one, factor)
        self.bounds = (
            math.prod(factor.bounds[0] for factor in factors.values()),
            math.prod(factor.bounds[1] for factor in factors.values()),
        )

    def score(self, **columns: Any) -> RewardOutput:
        """Score every factor; see `Reward.score`."""
        outputs = {name: child(**columns) for name, child in self.children.items()}
        return merge(functional.product(stacked(outputs.values())).float(), outputs)


class Gate(Composite):
    r""":math:`r \cdot 1[g \ge \tau]`: the inner reward is called on the rows that pass the gate, and on no others.

    Range: [0, the inner upper bound]; both children must start at 0 or above. Higher is better. Closed rows score 0
    with a reason; rows whose gate could not be scored are NaN and do not reach the inner reward. After VRAG-RL (arXiv
    2505.22019), which asks its judge only where a cheap rule holds.

    Where no row passes, the inner reward's parts are known from its `part_names` only.

    Args:
        gate: the cheap condition.
        inner: the dear reward.
        threshold: τ, within the gate's bounds.
        name: the gate's own name.

    Raises:
        RewardError: a child whose lower bound is below 0, or a threshold outside the gate's bounds.
    """

    def __init__(self, gate: Reward, inner: Reward, threshold: float, name: str = "gate") -> None:
        named = by_name([(gate, 1.0), (inner, 1.0)])
        super().__init__({one: reward for one, (reward, _) in named.items()}, name)
        for one, child in self.children.items():
            refuse_negative(name, one, child)
        if not gate.bounds[0] <= threshold <= gate.bounds[1]:
            raise RewardError(f"reward {name!r}: threshold {threshold} lies outside the gate's bounds {gate.bounds}")
        self.threshold = float(threshold)
        self.gate_name, self.inner_name = self.children
        self.bounds = (0.0, inner.bounds[1])
        # A step has no gradient; the inner reward's flows on open rows.
        self.differentiable = inner.differentiable

    def score(self, **columns: Any) -> RewardOutput:
        """Score the gate, then the open rows; see `Reward.score`."""
        gate, inner = self.children.values()
        size = self.batch_size(columns)
        gated = gate(**columns)
        level = gated.values.detach()
        # float32 holds a gate at its threshold only approximately.
        opened = level >= self.threshold - 1e-6 * max(1.0, abs(self.threshold))
        values = torch.where(level.isnan(), math.nan, 0.0)
        reasons = [
            f"{self.gate_name} is {value:.3g}, below {self.threshold:.3g}" if not passed and value == value else ""
            for value, passed in zip(level.tolist(), opened.tolist(), strict=True)
        ]
        passed = score_rows(inner, columns, opened.nonzero().flatten().tolist(), size)
        values = torch.where(opened, passed.values.to(values.device), values)
        merged = merge(values, {self.gate_name: gated, self.inner_name: passed})
        return RewardOutput(values, merged.parts, {**merged.info, "closed": reasons})


def score_rows(child: Reward, columns: Mapping[str, Any], rows: Sequence[int], size: int) -> RewardOutput:
    """The child's output on some rows of a batch of `size`, and NaN and empty texts elsewhere.

    Without rows the child is not called. Its parts are those of `part_names`, so that every batch has the same.
    """
    parts = dict.fromkeys(child.part_names, nan_like(size))
    if not rows:
        return RewardOutput(nan_like(size), parts)
    output = child(**take_rows(columns, rows, size))
    parts |= {name: scatter_rows(part, rows, size) for name, part in output.parts.items() if name in parts}
    info = {key: _scatter_texts(texts, rows, size) for key, texts in output.info.items()}
    return RewardOutput(scatter_rows(output.values, rows, size), parts, info)


def stacked(outputs: Iterable[RewardOutput]) -> Tensor:
    """`(K, B)` float64 values; on the CPU where one comes from a GPU's model and another from a rule."""
    values = [output.values.double() for output in outputs]
    alike = len({one.device for one in values}) == 1
    return torch.stack(values if alike else [one.cpu() for one in values])


def merge(values: Tensor, outputs: Mapping[str, RewardOutput]) -> RewardOutput:
    """`values` with each child's values, parts and info under the child's name."""
    parts: dict[str, Tensor] = {}
    info: dict[str, Sequence[str]] = {}
    for name, output in outputs.items():
        parts[name] = output.values
        parts |= {f"{name}.{part}": value for part, value in output.parts.items()}
        info |= {f"{name}.{key}": texts for key, texts in output.info.items()}
    return RewardOutput(values, parts, info)


def scale(reward: Reward, weight: float) -> WeightedSum:
    """`weight · reward`; the weights of a sum are scaled one by one, so that it stays flat."""
    if isinstance(reward, WeightedSum):
        return WeightedSum({one: (child, weight * reward.weights[one]) for one, child in reward.children.items()})
    return WeightedSum([(reward, weight)])


def add(left: Reward, right: Reward) -> WeightedSum:
    """`left + right` as one flat sum."""
    return WeightedSum(by_name(pair for side in (left, right) for pair in _terms(side)))


def multiply(left: Reward, right: Reward) -> Product:
    """`left · right` as one flat product."""
    sides = [side.children.items() if isinstance(side, Product) else [(side.name, side)] for side in (left, right)]
    return Product(_unique((name, factor) for side in sides for name, factor in side))


def _terms(reward: Reward) -> list[tuple[Reward, float]]:
    if isinstance(reward, WeightedSum):
        return [(child, reward.weights[one]) for one, child in reward.children.items()]
    return [(reward, 1.0)]


def by_name(pairs: Iterable[tuple[Reward, float]]) -> dict[str, tuple[Reward, float]]:
    """Rewards and their weights, named after the rewards; a second `x` becomes `x_2`."""
    return _unique((reward.name, (reward, weight)) for reward, weight in pairs)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Named pairs; a second `x` becomes `x_2`."""
    result: dict[str, Any] = {}
    for name, value in pairs:
        number, free = 1, name
        while free in result:
            number += 1
            free = f"{name}_{number}"
        result[free] = value
    return result


def _check_child(parent: str, name: str, child: Reward) -> None:
    if isinstance(child, nn.Module) or not isinstance(child, Reward):
        raise RewardError(f"reward {parent!r}: part {name!r} is a {type(child).__name__}; it must be a plain Reward")
    if not name or "." in name:
        raise RewardError(f"reward {parent!r}: {name!r} cannot name a part; it must be non-empty and without dots")
    low, high = child.bounds
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise RewardError(
            f"reward {parent!r}: part {name!r} has bounds {child.bounds}; they must be finite and in order"
        )


def refuse_negative(parent: str, name: str, child: Reward) -> None:
    """Raise where a factor's lower bound is below 0."""
    if child.bounds[0] < 0:
        raise RewardError(
            f"reward {parent!r}: part {name!r} has bounds {child.bounds}; a factor below 0 would turn the incentive "
            "of the "
            "others round. Move it to 0 or above first, for instance with Affine"
        )


def _scatter_texts(texts: Sequence[str], rows: Sequence[int], size: int) -> list[str]:
    result = [""] * size
    for row, text in zip(rows, texts, strict=True):
        result[row] = text
    return result
