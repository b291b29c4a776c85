"""Rewards that pay for getting there."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from apps.driving.parts import functional
from apps.driving.parts.signals import ENDS, StateReward
from common.errors import RewardError


class Progress(StateReward):
    r"""Potential-based progress (Ng et al. 1999), :math:`s\,(\gamma \Phi(s') - \Phi(s))`, and a penalty for a failure.

    Φ is the fraction of the route that lies behind. With γ = 1 the sum over an episode is s times its route
    completion, and the penalty where it failed. Range [penalty − s, s]; higher is better. Parts: `progress` and
    `penalty`.

    Args:
        scale: s: what the whole route is worth.
        gamma: γ.
        penalty: added to a failed step, at most 0.
        name: the reward's name.

    Raises:
        RewardError: a setting that cannot be.
    """

    reads = ("progress", "progress_change", *ENDS)
    part_names = ("progress", "penalty")

    def __init__(
        self, scale: float = 100.0, gamma: float = 1.0, penalty: float = -10.0, name: str = "progress"
    ) -> None:
        if not (0 < scale < math.inf and 0 < gamma <= 1 and -math.inf < penalty <= 0):
            raise RewardError(
                f"reward {name!r}: scale {scale} must be above 0, gamma {gamma} in (0, 1], penalty {penalty} at most 0"
            )
        super().__init__(name, (penalty - scale, scale))
        self.scale, self.gamma, self.penalty = scale, gamma, penalty

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        paid = self.scale * functional.potential(state["progress"], state["progress_change"], self.gamma)
        at = functional.failed(state["terminated"], state["success"], state["collision"])
        penalty = torch.where(at, self.penalty, 0.0).double()
        return paid + penalty, {"progress": paid, "penalty": penalty}


class CarlProgress(StateReward):
    r"""CaRL's simple reward (arXiv 2504.17838): progress, which soft infractions multiply and hard ones end.

    .. math:: R = 100 \, \Delta\Phi \cdot f_{lane} \cdot f_{limit} \cdot f_{ahead} - T

    f_lane = 0 where the car's middle is outside its lane, else 1; f_limit falls from 1 at the speed limit to 0 at
    `excess` above it; f_ahead = 1/2 where what is on the way would be met within `headway` seconds, else 1. T = 1
    where the step failed or a red light was run. Range [−101, 100]; higher is better. Parts: progress and the factors.

    Differs: its comfort factor needs jerk and yaw rates, which the state does not have; its look ahead projects every
    participant, this one takes the nearest thing on the way as standing, and is off by default (`headway` 0).

    Args:
        excess: in m/s; CaRL takes nuPlan's 2.23.
        headway: in seconds.
        penalty: T.
        name: the reward's name.
    """

    reads = ("progress_change", "offset", "lane_width", "speed", "speed_limit", "hazard", "red_light", *ENDS)
    part_names = ("progress", "lane", "limit", "ahead", "terminal")

    def __init__(self, excess: float = 2.23, headway: float = 0.0, penalty: float = 1.0, name: str = "carl") -> None:
        if not (excess > 0 and headway >= 0 and 0 <= penalty < math.inf):
            raise RewardError(
                f"reward {name!r}: excess {excess} must be above 0, headway {headway} and penalty {penalty} not below"
            )
        super().__init__(name, (-100.0 - penalty, 100.0))
        self.excess, self.headway, self.penalty = excess, headway, penalty

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        at = functional.failed(state["terminated"], state["success"], state["collision"]) | (state["red_light"] > 0)
        near = state["hazard"] < self.headway * state["speed"].clamp(min=0)
        parts = {
            "progress": 100 * state["progress_change"].clamp(-1, 1),
            "lane": (state["offset"].abs() <= state["lane_width"] / 2).double(),
            "limit": 1 - ((state["speed"].abs() - state["speed_limit"]) / self.excess).clamp(0, 1),
            "ahead": torch.where(near, 0.5, 1.0).double(),
        }
        paid = torch.stack(list(parts.values())).prod(0)
        terminal = -self.penalty * at.double()
        return paid + terminal, parts | {"terminal": terminal}
