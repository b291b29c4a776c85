"""Reference lines of roads: lines, arcs and clothoids, in OpenDRIVE's axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.errors import MissingDependency, UsageError


class Pose(NamedTuple):
    """A place and a heading, anticlockwise from x."""

    x: float
    y: float
    heading: float

    def turned(self) -> Pose:
        """Looking back."""
        return Pose(self.x, self.y, self.heading + math.pi)

    def ahead(self, way: float) -> Pose:
        """Straight on."""
        return Pose(self.x + way * math.cos(self.heading), self.y + way * math.sin(self.heading), self.heading)

    def beside(self, way: float) -> Pose:
        """To the left, for a way above 0."""
        return Pose(self.x - way * math.sin(self.heading), self.y + way * math.cos(self.heading), self.heading)


@dataclass(frozen=True)
class Piece:
    """A stretch whose curvature changes evenly, from `bends` to `bends_end` (1/m, above 0: to the left)."""

    start: Pose
    length: float
    bends: float = 0.0
    bends_end: float = 0.0

    def geometry(self, xodr: Any) -> Any:
        """As an element of scenariogeneration."""
        if self.bends == self.bends_end:
            return xodr.Arc(self.bends, length=self.length) if self.bends else xodr.Line(self.length)
        return xodr.Spiral(self.bends, self.bends_end, length=self.length)


@dataclass(frozen=True)
class Curve:
    """Pieces that follow each other without a kink."""

    pieces: tuple[Piece, ...]
    end: Pose

    @property
    def start(self) -> Pose:
        """Of the first piece."""
        return self.pieces[0].start

    @property
    def length(self) -> float:
        """In metres."""
        return sum(piece.length for piece in self.pieces)


def arc(start: Pose, radius: float, turn: float) -> Curve:
    """A circle's arc: `turn` rad to the left (below 0: to the right)."""
    bends = math.copysign(1 / radius, turn)
    end = start.beside(1 / bends)
    heading = start.heading + turn
    end = Pose(end.x, end.y, heading).beside(-1 / bends)
    return Curve((Piece(start, radius * abs(turn), bends, bends),), end)


def bend(start: Pose, end: Pose) -> Curve:
    """One clothoid between two poses; an arc or a line where these fit."""
    try:
        from pyclothoids import Clothoid
    except ImportError as error:
        raise MissingDependency("pyclothoids", "driving") from error
    clothoid = Clothoid.G1Hermite(*start, *end)
    bends = [round(value, 7) for value in (clothoid.KappaStart, clothoid.KappaEnd)]
    if abs(bends[0] - bends[1]) < 1e-6:
        bends = [0.0 if abs(bends[0]) < 1e-6 else bends[0]] * 2
    return Curve((Piece(start, clothoid.length, *bends),), end)


def fillets(start: Pose, end: Pose, via: Sequence[tuple[float, float]] = (), radius: float = 15.0) -> Curve:
    """Straight from corner to corner, each rounded by an arc of that radius.

    Raises:
        UsageError: a corner is too near to the next one for the radius, or an end does not look along the way.
    """
    corners = [(start.x, start.y), *via, (end.x, end.y)]
    headings = [math.atan2(b[1] - a[1], b[0] - a[0]) for a, b in itertools.pairwise(corners)]
    for heading, pose in ((headings[0], start), (headings[-1], end)):
        if abs(_wrap(heading - pose.heading)) > 1e-6:
            raise UsageError(f"a street at ({pose.x:.1f}, {pose.y:.1f}) sets off at an angle to its way")
    pieces: list[Piece] = []
    here = Pose(start.x, start.y, headings[0])
    for corner, heading in zip(via, headings[1:], strict=True):
        turn = _wrap(heading - here.heading)
        straight = math.dist(here[:2], corner) - radius * math.tan(abs(turn) / 2)
        if straight < 0:
            raise UsageError(f"the corner at {corner} leaves no room for a radius of {radius} m")
        if straight > 1e-6:
            pieces.append(Piece(here, straight))
        round_it = arc(here.ahead(straight), radius, turn)
        pieces += round_it.pieces
        here = round_it.end
    last = math.dist(here[:2], end[:2])
    if last * math.cos(_wrap(math.atan2(end.y - here.y, end.x - here.x) - here.heading)) < -1e-6:
        raise UsageError(f"the corner before ({end.x:.1f}, {end.y:.1f}) leaves no room for a radius of {radius} m")
    if last > 1e-6:
        pieces.append(Piece(here, last))
    return Curve(tuple(pieces), end)


def _wrap(angle: float) -> float:
    return math.pi - (math.pi - angle) % (2 * math.pi)
