"""Solids as signed distance functions.

Each kind is defined at unit size, upright, centred in its bounding box: half its height or width is at most 1. A
distance is exact or, for the pyramid and inside of unions, a lower bound with gradient length at most 1, which is
what sphere tracing needs (Hart 1996).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from apps.text3d.prompts.prompt import Thing
from apps.text3d.prompts.vocabulary import COLOURS

Sdf = Callable[[Tensor], Tensor]

CUBE = 0.8
CYLINDER = (0.75, 0.85)
CONE = (0.9, 0.95)
TORUS = (0.68, 0.3)
PYRAMID = (0.8, 0.85)
CAPSULE = (0.5, 0.5)
CROSS = (1.0, 0.3)


def _box(points: Tensor, half: Tensor) -> Tensor:
    beyond = points.abs() - half
    return _length(beyond.clamp_min(0)) + beyond.amax(-1).clamp_max(0)


def _length(points: Tensor) -> Tensor:
    return points.square().sum(-1).sqrt()


def _cube(points: Tensor) -> Tensor:
    return _box(points, points.new_full((3,), CUBE))


def _sphere(points: Tensor) -> Tensor:
    return _length(points) - 1.0


def _cylinder(points: Tensor) -> Tensor:
    radius, half = CYLINDER
    beyond = torch.stack([_length(points[..., :2]) - radius, points[..., 2].abs() - half], -1)
    return _length(beyond.clamp_min(0)) + beyond.amax(-1).clamp_max(0)


def _cone(points: Tensor) -> Tensor:
    """The rim's profile is a triangle: the nearest of its slanted edge and its base, with the sign of the inside."""
    radius, half = CONE
    across, up = _length(points[..., :2]), points[..., 2]
    share = ((radius - across) * radius + (up + half) * 2 * half) / (radius**2 + 4 * half**2)
    share = share.clamp(0, 1)
    slant = torch.hypot(across - radius * (1 - share), up + half - 2 * half * share)
    base = torch.hypot((across - radius).clamp_min(0), up + half)
    inside = (up > -half) & (across * 2 * half + (up + half) * radius < 2 * half * radius)
    return torch.where(inside, -torch.minimum(slant, base), torch.minimum(slant, base))


def _torus(points: Tensor) -> Tensor:
    big, small = TORUS
    return torch.hypot(_length(points[..., :2]) - big, points[..., 2]) - small


def _pyramid(points: Tensor) -> Tensor:
    """The greatest distance to the five planes: exact inside, a lower bound outside."""
    half_base, half = PYRAMID
    slope = math.hypot(2 * half, half_base)
    side = points[..., :2].abs().amax(-1)
    faces = (side * 2 * half + (points[..., 2] - half) * half_base) / slope
    return torch.maximum(faces, -points[..., 2] - half)


def _capsule(points: Tensor) -> Tensor:
    radius, half = CAPSULE
    up = points[..., 2] - points[..., 2].clamp(-half, half)
    return torch.hypot(_length(points[..., :2]), up) - radius


def _cross(points: Tensor) -> Tensor:
    """Three bars through one middle: up, along x and along y."""
    long, thin = CROSS
    bars = [[long, thin, thin], [thin, long, thin], [thin, thin, long]]
    return torch.stack([_box(points, points.new_tensor(bar)) for bar in bars]).amin(0)


#: Signed distance `(..., )` at points `(..., 3)` of unit solids, negative inside.
UNIT: dict[str, Sdf] = {
    "cube": _cube,
    "sphere": _sphere,
    "cylinder": _cylinder,
    "cone": _cone,
    "torus": _torus,
    "pyramid": _pyramid,
    "capsule": _capsule,
    "cross": _cross,
}

#: Half the extent across (over all rotations about z) and half the height of unit solids.
ACROSS: dict[str, float] = {
    "cube": CUBE * math.sqrt(2),
    "sphere": 1.0,
    "cylinder": CYLINDER[0],
    "cone": CONE[0],
    "torus": sum(TORUS),
    "pyramid": PYRAMID[0] * math.sqrt(2),
    "capsule": CAPSULE[0],
    "cross": math.hypot(*CROSS),
}
UPWARD: dict[str, float] = {
    "cube": CUBE,
    "sphere": 1.0,
    "cylinder": CYLINDER[1],
    "cone": CONE[1],
    "torus": TORUS[1],
    "pyramid": PYRAMID[1],
    "capsule": sum(CAPSULE),
    "cross": CROSS[0],
}

#: Volumes of unit solids.
VOLUME: dict[str, float] = {
    "cube": 8 * CUBE**3,
    "sphere": 4 / 3 * math.pi,
    "cylinder": 2 * math.pi * CYLINDER[0] ** 2 * CYLINDER[1],
    "cone": 2 / 3 * math.pi * CONE[0] ** 2 * CONE[1],
    "torus": 2 * math.pi**2 * TORUS[0] * TORUS[1] ** 2,
    "pyramid": 8 / 3 * PYRAMID[0] ** 2 * PYRAMID[1],
    "capsule": math.pi * CAPSULE[0] ** 2 * (2 * CAPSULE[1] + 4 / 3 * CAPSULE[0]),
    "cross": 3 * 8 * CROSS[0] * CROSS[1] ** 2 - 2 * 8 * CROSS[1] ** 3,
}

#: Height of the centre of mass above the middle of the bounding box, at unit size.
CENTRE_OF_MASS: dict[str, float] = {"cone": -CONE[1] / 2, "pyramid": -PYRAMID[1] / 2}


def bounding_radius(kind: str) -> float:
    """Of the sphere about the origin that holds the unit solid."""
    if kind == "cube":
        return CUBE * math.sqrt(3)
    if kind in ("cylinder", "cone", "pyramid"):
        return math.hypot(ACROSS[kind], UPWARD[kind])
    if kind == "cross":
        return math.hypot(CROSS[0], CROSS[1], CROSS[1])
    return max(ACROSS[kind], UPWARD[kind])


@dataclass(frozen=True)
class Solid:
    """A solid in the world.

    Attributes:
        kind: of `UNIT`.
        colour: of `vocabulary.COLOURS`.
        size: metres that one unit is.
        position: of the middle of its bounding box, in metres.
        rotation: about z, in degrees.
        thing: which of the prompt's objects it belongs to; −1 for none.
        sized: the size word that it answers to; None for the usual size.
    """

    kind: str
    colour: str
    size: float
    position: tuple[float, float, float]
    rotation: float = 0.0
    thing: int = -1
    sized: str | None = None

    @property
    def described(self) -> Thing:
        """It, in the words of a prompt."""
        return Thing(self.kind, self.colour, self.sized)

    @property
    def rgb(self) -> tuple[float, float, float]:
        """Its colour in sRGB, 0 to 1."""
        return COLOURS[self.colour]

    def local(self, points: Tensor) -> Tensor:
        """World points `(..., 3)` in the solid's own frame, at unit size."""
        moved = (points - points.new_tensor(self.position)) / self.size
        angle = math.radians(self.rotation)
        x, y, z = moved.unbind(-1)
        cos, sin = math.cos(angle), math.sin(angle)
        return torch.stack([cos * x + sin * y, cos * y - sin * x, z], -1)

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance in metres `(...)` at world points `(..., 3)`."""
        return UNIT[self.kind](self.local(points)) * self.size
