"""VLM-RL's hierarchical reward synthesis, with and without the language goal, and the goal without the synthesis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from apps.driving.env_config import KMH
from apps.driving.parts import functional
from apps.driving.parts.signals import ENDS, missing, read
from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput

#: Parts of a synthesis beside the goal's own.
FACTORS = ("speed", "centring", "heading", "stability", "penalty")


class Synthesis(Reward):
    r"""VLM-RL (arXiv 2412.15544): what the picture says sets the speed that is wanted; the rest are factors.

    .. math:: R = r_{speed} \cdot f_{centre} \cdot f_{angle} \cdot f_{stab}, \qquad v_{des} = c \, v_{top}

    and `penalty` in place of R where the step failed. c is the goal's value (1 safe, 0 dangerous); without a goal c =
    1, which is the ablation that takes CLIP away and keeps the synthesis. `profile` "band" is the hand-written reward
    that VLM-RL's own comparison starts from: full speed reward from 20 to 25 km/h, no CLIP.

    Range {penalty} ∪ [floor, 1]; higher is better. Parts: the factors, `penalty` (0 or 1: whether it was applied) and,
    with a goal, `goal` (c) and the goal's own parts. Fails (NaN) where the goal cannot be scored, unless the step
    failed: its penalty needs no picture; and where an entry of the state is NaN.

    Differs from the published code, whose defects are documented: the angle comes from the nose, the wrong way and the
    reverse gear pay nothing, hills do not shift the centre, and the speed reward has a floor.

    Args:
        goal: c, a reward in [0, 1]; None for c = 1.
        top: v_top in m/s.
        profile: "target" (above) or "band", which takes no goal.
        widest: d_max in metres.
        sharpest: ψ_max in radians.
        shakiest: σ_max in metres.
        floor: least value of the speed reward.
        penalty: value of a failed step, below the floor.
        name: the reward's name.

    Raises:
        RewardError: limits that cannot be, or a goal outside [0, 1].
    """

    reads = ("speed", "offset", "heading", "offset_std", *ENDS)

    def __init__(
        self,
        goal: Reward | None = None,
        top: float = 25 * KMH,
        profile: Literal["target", "band"] = "target",
        widest: float = 3.0,
        sharpest: float = math.pi / 2,
        shakiest: float = 0.4,
        floor: float = -1.0,
        penalty: float = -10.0,
        name: str = "vlm_rl",
    ) -> None:
        if min(top, widest, sharpest, shakiest) <= 0 or sharpest > math.pi / 2:
            raise RewardError(
                f"reward {name!r}: top {top}, widest {widest} and shakiest {shakiest} must be above 0, and sharpest "
                f"{sharpest} above 0 and at most π/2, or the wrong way would pay"
            )
        if not (math.isfinite(penalty) and penalty < floor <= 0):
            raise RewardError(f"reward {name!r}: penalty {penalty} must be below floor {floor}, and that at most 0")
        if goal is not None and goal.bounds != (0.0, 1.0):
            raise RewardError(
                f"reward {name!r}: the goal {goal.name!r} has bounds {goal.bounds}; it must lie in [0, 1]"
            )
        if profile not in ("target", "band") or (profile == "band" and goal is not None):
            raise RewardError(f"reward {name!r}: profile is target, or band without a goal, not {profile!r}")
        self.goal = goal
        self.top = top
        self.profile = profile
        self.widest, self.sharpest, self.shakiest = widest, sharpest, shakiest
        self.floor = floor
        self.penalty = penalty
        self.name = name
        self.needs = ("state", *(goal.needs if goal is not None else ()))
        self.bounds = (penalty, 1.0)
        self.part_names = (*FACTORS, *named(goal))

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        state = read(self.name, columns["state"], self.reads)
        lost, reasons = missing(state)
        safe = torch.ones(len(lost), dtype=torch.float64)
        parts: dict[str, Tensor] = {}
        if self.goal is not None:
            safe, parts, reasons = asked(self.goal, columns, reasons)
        factors = self.factors(state, safe)
        product = torch.stack(list(factors.values())).prod(0)
        at = functional.failed(state["terminated"], state["success"], state["collision"])
        values = torch.where(lost, torch.nan, functional.penalised(product, at, self.penalty))
        told = {name: factor.float() for name, factor in factors.items()} | {"penalty": at.float()} | parts
        return RewardOutput(values.float(), told, {"reason": reasons})

    def factors(self, state: Mapping[str, Tensor], safe: Tensor) -> dict[str, Tensor]:
        """`speed`, `centring`, `heading` and `stability` of rows `(B,)`, given c."""
        if self.profile == "band":
            # As published: 20, 25 and 35 km/h where the target is 25.
            speed = functional.speed_band(state["speed"], 0.8 * self.top, self.top, 1.4 * self.top, self.floor)
        else:
            speed = functional.target_speed(state["speed"], safe, self.top, self.floor)
        return {
            "speed": speed,
            "centring": functional.centring(state["offset"], self.widest),
            "heading": functional.alignment(state["heading"], self.sharpest),
            "stability": functional.stability(state["offset_std"], self.shakiest),
        }


class GoalOnly(Reward):
    """The language goal without the synthesis: c, and `penalty` where the step failed (an ablation of VLM-RL).

    Range {penalty} ∪ the goal's bounds; higher is better. Parts: `goal` and the goal's own. Fails as `Synthesis` does.

    Args:
        goal: c.
        penalty: value of a failed step, below the goal's bounds.
        name: the reward's name.

    Raises:
        RewardError: the penalty lies within the goal's bounds.
    """

    def __init__(self, goal: Reward, penalty: float = -10.0, name: str = "goal_only") -> None:
        if not (math.isfinite(penalty) and penalty < goal.bounds[0]):
            raise RewardError(f"reward {name!r}: penalty {penalty} must be below the goal's bounds {goal.bounds}")
        self.goal = goal
        self.penalty = penalty
        self.name = name
        self.needs = ("state", *goal.needs)
        self.bounds = (penalty, goal.bounds[1])
        self.part_names = named(goal)

    def score(self, **columns: Any) -> RewardOutput:
        """See `Reward.score`."""
        state = read(self.name, columns["state"], ENDS)
        lost, reasons = missing(state)
        value, parts, reasons = asked(self.goal, columns, reasons)
        at = functional.failed(state["terminated"], state["success"], state["collision"])
        values = torch.where(lost, torch.nan, functional.penalised(value, at, self.penalty))
        return RewardOutput(values.float(), parts, {"reason": reasons})


def asked(
    goal: Reward, columns: Mapping[str, Any], reasons: Sequence[str]
) -> tuple[Tensor, dict[str, Tensor], list[str]]:
    """A goal's values as float64, its parts under `goal`, and the rows' reasons with the goal's own behind them."""
    found = goal(**columns)
    values = found.values.detach().cpu()
    parts = {"goal": values, **{f"goal.{name}": part.cpu() for name, part in found.parts.items()}}
    said = found.info.get("reason", [""] * len(reasons))
    return values.double(), parts, [own or other for own, other in zip(reasons, said, strict=True)]


def named(goal: Reward | None) -> tuple[str, ...]:
    """Names of the parts that a goal adds."""
    return () if goal is None else ("goal", *(f"goal.{name}" for name in goal.part_names))
