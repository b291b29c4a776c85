"""What is behind a scene. It is never part of it: `over` lays pictures upon it, and exports know none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from common.errors import UsageError


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
    """Pictures `(B, 3, H, W)`, already times their opacity `(B, 1, H, W)`, over `(3,)`, `(B, 3)` or None: white."""
    if behind is None:
        return colour + (1 - opacity)
    if behind.shape not in ((3,), (len(colour), 3)):
        raise UsageError(f"a background has shape (3,) or ({len(colour)}, 3), not {tuple(behind.shape)}")
    return colour + (1 - opacity) * behind.to(colour).expand(len(colour), 3)[..., None, None]
