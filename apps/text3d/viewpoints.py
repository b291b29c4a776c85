"""From where a scene is looked at while it is optimised."""

from __future__ import annotations

import torch

from apps.text3d.cameras import Cameras, orbit
from apps.text3d.optimise_config import ViewpointConfig


def draw(config: ViewpointConfig, size: int, generator: torch.Generator) -> Cameras:
    """The cameras of one step: `config.views` at equal steps of azimuth.

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
