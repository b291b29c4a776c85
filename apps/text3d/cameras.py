"""Cameras and their conventions, which everything in this application shares.

World: right-handed, z up, metres. Azimuth 0 looks from +x towards the origin and azimuth 90° from +y
(counter-clockwise seen from above); elevation is measured from the ground up. Camera (OpenGL): x right, y up, looking
along −z; `c2w` takes camera coordinates to the world. Pictures: row 0 is the top; pixel centres lie at +0.5; pixels
are square, and the focal length in pixels follows from the height alone: `0.5 H / tan(fovy / 2)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from apps.text3d.optimise_config import ViewpointConfig
from common.errors import UsageError


@dataclass(frozen=True)
class Cameras:
    """Pinhole cameras of one picture size.

    Attributes:
        c2w: `(B, 4, 4)`.
        fovy: `(B,)`, vertical field of view in radians.
        height: of the pictures, in pixels.
        width: likewise.
    """

    c2w: Tensor
    fovy: Tensor
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.c2w.ndim != 3 or self.c2w.shape[1:] != (4, 4) or self.fovy.shape != self.c2w.shape[:1]:
            shapes = f"{tuple(self.c2w.shape)}, {tuple(self.fovy.shape)}"
            raise UsageError(f"cameras need c2w (B, 4, 4) and fovy (B,); these are {shapes}")

    def __len__(self) -> int:
        """How many."""
        return len(self.c2w)

    def __getitem__(self, rows: slice | list[int] | Tensor) -> Cameras:
        """Some of them."""
        return Cameras(self.c2w[rows], self.fovy[rows], self.height, self.width)

    def at_size(self, height: int, width: int | None = None) -> Cameras:
        """The same cameras with pictures of another size."""
        return Cameras(self.c2w, self.fovy, height, width or height)

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras on a device."""
        return Cameras(self.c2w.to(device), self.fovy.to(device), self.height, self.width)

    @property
    def positions(self) -> Tensor:
        """`(B, 3)` in the world."""
        return self.c2w[:, :3, 3]

    @property
    def focal(self) -> Tensor:
        """`(B,)` focal length in pixels."""
        return 0.5 * self.height / torch.tan(0.5 * self.fovy)

    @property
    def w2c(self) -> Tensor:
        """`(B, 4, 4)` world to camera."""
        rotation = self.c2w[:, :3, :3].transpose(1, 2)
        moved = -(rotation @ self.c2w[:, :3, 3:])
        last = self.c2w.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(self), 1, 4)
        return torch.cat([torch.cat([rotation, moved], 2), last], 1)

    def rays(self) -> tuple[Tensor, Tensor]:
        """Origins and unit directions through the pixels' centres, each `(B, H, W, 3)` in the world."""
        x = torch.arange(self.width).to(self.c2w) + 0.5 - self.width / 2
        y = self.height / 2 - 0.5 - torch.arange(self.height).to(self.c2w)
        focal = self.focal[:, None, None]
        across = (x[None, None, :] / focal).expand(-1, self.height, -1)
        up = (y[None, :, None] / focal).expand(-1, -1, self.width)
        inside = torch.stack([across, up, -torch.ones_like(up)], -1)
        directions = functional.normalize(inside @ self.c2w[:, None, :3, :3].transpose(-1, -2), dim=-1)
        return self.positions[:, None, None, :].expand_as(directions), directions

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Where points of the world are seen.

        Args:
            points: `(N, 3)`.

        Returns:
            `(B, N, 2)` columns and rows in pixels, and `(B, N)` depths along the view, positive in front.
        """
        inside = points @ self.w2c[:, :3, :3].transpose(1, 2) + self.w2c[:, None, :3, 3]
        depth = -inside[..., 2]
        scale = self.focal[:, None] / depth.clamp_min(1e-6)
        columns = self.width / 2 + inside[..., 0] * scale
        rows = self.height / 2 - inside[..., 1] * scale
        return torch.stack([columns, rows], -1), depth


def orbit(
    azimuth: Tensor | list[float],
    elevation: Tensor | list[float] | float = 15.0,
    distance: Tensor | list[float] | float = 3.2,
    fovy: Tensor | list[float] | float = 40.0,
    size: int = 64,
    target: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Cameras:
    """Cameras on a sphere that look at one point.

    Args:
        azimuth: `(B,)` in degrees; see the module.
        elevation: in degrees, short of ±90; one for all or `(B,)`.
        distance: in metres.
        fovy: vertical field of view in degrees.
        size: height and width of the pictures.
        target: that they look at.
    """
    angles = torch.deg2rad(torch.as_tensor(azimuth, dtype=torch.float32).reshape(-1))
    count = len(angles)

    def each(value: Tensor | list[float] | float) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float32).expand(count)

    up = torch.deg2rad(each(elevation))
    if bool((up.abs() >= math.pi / 2).any()):
        raise UsageError("an elevation must lie between -90 and 90 degrees; there a camera does not know its sides")
    outward = torch.stack([up.cos() * angles.cos(), up.cos() * angles.sin(), up.sin()], 1)
    right = torch.stack([-angles.sin(), angles.cos(), torch.zeros_like(angles)], 1)
    rotation = torch.stack([right, torch.cross(outward, right, dim=1), outward], 2)
    c2w = torch.eye(4).repeat(count, 1, 1)
    c2w[:, :3, :3] = rotation
    c2w[:, :3, 3] = torch.tensor(target) + outward * each(distance)[:, None]
    return Cameras(c2w, torch.deg2rad(each(fovy)), size, size)


def drawn(config: ViewpointConfig, size: int, generator: torch.Generator) -> Cameras:
    """The cameras of one step of an optimisation: `config.views` at equal steps of azimuth.

    Args:
        config: the bounds.
        size: height and width of the pictures.
        generator: that draws; every step takes the same number of numbers from it.
    """
    turn, front, *unit = torch.rand(5, generator=generator).tolist()
    first = 0.0 if front < config.front else 360 * turn
    azimuth = [first + 360 * view / config.views for view in range(config.views)]
    elevation, distance, fovy = (
        low + (high - low) * share
        for (low, high), share in zip((config.elevation, config.distance, config.fovy), unit, strict=True)
    )
    return orbit(azimuth, elevation, distance, fovy, size)


def around(views: int, size: int, elevation: float = 15.0, first: float = 0.0) -> Cameras:
    """Fixed cameras all around, for previews, turntables and judges; the first at azimuth `first`."""
    return orbit([first + 360 * view / views for view in range(views)], elevation, size=size)
