"""Angles, the view from the ego, and oriented boxes that touch or do not.

Axes are those of `apps.driving.backends.base`: x forward, y to the right, yaw from x towards y. All lengths in metres,
all angles in radians.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

TURN = 2.0 * math.pi


def wrap(angle: float) -> float:
    """An angle as the equal one in (-pi, pi]; for one number in the hot path."""
    if -math.pi < angle <= math.pi:
        return angle
    angle = math.fmod(angle, TURN)
    if angle > math.pi:
        return angle - TURN
    if angle <= -math.pi:
        return angle + TURN
    return angle


def wrapped(angles: ArrayLike) -> NDArray[np.float64]:
    """Angles of any shape as the equal ones in (-pi, pi]."""
    return np.asarray(math.pi - np.mod(math.pi - np.asarray(angles, np.float64), TURN))


def to_frame(points: ArrayLike, x: float, y: float, yaw: float) -> NDArray[np.float64]:
    """Points of the world as someone at `x`, `y` sees them who looks along `yaw`.

    Args:
        points: `(..., 2)`, in the world.
        x: of the looker.
        y: of the looker.
        yaw: of the looker.

    Returns:
        `(..., 2)`: metres ahead and metres to the right.
    """
    away = np.asarray(points, np.float64) - (x, y)
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.asarray(away @ np.array([[cos, -sin], [sin, cos]]))


def from_frame(points: ArrayLike, x: float, y: float, yaw: float) -> NDArray[np.float64]:
    """The inverse of `to_frame`: `(..., 2)` metres ahead and to the right, back into the world."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.asarray(np.asarray(points, np.float64) @ np.array([[cos, sin], [-sin, cos]]) + (x, y))


def corners(poses: ArrayLike, extents: ArrayLike) -> NDArray[np.float64]:
    """The polygons of boxes.

    Args:
        poses: `(..., 3 or 4)`: x, y, (z,) yaw.
        extents: `(..., 2)`: half the length, half the width.

    Returns:
        `(..., 4, 2)`: front right, rear right, rear left, front left; the first is not repeated.
    """
    poses, extents = np.asarray(poses, np.float64), np.asarray(extents, np.float64)
    cos, sin = np.cos(poses[..., -1:]), np.sin(poses[..., -1:])
    along = extents[..., :1] * (1.0, -1.0, -1.0, 1.0)
    right = extents[..., 1:] * (1.0, 1.0, -1.0, -1.0)
    x = poses[..., :1] + along * cos - right * sin
    y = poses[..., 1:2] + along * sin + right * cos
    return np.stack([x, y], axis=-1)


def near(
    x: float, y: float, reach: float, poses: NDArray[np.float64], extents: NDArray[np.float64]
) -> NDArray[np.intp]:
    """The broad phase: which boxes may come within `reach` of a point; none that does is left out.

    Args:
        x: of the point.
        y: of the point.
        reach: for a box, half its diagonal.
        poses: `(N, 3 or 4)`: x, y, (z,) yaw.
        extents: `(N, 2)`: half the length, half the width.

    Returns:
        `(K,)` rows, rising.
    """
    dx, dy = poses[:, 0] - x, poses[:, 1] - y
    radius = extents[:, 0] + extents[:, 1] + reach  # above the diagonal, and without a root
    return np.flatnonzero(dx * dx + dy * dy <= radius * radius)


def overlaps(
    pose: tuple[float, float, float],
    extent: tuple[float, float],
    poses: NDArray[np.float64],
    extents: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether one box overlaps each of many, by the separating axes of rectangles (Gottschalk et al. 1996).

    Two boxes are apart if and only if they are so along one of their four sides. Boxes that only
    touch may count as either.

    Args:
        pose: x, y, yaw of the one.
        extent: half its length, half its width.
        poses: `(N, 3 or 4)`: x, y, (z,) yaw of the others.
        extents: `(N, 2)`: half their lengths, half their widths.

    Returns:
        `(N,)`.
    """
    x, y, yaw = pose
    length, width = extent
    dx, dy = poses[:, 0] - x, poses[:, 1] - y
    others, long, wide = poses[:, -1], extents[:, 0], extents[:, 1]
    turn = others - yaw
    c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    cos, sin = math.cos(yaw), math.sin(yaw)
    apart = np.abs(dx * cos + dy * sin) > length + long * c + wide * s
    apart |= np.abs(dy * cos - dx * sin) > width + long * s + wide * c
    cos_, sin_ = np.cos(others), np.sin(others)
    apart |= np.abs(dx * cos_ + dy * sin_) > long + length * c + width * s
    apart |= np.abs(dy * cos_ - dx * sin_) > wide + length * s + width * c
    return ~apart
