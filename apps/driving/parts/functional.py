"""The pure functions behind the driving rewards: tensors of a batch in, a tensor of the batch out.

Units: metres, seconds, m/s, radians, as in `apps.driving.backends.base`. All of them take `(B,)` tensors of any float
type, return `(B,)`, score each row by itself, pass NaN on, and stay in their range for every finite input and for
infinite ones too. None of them has the defects that were found in published code (`shared/reference/driving.md`, 3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from common.rewards.transforms.functional import potential_shaping

#: Rolling back slower than this, in m/s, is no reverse driving: cars do so when they start on a hill.
ROLLING = 0.1
#: Speeds beyond are counted as this, in m/s, so that a sum of terms has bounds.
FASTEST = 40.0


def safety(z: Tensor, low: float, high: float) -> Tensor:
    r""":math:`c = 1 - (\mathrm{clip}(z, low, high) - low) / (high - low)`: 1 is safe, 0 dangerous.

    z is the gap of cosines, :math:`\cos(o, l_{neg}) - \cos(o, l_{pos})` (`common.rewards.image.functional`). Range
    [0, 1]. VLM-RL's code (arXiv 2412.15544), there with low 0 and high 0.03, which belong to its CLIP and its prompts.

    Raises:
        ValueError: low is not below high.
    """
    if not low < high:
        raise ValueError(f"low {low} must be below high {high}")
    return 1 - ((z - low) / (high - low)).clamp(0, 1)


def target_speed(speed: Tensor, safe: Tensor, top: float, floor: float = -1.0) -> Tensor:
    r"""Speed synthesis: :math:`v_{des} = c \, v_{top}`, :math:`r = 1 - |v - v_{des}| / v_{top}`.

    Args:
        speed: along the nose in m/s, negative in reverse.
        safe: c in [0, 1].
        top: speed where all is safe, in m/s.
        floor: least value; VLM-RL's own runs end above 35 km/h and so at −0.4.

    Returns:
        In [floor, 1]. In reverse at most 0: whoever drives backwards earns nothing by it, whatever the speed that is
        wanted. VLM-RL (arXiv 2412.15544); there speed has no sign.
    """
    reward = (1 - (speed - safe * top).abs() / top).clamp(floor, 1)
    return torch.where(speed < -ROLLING, reward.clamp(max=0), reward)


def speed_band(speed: Tensor, slow: float, target: float, top: float, floor: float = -1.0) -> Tensor:
    r"""Hand-written speed reward: v / slow below `slow`, 1 up to `target`, then falling to 0 at `top` and on to
    `floor`.

    Speeds in m/s; range [floor, 1]; reverse earns at most 0. `reward_fn5` of VLM-RL (after bitsauce's Carla-ppo), with
    20, 25 and 35 km/h.
    """
    reward = torch.where(speed > target, 1 - (speed - target) / (top - target), (speed / slow).clamp(max=1))
    return reward.clamp(floor, 1)


def centring(offset: Tensor, widest: float) -> Tensor:
    r""":math:`\max(1 - |d| / d_{max}, 0)` of the distance from the lane's centre in metres. Range [0, 1].

    The distance is lateral and in the plane, so a hill does not shift it (VLM-RL's mixes heights in: up to 11 m).
    """
    return (1 - offset.abs() / widest).clamp(0, 1)


def heading_error(heading: Tensor) -> Tensor:
    """|ψ| in [0, π] of an angle that may be wrapped or not, in radians."""
    return (torch.remainder(heading + math.pi, 2 * math.pi) - math.pi).abs()


def alignment(heading: Tensor, widest: float = math.pi / 2) -> Tensor:
    r""":math:`\max(1 - |\psi| / \psi_{max}, 0)` of the nose against the route's direction, in radians. Range [0, 1].

    Falls with |ψ| and never rises again: the wrong way pays nothing. (VLM-RL's angle is 0 from 132° on, a full mark
    for the wrong way, and comes from the velocity, so that a standing car has none.)
    """
    return (1 - heading_error(heading) / widest).clamp(0, 1)


def stability(spread: Tensor, widest: float = 0.4) -> Tensor:
    r""":math:`\max(1 - \sigma / \sigma_{max}, 0)` of the spread of distances from the lane's centre, in metres.

    Range [0, 1]. The spread of a single step is 0, so the first step of an episode pays in full (VLM-RL: last 30
    steps).
    """
    return (1 - spread.abs() / widest).clamp(0, 1)


def along(speed: Tensor, heading: Tensor) -> Tensor:
    r"""Speed along the route, :math:`v \cos\psi`, in m/s, cut at ±`FASTEST`; reverse never counts as gain."""
    speed = speed.clamp(-FASTEST, FASTEST)
    part = speed * torch.cos(heading)
    return torch.where(speed < 0, -part.abs(), part)


def failed(terminated: Tensor, success: Tensor, collision: Tensor) -> Tensor:
    """Whether a step deserves the terminal penalty, `(B,)` bool: a bad end, or a collision whether it ends or not.

    A time limit is a truncation, not an end. Where goal and collision come in one step, the collision wins.
    """
    return ((terminated > 0) & ~(success > 0)) | (collision > 0)


def penalised(values: Tensor, at: Tensor, penalty: float) -> Tensor:
    """`penalty` in place of the value where a step failed: what a crash is worth does not depend on its speed."""
    return torch.where(at, penalty, values)


def potential(progress: Tensor, change: Tensor, gamma: float = 1.0) -> Tensor:
    r"""Potential-based progress :math:`\gamma \Phi(s') - \Phi(s)` with Φ the fraction of the route (Ng et al. 1999).

    With γ = 1 the sum over an episode is its route completion. Range [−1, 1]. Nothing that is cumulative is paid per
    step, so that the return does not grow with the square of the way (a defect of VLM-RL's ASAP).

    Args:
        progress: after the step, in [0, 1].
        change: of the step.
        gamma: the trainer's discount; 1 telescopes.
    """
    return potential_shaping(progress - change, progress, gamma).clamp(-1, 1)


def free_speed(hazard: Tensor, top: float, room: float, standoff: float = 0.0) -> Tensor:
    r"""Speed that is wanted before a hazard, :math:`v_{top} \, \mathrm{clip}((h - h_0) / l, 0, 1)`, in m/s.

    Roach (arXiv 2108.08265): it falls linearly within `room` metres of what is on the way.
    """
    return top * ((hazard - standoff) / room).clamp(0, 1)


def revolve_speed(speed: Tensor) -> Tensor:
    r"""Revolve's speed score: :math:`1 - |v - 5| / 1.75` from 4 to 6 m/s, else −1. Range [−1, 1]."""
    return torch.where((speed >= 4) & (speed <= 6), 1 - (speed - 5).abs() / 1.75, -1.0)
