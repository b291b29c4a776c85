"""Pictures of the pocket world to learn from: each scene seen once, from a random side, before any background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from apps.text3d.cameras import Cameras, orbit
from apps.text3d.guidance.prompts import angles, direction
from apps.text3d.optimise_config import ViewpointConfig
from apps.text3d.pocket.prompts import prompts, worlds
from apps.text3d.pocket.render import render, visible_shares
from apps.text3d.pocket.world import World

#: Scenes drawn and rendered together.
_TOGETHER = 256
#: Prompts of a split that are told apart; more scenes than that share them.
DISTINCT = 6_000


@dataclass(frozen=True)
class Pictures:
    """Scenes and what was seen of them.

    Attributes:
        worlds: `N` scenes, each true to its prompt.
        colours: `(N, 3, H, W)` uint8, colour times opacity.
        opacity: `(N, 1, H, W)` uint8.
        azimuths: of the cameras, in degrees.
        elevations: likewise.
        shares: of each world's solids, how much of the outline is seen; empty where nobody asked.
    """

    worlds: list[World]
    colours: Tensor
    opacity: Tensor
    azimuths: list[float]
    elevations: list[float]
    shares: list[list[float]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.worlds)

    def on(self, rows: Sequence[int], background: Tensor) -> Tensor:
        """`(B, 3, H, W)` in [0, 1]: some of them before `(B, 3)` or `(3,)` colours."""
        chosen = list(rows)
        clear = 1 - self.opacity[chosen].float() / 255
        behind = background.expand(len(chosen), 3)[:, :, None, None]
        return (self.colours[chosen].float() / 255 + clear * behind).clamp(0, 1)

    def view(self, row: int) -> str:
        """What `view_dependent` calls the side that a picture is seen from."""
        return f"{direction(self.azimuths[row], self.elevations[row])} view"

    def text(self, row: int) -> str:
        """What a picture shows, with the side that it is seen from."""
        return f"{self.worlds[row].prompt.text}, {self.view(row)}"


def seen(
    wanted: list[World], size: int, seed: int, viewpoints: ViewpointConfig | None = None, hidden: bool = False
) -> Pictures:
    """Each world from one random side, under the angles that an optimisation looks from.

    Args:
        wanted: the scenes.
        size: height and width of the pictures.
        seed: of the sides.
        viewpoints: bounds of elevation, distance and field of view; the optimisation's own where not given.
        hidden: also tell how much of each solid is seen, at the cost of a second look.
    """
    from common.ui import progress

    bounds = viewpoints or ViewpointConfig()
    generator = torch.Generator().manual_seed(seed)
    colours, opacity, turns, heights, shares = [], [], list[float](), list[float](), list[list[float]]()
    with progress("drawing", len(wanted)) as bar:
        for start in range(0, len(wanted), _TOGETHER):
            part = wanted[start : start + _TOGETHER]
            cameras = _cameras(len(part), size, bounds, generator)
            views = render(part, cameras, torch.zeros(3))
            colours.append((views.rgb * 255).round().byte())
            opacity.append((views.opacity * 255).round().byte())
            shares += visible_shares(part, cameras) if hidden else []
            around, above = angles(cameras)
            turns += around
            heights += above
            bar(start + len(part))
    return Pictures(wanted, torch.cat(colours), torch.cat(opacity), turns, heights, shares)


def load(split: str, count: int, size: int, seed: int, hidden: bool = False) -> Pictures:
    """`count` scenes of a split of `pocket.combinations`, as pictures.

    Prompts repeat where a split has fewer of them than scenes are asked for; a scene never does.
    """
    found = prompts(split, min(count, DISTINCT), seed)
    made: list[World] = []
    for start in range(0, count, len(found)):
        # With another seed a prompt is shown by another scene.
        made += worlds(found[: count - start], seed + start)
    return seen(made, size, seed, hidden=hidden)


def _cameras(count: int, size: int, bounds: ViewpointConfig, generator: torch.Generator) -> Cameras:
    """One in three from the prompt's own side, whose azimuth is exactly 0; the others from anywhere."""
    unit = torch.rand(5, count, generator=generator)
    azimuth = torch.where(unit[0] < 1 / 3, torch.zeros(count), 360 * unit[1])
    elevation, distance, fovy = (
        (low + (high - low) * share).tolist()
        for (low, high), share in zip((bounds.elevation, bounds.distance, bounds.fovy), unit[2:], strict=True)
    )
    return orbit(azimuth.tolist(), elevation, distance, fovy, size)
