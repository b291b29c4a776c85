"""What is behind a scene. It is never part of it: `over` lays pictures upon it, and exports know none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from apps.text3d.cameras import Cameras
from common.errors import UsageError


class LearnedBackground(nn.Module):
    r"""A colour for each direction of the world, trained beside a scene: :math:`\sigma(b + W d)`, grey at first.

    VLM3D and threestudio train a network in its place, into which what belongs to the object may be painted. This one
    has twelve numbers, a tone and a slope, such as of sky and ground, and no room for an outline.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tone = nn.Parameter(torch.zeros(3))
        self.slope = nn.Parameter(torch.zeros(3, 3))

    def forward(self, cameras: Cameras) -> Tensor:
        """`(B, 3, H, W)` in (0, 1): what each pixel's ray runs out into."""
        directions = cameras.rays()[1].to(self.tone)
        return torch.sigmoid(self.tone + directions @ self.slope.t()).permute(0, 3, 1, 2)


def background(kind: str | Sequence[float], count: int, generator: torch.Generator | None = None) -> Tensor:
    """`(B, 3)` colours in [0, 1].

    A random one, new at every step, makes what is transparent show: a white scene on white costs nothing otherwise.

    Args:
        kind: "white", "black", "random" (one colour a view) or three numbers in [0, 1].
        count: of views.
        generator: for "random".

    Raises:
        UsageError: no such background.
    """
    if kind == "random":
        device = generator.device if generator is not None else None
        return torch.rand(count, 3, generator=generator, device=device)
    named = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
    colour = named.get(kind) if isinstance(kind, str) else tuple(kind)
    if colour is None or len(colour) != 3 or not all(0 <= part <= 1 for part in colour):
        raise UsageError(f"a background is white, black, random or three numbers from 0 to 1, not {kind!r}")
    return torch.tensor(colour).expand(count, 3)


def over(colour: Tensor, opacity: Tensor, behind: Tensor | None) -> Tensor:
    """Pictures `(B, 3, H, W)`, already times their opacity `(B, 1, H, W)`, over what is behind.

    Args:
        colour: the pictures.
        opacity: theirs.
        behind: one colour `(3,)`, one a view `(B, 3)`, one a pixel `(B, 3, H, W)`; None is white.

    Raises:
        UsageError: another shape.
    """
    if behind is None:
        return colour + (1 - opacity)
    if behind.shape == colour.shape:
        return colour + (1 - opacity) * behind.to(colour)
    if behind.shape not in ((3,), (len(colour), 3)):
        shapes = f"(3,), ({len(colour)}, 3) or {tuple(colour.shape)}"
        raise UsageError(f"a background has shape {shapes}, not {tuple(behind.shape)}")
    return colour + (1 - opacity) * behind.to(colour).expand(len(colour), 3)[..., None, None]
