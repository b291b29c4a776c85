"""Texts that depend on the camera, and how the noise for several texts becomes one: guidance and Perp-Neg."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras
from common.errors import UsageError

#: Texts for cameras: one for all, or a function that gives one for each.
Texts = str | Callable[[Cameras], Sequence[str]]

#: Where a direction's middle lies, in degrees of azimuth: the front is what the camera at azimuth 0 sees.
_DIRECTIONS = {"front": (0.0,), "side": (90.0, 270.0), "back": (180.0,)}
#: From this elevation on, in degrees, a view is from above (DreamFusion, arXiv 2209.14988, 3.2).
_OVERHEAD = 60.0


class Negatives(Protocol):
    """Texts that a view should not look like, with weights, for each camera; the same number for all."""

    def __call__(self, cameras: Cameras) -> list[list[tuple[str, float]]]:
        """For each camera its texts and how much each counts."""


def texts_for(texts: Texts, cameras: Cameras) -> list[str]:
    """One text for each camera.

    Raises:
        UsageError: a function gave another number.
    """
    if isinstance(texts, str):
        return [texts] * len(cameras)
    found = list(texts(cameras))
    if len(found) != len(cameras):
        raise UsageError(f"there are {len(cameras)} cameras and {len(found)} texts; give one for each")
    return found


def angles(cameras: Cameras) -> tuple[list[float], list[float]]:
    """Azimuths in [0, 360) and elevations of cameras that look at the origin's axis, in degrees."""
    x, y, z = cameras.positions.double().unbind(1)
    azimuth = torch.rad2deg(torch.atan2(y, x)) % 360
    elevation = torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))
    return azimuth.tolist(), elevation.tolist()


def direction(azimuth: float, elevation: float) -> str:
    """What a camera sees of an object: "overhead", or the nearest of "front", "side" and "back"."""
    if elevation > _OVERHEAD:
        return "overhead"
    return min(_DIRECTIONS, key=lambda name: _apart(azimuth, name))


def view_dependent(prompt: str) -> Callable[[Cameras], list[str]]:
    """DreamFusion's texts for each camera: the prompt and "front", "side", "back" or "overhead view"."""

    def texts(cameras: Cameras) -> list[str]:
        return [f"{prompt}, {direction(*each)} view" for each in zip(*angles(cameras), strict=True)]

    return texts


def other_directions(prompt: str, weight: float = 1.0) -> Negatives:
    """Against several faces (Janus): what a camera should not show is the other sides of the object.

    Each of the prompt's front, side and back texts counts with `weight` · (1 − cos of the angle to it) / 2, and the
    text of the camera's own direction with nothing, so that the back of the object is held against its front in full.
    Perp-Neg (arXiv 2304.04968) interpolates embeddings between directions; this keeps its idea and whole texts.
    """

    def negatives(cameras: Cameras) -> list[list[tuple[str, float]]]:
        rows = []
        for azimuth, elevation in zip(*angles(cameras), strict=True):
            own = direction(azimuth, elevation)
            away = {name: 0.5 - 0.5 * math.cos(math.radians(_apart(azimuth, name))) for name in _DIRECTIONS}
            rows.append(
                [
                    (f"{prompt}, {name} view", 0.0 if name == own or own == "overhead" else weight * share)
                    for name, share in away.items()
                ]
            )
        return rows

    return negatives


def guided(text: Tensor, base: Tensor, scale: float) -> Tensor:
    r"""Classifier-free guidance in its textbook form, :math:`\epsilon_u + s(\epsilon_t - \epsilon_u)`.

    s = 1 is the plain conditional model. DreamFusion's ω is s − 1; threestudio computes
    :math:`\epsilon_t + s(\epsilon_t - \epsilon_u)`, so that its scale of 100 is 101 here. With a negative text its
    noise stands for :math:`\epsilon_u`; where that equals the positive one nothing is left to guide.
    """
    return base + scale * (text - base)


def perp_neg(text: Tensor, base: Tensor, negatives: Tensor, weights: Tensor, scale: float) -> Tensor:
    r"""Perp-Neg (arXiv 2304.04968): of each negative only what is perpendicular to the positive is taken away.

    .. math:: \epsilon = \epsilon_u + s\Bigl(d - \sum_i w_i \bigl(d_i - \tfrac{\langle d_i, d\rangle}{\|d\|^2}
        d\bigr)\Bigr), \qquad d = \epsilon_t - \epsilon_u,\ d_i = \epsilon_i - \epsilon_u

    Args:
        text: `(B, C, h, w)` noise for the positive text.
        base: `(B, C, h, w)`, without text.
        negatives: `(B, N, C, h, w)`, for each negative text.
        weights: `(B, N)`.
        scale: s.
    """
    towards = (text - base).unsqueeze(1)
    away = negatives - base.unsqueeze(1)
    inside = (2, 3, 4)
    along = (away * towards).sum(inside, keepdim=True) / (towards**2).sum(inside, keepdim=True).clamp_min(1e-12)
    across = away - along * towards
    return base + scale * (towards.squeeze(1) - (weights[:, :, None, None, None] * across).sum(1))


def _apart(azimuth: float, name: str) -> float:
    """Degrees from an azimuth to the nearest middle of a direction, in [0, 180]."""
    return min(abs((azimuth - middle + 180) % 360 - 180) for middle in _DIRECTIONS[name])
