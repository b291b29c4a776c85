"""What the pocket VLM's tower is taught to see: a picture's exact truth as class numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apps.text3d.pocket.solids import Solid
from apps.text3d.pretraining.pictures import Pictures
from apps.text3d.pretraining.questions import SEEN
from apps.text3d.prompts.vocabulary import COLOURS, COUNT_WORDS, KINDS
from common.training.heads import IGNORED, Heads

_COLOURS, _KINDS = list(COLOURS), list(KINDS)
#: Bounds of the classes of a place, in metres, along each of the viewer's axes.
_BOUNDS = (-0.55, -0.3, -0.1, 0.1, 0.3, 0.55)
_AXES = ("across", "near", "high")

#: Of every kind and of every colour: how many there are; where all of these are of one colour or kind, which; where
#: there is but one, its place from left to right, from far to near and from below to above, as the camera sees it.
FIGURES = {
    "kinds": (len(KINDS), 1 + len(COUNT_WORDS)),
    "colours": (len(COLOURS), 1 + len(COUNT_WORDS)),
    "colour of": (len(KINDS), len(COLOURS)),
    "kind of": (len(COLOURS), len(KINDS)),
    **{f"{axis}, {of}": (rows, len(_BOUNDS) + 1) for of, rows in (("kind", 8), ("colour", 8)) for axis in _AXES},
}


def sight_heads(width: int, seed: int) -> Heads:
    """What reads all figures from image tokens.

    A figure is read in one way for all its rows: were red cubes never shown, nothing must learn that cubes are not
    red.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Heads(width, FIGURES, {name: [0] * rows for name, (rows, _) in FIGURES.items()})


def truth_table(pictures: Pictures) -> dict[str, Tensor]:
    """Of each of `FIGURES` the `(N, rows)` class numbers; what hangs on something hidden is not asked."""
    table = {name: torch.full((len(pictures), rows), IGNORED) for name, (rows, _) in FIGURES.items()}
    for row, world in enumerate(pictures.worlds):
        seen = [share >= SEEN for share in pictures.shares[row]]
        for number, kind in enumerate(_KINDS):
            _tell(table, row, "kind", number, pictures.azimuths[row], *_of(world.solids, seen, lambda s: s.kind, kind))
        for number, colour in enumerate(_COLOURS):
            found = _of(world.solids, seen, lambda s: s.colour, colour)
            _tell(table, row, "colour", number, pictures.azimuths[row], *found)
    return table


def _of(
    solids: Sequence[Solid], seen: Sequence[bool], named: Callable[[Solid], str], name: str
) -> tuple[list[Solid], bool]:
    """The solids of a name, and whether all of them are seen."""
    chosen = [(solid, clear) for solid, clear in zip(solids, seen, strict=True) if named(solid) == name]
    return [solid for solid, _ in chosen], all(clear for _, clear in chosen)


def _tell(
    table: dict[str, Tensor], row: int, of: str, number: int, azimuth: float, solids: list[Solid], clear: bool
) -> None:
    if not clear:
        return
    table[f"{of}s"][row, number] = min(len(solids), len(COUNT_WORDS))
    others = {_COLOURS.index(one.colour) if of == "kind" else _KINDS.index(one.kind) for one in solids}
    if len(others) == 1:
        table["colour of" if of == "kind" else "kind of"][row, number] = others.pop()
    if len(solids) == 1:
        for axis, place in zip(_AXES, _seen_from(azimuth, solids[0].position), strict=True):
            table[f"{axis}, {of}"][row, number] = sum(place > bound for bound in _BOUNDS)


def _seen_from(azimuth: float, position: tuple[float, float, float]) -> tuple[float, float, float]:
    """A place in the camera's level frame: to the right, towards it, up."""
    x, y, z = position
    sine, cosine = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
    return y * cosine - x * sine, x * cosine + y * sine, z
