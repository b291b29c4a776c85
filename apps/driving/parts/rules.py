"""Hand-written rewards of other papers, for honest comparison, as terms of the state.

Formulas after VLM-RL's comparison (arXiv 2412.15544) unless another source is named; clean-room. Where theirs read the
speed, these read the speed along the route (`functional.along`): the wrong way and the reverse gear earn nothing,
which the originals leave to chance. Speeds are cut at `functional.FASTEST` so that the bounds hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from apps.driving.parts import functional
from apps.driving.parts.signals import ENDS, StateReward

__all__ = ["Asap", "Chen", "Revolve", "Roach", "Tirl"]


class Tirl(StateReward):
    """−1 on a collision, else 0 (TIRL, Cao et al. 2022, "Trustworthy safety improvement …"). Range [−1, 0]."""

    reads = ("collision",)

    def __init__(self, name: str = "tirl") -> None:
        super().__init__(name, (-1.0, 0.0))

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        return torch.where(state["collision"] > 0, -1.0, 0.0).double(), {}


class Asap(StateReward):
    r"""ASAP-RL: :math:`d / 10 + 1[goal] - 5 \cdot 1[crash]` with d the metres of this step along the route.

    Range [−6, 2] (a step is cut at 10 m, which no car drives); higher is better. The comparison's version pays the
    distance since the start in every step, so that the return grows with the square of the way; this one does not.
    """

    reads = ("distance", "success", "collision")
    part_names = ("distance", "goal", "crash")

    def __init__(self, name: str = "asap") -> None:
        super().__init__(name, (-6.0, 2.0))

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        parts = {
            "distance": (state["distance"] / 10).clamp(-1, 1),
            "goal": (state["success"] > 0).double(),
            "crash": -5 * (state["collision"] > 0).double(),
        }
        return torch.stack(list(parts.values())).sum(0), parts


class Chen(StateReward):
    r"""Chen et al. (arXiv 1904.09503) and ChatScene (CVPR 2024), which takes its form over.

    .. math:: R = w_c c + v + 10 f + o - 5 s^2 - 0.2 |s| v^2 - t

    c, f, o ∈ {−1, 0}: collision, faster than `fast`, further than `lane` from the lane's centre; v along the route in
    m/s; s the steer. Chen: w_c = 200, fast = 8 m/s, t = 0.1. ChatScene: w_c = 1, fast = 5.5 m/s, t = 0.

    Range: the sum of the terms' ranges; higher is better. Parts: the terms.

    Args:
        collision: w_c.
        fast: in m/s.
        lane: in metres.
        living: t.
        name: the reward's name.
    """

    reads = ("collision", "speed", "heading", "offset", "steer")
    part_names = ("collision", "speed", "fast", "lane", "steer", "lateral")

    def __init__(
        self,
        collision: float = 200.0,
        fast: float = 8.0,
        lane: float = 4.0,
        living: float = 0.1,
        name: str = "chen",
    ) -> None:
        top = functional.FASTEST
        # Every term but the speed is a penalty; faster than `fast` costs 10.
        super().__init__(name, (-collision - top - 10 - 1 - 5 - 0.2 * top**2 - living, max(fast, top - 10) - living))
        self.collision, self.fast, self.lane, self.living = collision, fast, lane, living

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        speed = functional.along(state["speed"], state["heading"])
        steer = state["steer"].clamp(-1, 1)
        parts = {
            "collision": -self.collision * (state["collision"] > 0).double(),
            "speed": speed,
            "fast": -10 * (speed > self.fast).double(),
            "lane": -(state["offset"].abs() > self.lane).double(),
            "steer": -5 * steer.square(),
            "lateral": -0.2 * steer.abs() * speed.square(),
        }
        return torch.stack(list(parts.values())).sum(0) - self.living, parts


class Revolve(StateReward):
    r"""Revolve (ICLR 2025, arXiv 2406.01309): a reward that an evolution of language-model code found.

    Collision or v < 1.5 m/s: −1. Else, clipped to [−1, 1], :math:`2 \sigma(q / 0.5) + e^{-d/0.1} + e^{-\sigma_s/0.1} /
    2` with q the speed score (`functional.revolve_speed`), d the distance from the lane's centre and σ_s the spread of
    the steer. With `automatic`, the variant of the comparison that has Eureka's automatic feedback: :math:`e^{-2d} +
    e^{-|v-5|} + e^{-\sigma_s/0.1} + \mathrm{clip}(h/20, 0, 1)` with h the metres to a hazard.

    Range [−1, 1]; higher is better; flat at 1 for most of ordinary driving. Parts: `speed`, `centring`, `smoothness`
    and, automatic, `hazard`.

    The spread is `state.steer_std`, or half of |`state.steer_change`| where the environment has no such entry: the
    spread of the last two steers.

    Args:
        automatic: take the variant.
        name: the reward's name.
    """

    welcome = ("steer_std",)
    part_names: tuple[str, ...] = ("speed", "centring", "smoothness")

    def __init__(self, automatic: bool = False, name: str = "revolve") -> None:
        super().__init__(name, (-1.0, 1.0))
        self.automatic = automatic
        self.reads = ("collision", "speed", "heading", "offset", "steer_change", *(("hazard",) if automatic else ()))
        if automatic:
            self.part_names += ("hazard",)

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        speed = functional.along(state["speed"], state["heading"])
        spread = state["steer_std"].abs() if "steer_std" in state else state["steer_change"].abs() / 2
        offset = state["offset"].abs()
        smooth = torch.exp(-spread / 0.1)
        if self.automatic:
            parts = {
                "speed": torch.exp(-(speed - 5).abs()),
                "centring": torch.exp(-2 * offset),
                "smoothness": smooth,
                "hazard": (state["hazard"] / 20).clamp(0, 1),
            }
        else:
            parts = {
                "speed": 2 * torch.sigmoid(functional.revolve_speed(speed) / 0.5),
                "centring": torch.exp(-offset / 0.1),
                "smoothness": 0.5 * smooth,
            }
        total = torch.stack(list(parts.values())).sum(0).clamp(-1, 1)
        idle = (state["collision"] > 0) | (speed < 1.5)
        return torch.where(idle, -1.0, total), parts


class Roach(StateReward):
    r"""Roach (Zhang et al., arXiv 2108.08265), from its description: its code, not free for all uses, was not read.

    .. math:: R = (1 - |v - v_{des}| / v_{top}) - d / 2 - |\psi| - 0.1 \cdot 1[|\Delta s| > 0.01] - T

    with v_des falling linearly within `room` metres of a hazard, to 0 `standoff` metres before it (ours: the state's
    hazard is measured from the car's middle); T = 1 where the step failed, and |v| more for a collision or a red
    light. d is cut at `lane` metres, beyond which Roach ends the episode, v at 40 m/s.

    Range: the sum of the terms' ranges; higher is better. Parts: the terms.

    Args:
        top: v_top in m/s.
        room: in metres.
        standoff: metres before the hazard where v_des is 0.
        lane: in metres.
        name: the reward's name.
    """

    reads = ("speed", "offset", "heading", "steer_change", "hazard", "red_light", *ENDS)
    part_names = ("speed", "position", "rotation", "action", "terminal")

    def __init__(
        self, top: float = 6.0, room: float = 5.0, standoff: float = 3.0, lane: float = 3.5, name: str = "roach"
    ) -> None:
        self.top, self.room, self.standoff, self.lane = top, room, standoff, lane
        fastest = functional.FASTEST
        low = 1 - (fastest + top) / top - lane / 2 - math.pi - 0.1 - 1 - fastest
        super().__init__(name, (low, 1.0))

    def worth(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        speed = state["speed"].clamp(-functional.FASTEST, functional.FASTEST)
        wanted = functional.free_speed(state["hazard"], self.top, self.room, self.standoff)
        pace = 1 - (functional.along(state["speed"], state["heading"]) - wanted).abs() / self.top
        hit = ((state["collision"] > 0) | (state["red_light"] > 0)).double()
        at = functional.failed(state["terminated"], state["success"], state["collision"]).double()
        parts = {
            # As everywhere: nobody is paid for rolling backwards where standing is wanted.
            "speed": torch.where(state["speed"] < -functional.ROLLING, pace.clamp(max=0), pace),
            "position": -state["offset"].abs().clamp(max=self.lane) / 2,
            "rotation": -functional.heading_error(state["heading"]),
            "action": -0.1 * (state["steer_change"].abs() > 0.01).double(),
            "terminal": -torch.maximum(at, hit) - hit * speed.abs(),
        }
        return torch.stack(list(parts.values())).sum(0), parts
