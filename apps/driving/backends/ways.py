"""The ways that a fleet of cars will drive: for each the next few hundred points, and the junctions among them.

A way grows at its end by whole strips, drawn at random where lanes part; a car only ever needs the next hundred metres
of it, so nothing is searched and nothing is planned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from apps.driving.backends.lanes import Lanes

#: Points kept per car, and how many must be left before it when more are fetched.
KEPT = 512
AHEAD = 160


@dataclass
class Passage:
    """A junction on a car's way.

    Attributes:
        junction: its id.
        enter: where on the way its first point lies, in m, and
        leave: its last.
        strips: of the junction that are driven.
    """

    junction: int
    enter: float
    leave: float
    strips: list[int]


class Ways:
    """One way for each of N cars.

    Attributes:
        nodes: `(N, KEPT)` int32, the network's points in their order.
        arc: `(N, KEPT)` float64, m along the way, not falling; it goes on rising when the front part is dropped.
        at: `(N,)` int64, the last point that a car has passed.
        end: `(N,)` m along the way where the road ends; inf where it does not, as far as the way is known.
        passages: of each car, junctions not yet left, in their order.
    """

    def __init__(self, lanes: Lanes, starts: list[int], rng: np.random.Generator) -> None:
        count = len(starts)
        self._lanes = lanes
        self.nodes = np.zeros((count, KEPT), np.int32)
        self.arc = np.zeros((count, KEPT))
        self.at = np.zeros(count, np.int64)
        self.end = np.full(count, math.inf)
        self.passages: list[list[Passage]] = [[] for _ in starts]
        # The strip and the place in it that come next on each way, and the metres of the step to there.
        self._next = [(0, 0, 0.0)] * count
        for car, node in enumerate(starts):
            self.begin(car, node, rng)

    def begin(self, car: int, node: int, rng: np.random.Generator) -> None:
        """Let a car start anew at a point; its way starts at 0 m."""
        self.at[car] = 0
        self.end[car] = math.inf
        self.passages[car] = []
        self._next[car] = (int(self._lanes.strip_of[node]), int(self._lanes.place_of[node]), 0.0)
        self._fill(car, 0, 0.0, rng)

    def advance(self, s: np.ndarray, rng: np.random.Generator) -> None:
        """Let `at` follow cars that have come to `s`, `(N,)` m; fetch more of a way where it runs short."""
        rows = np.arange(len(s)) * KEPT
        arc = self.arc.reshape(-1)
        passed = s >= arc.take(rows + self.at + 1)
        while passed.any():
            self.at += passed
            if self.at.max() >= KEPT - AHEAD:
                for car in np.flatnonzero(self.at >= KEPT - AHEAD).tolist():
                    self._refill(car, rng)
            passed = s >= arc.take(rows + self.at + 1)

    def _refill(self, car: int, rng: np.random.Generator) -> None:
        drop = int(self.at[car])
        left = KEPT - drop
        self.nodes[car, :left] = self.nodes[car, drop:].copy()
        self.arc[car, :left] = self.arc[car, drop:].copy()
        self.at[car] = 0
        self._fill(car, left, float(self.arc[car, left - 1]), rng)

    def _fill(self, car: int, filled: int, arc: float, rng: np.random.Generator) -> None:
        """Append strips until the way is full; `arc` is the metres at the last point of the `filled` ones."""
        strips = self._lanes.strips
        nodes, arcs, passages = self.nodes[car], self.arc[car], self.passages[car]
        while filled < KEPT:
            index, place, step = self._next[car]
            if index < 0:
                # The road has ended: the last point is repeated, so that looking ahead finds numbers there.
                nodes[filled:] = nodes[filled - 1]
                arcs[filled:] = arc + 1.0 + np.arange(KEPT - filled)
                return
            strip = strips[index]
            count = min(KEPT - filled, len(strip.nodes) - place)
            part = slice(place, place + count)
            nodes[filled : filled + count] = strip.nodes[part]
            arcs[filled : filled + count] = strip.arc[part] + (arc + step - strip.arc[place])
            enter, arc = arc + step, float(arcs[filled + count - 1])
            filled += count
            if strip.junction >= 0:
                _note(passages, Passage(strip.junction, enter, arc, [index]), step)
            if place + count < len(strip.nodes):
                self._next[car] = (
                    index,
                    place + count,
                    float(strip.arc[place + count] - strip.arc[place + count - 1]),
                )
            elif not strip.successors:
                self._next[car] = (-1, 0, 0.0)
                self.end[car] = arc
            else:
                choice = int(rng.integers(len(strip.successors))) if len(strip.successors) > 1 else 0
                onward, step = strip.successors[choice]
                self._next[car] = (onward, 0, step)


def _note(passages: list[Passage], new: Passage, step: float) -> None:
    """Add a stretch of junction to a way's passages, or lengthen the last where it only goes on."""
    last = passages[-1] if passages else None
    if last is not None and last.junction == new.junction and abs(last.leave + step - new.enter) < 1e-6:
        last.leave = new.leave
        last.strips += [strip for strip in new.strips if strip not in last.strips]
    else:
        passages.append(new)
