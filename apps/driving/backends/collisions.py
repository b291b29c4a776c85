"""Whom the ego touches between two moments, each once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import Kind
from apps.driving.geometry import near, overlaps, wrapped

Floats = NDArray[np.float64]
Pose = tuple[float, float, float]

#: The same participant counts again after so many seconds without contact.
AGAIN = 5.0
#: Between two looks nobody moves further than this many m against the ego: less than a person is deep.
STRIDE = 0.4
#: Who is this many m above or below, or more, is on another deck of a bridge.
DECK = 4.0
#: kg, of a car and of a person (Weidmann's mean European with clothes), for the impulse.
CAR, PERSON = 1500.0, 80.0


class Contacts:
    """Remembers who touched the ego when, so that a contact is told once.

    A contact is new if the participant did not touch the ego for `AGAIN` seconds.
    """

    def __init__(self) -> None:
        self._last: dict[int, float] = {}

    def new(self, touching: list[int], time: float) -> list[int]:
        """Of the participants that touch the ego at a moment those that count, in the given order, each once."""
        fresh = []
        for other in touching:
            if time - self._last.get(other, -math.inf) >= AGAIN - 1e-9:
                fresh.append(other)
            self._last[other] = time
        return list(dict.fromkeys(fresh))


def first_touches(
    before: Pose, after: Pose, z: float, extent: tuple[float, float], starts: Floats, ends: Floats, extents: Floats
) -> list[tuple[int, float]]:
    """Who overlaps the ego at some moment of a step, in which everyone moves evenly.

    The step is cut so finely that no box slips through another (`STRIDE`). Who is not near is never looked at.

    Args:
        before: the ego's x, y, yaw at the start, and
        after: at the end.
        z: its height; who is on another deck of a bridge is not touched.
        extent: half its length, half its width.
        starts: `(N, 4)` x, y, z, yaw of the others at the start, and
        ends: at the end.
        extents: `(N, 2)` half their lengths, half their widths.

    Returns:
        Rows that are touched, with the part of the step, in [0, 1], at which that is first seen; by part, then by row.
    """
    own = math.hypot(after[0] - before[0], after[1] - before[1])
    shift = np.abs(ends[:, :2] - starts[:, :2]).sum(axis=1)
    reach = math.hypot(*extent) + own + float(shift.max(initial=0.0, where=shift < 100.0))
    rows = near(after[0], after[1], reach, ends, extents)
    rows = rows[np.abs(ends[rows, 2] - z) < DECK]
    if not len(rows):
        return []
    start, move, size = starts[rows], ends[rows] - starts[rows], extents[rows]
    move[:, 3] = wrapped(move[:, 3])
    turn = math.remainder(after[2] - before[2], 2 * math.pi)
    # Nobody who left the map or came onto it in this step drove the way between.
    jumped = np.abs(move[:, :2]).sum(axis=1) > 100.0
    start[jumped], move[jumped] = ends[rows][jumped], 0.0
    closing = np.hypot(move[:, 0] - (after[0] - before[0]), move[:, 1] - (after[1] - before[1])).max()
    looks = max(1, math.ceil(float(closing) / STRIDE))
    touched: dict[int, float] = {}
    for look in range(1, looks + 1):
        part = look / looks
        pose = (
            before[0] + part * (after[0] - before[0]),
            before[1] + part * (after[1] - before[1]),
            before[2] + part * turn,
        )
        for index in np.flatnonzero(overlaps(pose, extent, start + part * move, size)).tolist():
            touched.setdefault(int(rows[index]), part)
    return list(touched.items())


def impulse(mass: float, kind: Kind, closing: float) -> float:
    """N s of a push after which both move together: the reduced mass times the speed at which they met."""
    other = PERSON if kind is Kind.WALKER else CAR
    return mass * other / (mass + other) * abs(closing)
