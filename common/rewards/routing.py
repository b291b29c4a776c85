"""Rewards that choose between others, or mix them, row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from common.config import nearest
from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput, nan_like
from common.rewards.compose import Composite, by_name, merge, refuse_negative, score_rows, stacked
from common.rewards.transforms import functional as transform_functional


class Route(Composite):
    """Each row by the reward that a column names, `routes[column[i]]`; the others are not called for it.

    Range: from the least to the greatest of the children's bounds; higher is better. A row whose reward could not
    score it is NaN. A key that no route has raises, and names the row: a default would score it by a reward that
    nobody chose. Inspired by R3 (arXiv 2402.03469: open-ended or not), HARMO (2510.05283: verifiable or not) and
    Mixed-R1 (2505.24164: by task); R3's classifier of queries is not part of it, the column holds its answer.

    Scales differ between routes as they differ between parts of a sum: bring them to one range first wherever rows of
    different routes are compared, that is everywhere but inside a group. A group-wise reward sees the rows of its
    route only, so that a group must not be split between routes; one that is raises.

    Args:
        by: the column of keys: texts, whole numbers or booleans.
        routes: reward by key.
        name: the route's own name.

    Raises:
        RewardError: at a call, a key without a route, or a group split between routes.
    """

    def __init__(self, by: str, routes: Mapping[str, Reward], name: str = "route") -> None:
        super().__init__({str(key): reward for key, reward in routes.items()}, name)
        self.by = by
        self.grouped = any("group" in child.needs for child in self.children.values())
        self.needs = tuple(dict.fromkeys((*self.needs, by)))
        ends = [child.bounds for child in self.children.values()]
        self.bounds = (min(low for low, _ in ends), max(high for _, high in ends))

    def score(self, **columns: Any) -> RewardOutput:
        """Score each row by its route; see `Reward.score`."""
        size = self.batch_size(columns)
        keys = [self._key(value, row) for row, value in enumerate(columns[self.by])]
        if self.grouped:
            self._check_groups(keys, columns["group"])
        outputs: dict[str, RewardOutput] = {}
        values = nan_like(size)
        for key, child in self.children.items():
            rows = [row for row, one in enumerate(keys) if one == key]
            outputs[key] = score_rows(child, columns, rows, size)
            chosen = torch.tensor([one == key for one in keys], dtype=torch.bool)
            values = torch.where(chosen, outputs[key].values.cpu(), values)
        merged = merge(values, outputs)
        return RewardOutput(values, merged.parts, {**merged.info, "route": keys})

    def _key(self, value: Any, row: int) -> str:
        key = str(value.item() if isinstance(value, Tensor) else value)
        if key not in self.children:
            raise RewardError(
                f"reward {self.name!r}: row {row} has {self.by} = {key!r}, and there is no route for it"
                f"{nearest(key, tuple(self.children))}; routes are {', '.join(self.children)}"
            )
        return key

    def _check_groups(self, keys: list[str], groups: Any) -> None:
        first: dict[int, str] = {}
        for row, (key, group) in enumerate(zip(keys, torch.as_tensor(groups).tolist(), strict=True)):
            if first.setdefault(group, key) != key:
                raise RewardError(
                    f"reward {self.name!r}: group {group} is split between the routes {first[group]!r} and {key!r} "
                    f"(row {row}); rows of one group must have the same {self.by}"
                )


class Confidence(Composite):
    r""":math:`c\,r_{rule} + (1 - c)\,r_{model}`: a rule where it is sure of itself, a model where it is not.

    Range: from the lesser to the greater of both children's bounds; higher is better. The model is asked only where
    c < 1. NaN where c is missing, or a value that has weight: at c = 1 the model's outage does no harm, at c = 0 the
    rule's does none. Inspired by the hybrid reward of HARMO (arXiv 2510.05283), whose formula is known from reviews
    only; this form is a reconstruction.

    Parts: `rule`, `model` and, where it is a reward of its own, `confidence`.

    Args:
        rule: the cheap reward.
        model: the dear one, on the same scale.
        confidence: c: the name of one of the rule's parts, or a reward within [0, 1].
        name: the mix's own name.

    Raises:
        RewardError: a confidence that may leave [0, 1], or the rule has no such part.
    """

    def __init__(self, rule: Reward, model: Reward, confidence: Reward | str, name: str = "confidence") -> None:
        children = {"rule": rule, "model": model}
        if isinstance(confidence, Reward):
            children["confidence"] = confidence
            if confidence.bounds[0] < 0 or confidence.bounds[1] > 1:
                raise RewardError(
                    f"reward {name!r}: the confidence {confidence.name!r} has bounds {confidence.bounds}; they must "
                    "lie in [0, 1]"
                )
        super().__init__(children, name)
        self.part = "" if isinstance(confidence, Reward) else confidence
        self.bounds = (min(rule.bounds[0], model.bounds[0]), max(rule.bounds[1], model.bounds[1]))
        # The confidence itself is a weight: no gradient goes through it.
        self.differentiable = rule.differentiable and model.differentiable

    def score(self, **columns: Any) -> RewardOutput:
        """Score by the rule, then the uncertain rows by the model; see `Reward.score`."""
        size = self.batch_size(columns)
        outputs = {"rule": self.children["rule"](**columns)}
        sure = self._confidence(outputs, columns)
        rows = (sure < 1).nonzero().flatten().tolist()
        outputs["model"] = score_rows(self.children["model"], columns, rows, size)
        rule, model = outputs["rule"].values, outputs["model"].values
        return merge(transform_functional.confidence_mix(sure.to(rule), rule, model.to(rule)), outputs)

    def _confidence(self, outputs: dict[str, RewardOutput], columns: Mapping[str, Any]) -> Tensor:
        if not self.part:
            outputs["confidence"] = self.children["confidence"](**columns)
            return outputs["confidence"].values.detach()
        parts = outputs["rule"].parts
        if self.part not in parts:
            raise RewardError(
                f"reward {self.name!r}: the rule {self.children['rule'].name!r} has no part {self.part!r}"
                f"{nearest(self.part, tuple(parts))}; it has {sorted(parts)}"
            )
        sure = parts[self.part].detach()
        outside = ((sure < 0) | (sure > 1)).nonzero().flatten().tolist()
        if outside:
            raise RewardError(
                f"reward {self.name!r}: the confidence {self.part!r} of row {outside[0]} is "
                f"{float(sure[outside[0]])}; it must lie in [0, 1]"
            )
        return sure


class SoftGate(Composite):
    r""":math:`r\,\sigma((g - \tau) / T)`: a gate that opens by and by, so that its reward has a slope on both sides.

    Range: 0 to the inner upper bound, as far as the gate opens; both children must start at 0 or above. Higher is
    better. NaN where either could not be scored, unless the inner value is 0. Not lazy: both are called on every row;
    `Gate` saves the dear one. With T towards 0 it becomes `Gate`.

    Args:
        gate: g.
        inner: r.
        threshold: τ, where the gate is half open.
        temperature: T.
        name: the gate's own name.

    Raises:
        RewardError: a child whose lower bound is below 0, or a temperature that is not above 0.
    """

    def __init__(
        self, gate: Reward, inner: Reward, threshold: float, temperature: float = 0.1, name: str = "soft_gate"
    ) -> None:
        named = by_name([(gate, 1.0), (inner, 1.0)])
        super().__init__({one: reward for one, (reward, _) in named.items()}, name)
        for one, child in self.children.items():
            refuse_negative(name, one, child)
        if not (0 < temperature < math.inf and math.isfinite(threshold)):
            raise RewardError(f"reward {name!r}: temperature {temperature} must be above 0 and threshold finite")
        self.threshold, self.temperature = threshold, temperature
        self.bounds = (self._opened(inner.bounds[0], gate.bounds[0]), self._opened(inner.bounds[1], gate.bounds[1]))

    def score(self, **columns: Any) -> RewardOutput:
        """Score both; see `Reward.score`."""
        outputs = {name: child(**columns) for name, child in self.children.items()}
        gate, inner = stacked(outputs.values())
        opened = transform_functional.soft_gate(inner, gate, self.threshold, self.temperature)
        return merge(opened.float(), outputs)

    def _opened(self, value: float, gate: float) -> float:
        inner, opening = torch.tensor([value], dtype=torch.float64), torch.tensor([gate], dtype=torch.float64)
        return float(transform_functional.soft_gate(inner, opening, self.threshold, self.temperature))
