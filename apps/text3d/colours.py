"""CIE Lab of sRGB pixels, and how far colours are from those of the vocabulary; differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from apps.text3d.prompts.vocabulary import COLOURS

#: Colour names in the order of the tables here.
NAMES: tuple[str, ...] = tuple(COLOURS)

#: Lightness counts this much in distances: shading changes it, and a colour's name stays.
LIGHTNESS = 0.5

#: Colours that the vocabulary does not name and that would pass for gray.
NAMELESS = ((1.0, 1.0, 1.0), (0.02, 0.02, 0.02), (1.0, 0.72, 0.79))

# IEC 61966-2-1 and CIE 15, white point D65.
_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)


def to_lab(rgb: Tensor) -> Tensor:
    """CIE L*a*b* of sRGB colours.

    Args:
        rgb: `(..., 3)` in [0, 1]; beyond it clamped.

    Returns:
        `(..., 3)`; L from 0 to 100.
    """
    rgb = rgb.clamp(0, 1)
    # The unused branch of `where` must not give NaN gradients, hence the clamps.
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = linear @ rgb.new_tensor(_TO_XYZ).T / rgb.new_tensor(_WHITE)
    edge = (6 / 29) ** 3
    curve = torch.where(xyz > edge, xyz.clamp_min(edge) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = curve.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def lab_distance(left: Tensor, right: Tensor) -> Tensor:
    """Distance of two sRGB colours `(..., 3)` in Lab with lightness at half weight, `(...)`."""
    scale = left.new_tensor([LIGHTNESS, 1.0, 1.0])
    return ((to_lab(left) - to_lab(right)) * scale).square().sum(-1).sqrt()


def squared_distances(rgb: Tensor) -> Tensor:
    """Squared distances to the vocabulary's colours, `(..., len(NAMES))`, in Lab with lightness at half weight.

    Args:
        rgb: `(..., 3)` sRGB in [0, 1].
    """
    return _squared_distances(rgb, tuple(COLOURS.values()))


def nearest(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest colour: its index in `NAMES`, −1 for white, black and pink, and its distance, both `(...)`."""
    found = _squared_distances(rgb, (*COLOURS.values(), *NAMELESS)).min(-1)
    return torch.where(found.indices < len(NAMES), found.indices, -1), found.values.sqrt()


def _squared_distances(rgb: Tensor, references: tuple[tuple[float, float, float], ...]) -> Tensor:
    scale = rgb.new_tensor([LIGHTNESS, 1.0, 1.0])
    places = to_lab(rgb.new_tensor(references)) * scale
    return ((to_lab(rgb) * scale).unsqueeze(-2) - places).square().sum(-1)
