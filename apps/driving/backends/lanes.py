"""The lane graph as traffic uses it: strips of points without a choice, and which strips of a junction cross.

Made once per road network and shared by all episodes, so that a route of a car is a few array slices and a reset with
twenty cars takes a millisecond or two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.driving.geometry import wrapped
from apps.driving.roads.network import RoadNetwork

#: m/s² that a driver accepts sideways; comfortable for passengers.
SIDEWAYS = 2.0
#: Half the length and half the width in m of a car as long and wide as most, and the air that a driver wants beside.
LONG, WIDE, BESIDE = 2.4, 0.95, 0.3


@dataclass(frozen=True, eq=False)
class Strip:
    """Points in a row that leave no choice.

    Attributes:
        nodes: `(M,)` int32 of the network.
        arc: `(M,)` m from the first point.
        successors: strips that follow, each with the metres of the step to it.
        junction: its id, or -1; the same for all points.
    """

    nodes: NDArray[np.int32]
    arc: NDArray[np.float64]
    successors: tuple[tuple[int, float], ...]
    junction: int


class Lanes:
    """Use `Lanes.of`, which makes each network's lanes once.

    Attributes:
        strips: all of them; every point lies in exactly one.
        strip_of: `(N,)` int32, and
        place_of: `(N,)` int32: which strip a point lies in and where.
        pace: `(N,)` float64, m/s: the speed limit, or less where the lane bends.
        poses: `(N, 4)` x, y, z, yaw, and
        x, y, cos, sin: `(N,)`, of all points, side by side in memory.
        flat: whether no lane lies above another.
        conflicts: of each strip in a junction, the strips that must not be driven at the same time.
    """

    def __init__(self, roads: RoadNetwork) -> None:
        self.roads = roads
        self.strips, self.strip_of, self.place_of = _strips(roads)
        self.pace = np.minimum(roads.speed_limit.astype(np.float64), _bend_speed(roads))
        self.poses = np.column_stack([roads.xyz, roads.yaw])
        self.x, self.y = roads.xyz[:, 0].copy(), roads.xyz[:, 1].copy()
        self.cos, self.sin = np.cos(roads.yaw), np.sin(roads.yaw)
        self.flat = bool(np.ptp(roads.xyz[:, 2]) < 3.0)
        self.conflicts = self._conflicts()

    @staticmethod
    def of(roads: RoadNetwork) -> Lanes:
        """The lanes of a network, made on first use and let go with the network."""
        return roads.kept(Lanes)

    def _conflicts(self) -> dict[int, frozenset[int]]:
        inside: dict[int, list[int]] = {}
        for index, strip in enumerate(self.strips):
            if strip.junction >= 0:
                inside.setdefault(strip.junction, []).append(index)
        starts = {index: self._before(index) for members in inside.values() for index in members}
        found: dict[int, set[int]] = {index: set() for index in starts}
        for members in inside.values():
            for row, one in enumerate(members):
                for other in members[row + 1 :]:
                    # Who comes from the same lane follows; the car-following model sees to that.
                    if not (starts[one] & starts[other]) and self._cross(one, other):
                        found[one].add(other)
                        found[other].add(one)
        return {index: frozenset(others) for index, others in found.items()}

    def _before(self, index: int) -> frozenset[int]:
        """The strips that lead to a strip."""
        if not hasattr(self, "_leads"):
            self._leads: dict[int, set[int]] = {}
            for start, strip in enumerate(self.strips):
                for end, _ in strip.successors:
                    self._leads.setdefault(end, set()).add(start)
        return frozenset(self._leads.get(index, ()))

    def _cross(self, one: int, other: int) -> bool:
        """Whether a car somewhere on one strip is in the way of one that drives the other, as drivers see it."""
        a, b = (self.poses[self.strips[index].nodes] for index in (one, other))
        return self._in_the_way(a, b) or self._in_the_way(b, a)

    @staticmethod
    def _in_the_way(way: NDArray[np.float64], box: NDArray[np.float64]) -> bool:
        dx, dy, dz, turn = (box[None, :, column] - way[:, None, column] for column in range(4))
        cos, sin = np.cos(way[:, 3:]), np.sin(way[:, 3:])
        along, across = np.abs(dx * cos + dy * sin), np.abs(dy * cos - dx * sin)
        c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
        met = (along <= LONG * c + WIDE * s) & (across <= LONG * s + WIDE * c + WIDE + BESIDE)
        # On another deck of a bridge nobody is met.
        return bool((met & (np.abs(dz) < 3.0)).any())


def _strips(roads: RoadNetwork) -> tuple[list[Strip], NDArray[np.int32], NDArray[np.int32]]:
    count = len(roads)
    ways_out = np.diff(roads.next_start)
    ways_in = np.bincount(roads.next_node, minlength=count)
    first = roads.edge_from
    # A point goes on in its strip where neither it nor its follower has a choice and the junction stays the same.
    single = (ways_out[first] == 1) & (ways_in[roads.next_node] == 1)
    single &= roads.junction[first] == roads.junction[roads.next_node]
    single &= first != roads.next_node
    follower = np.full(count, -1)
    follower[first[single]] = roads.next_node[single]
    heads = np.ones(count, bool)
    heads[roads.next_node[single]] = False

    strip_of = np.full(count, -1, np.int32)
    place_of = np.zeros(count, np.int32)
    chains: list[list[int]] = []
    # Points of a ring without a choice are nobody's first; the first that comes becomes it.
    for head in (*np.flatnonzero(heads).tolist(), *np.flatnonzero(~heads).tolist()):
        if strip_of[head] >= 0:
            continue
        chain: list[int] = []
        node = head
        while node >= 0 and strip_of[node] < 0:
            strip_of[node], place_of[node] = len(chains), len(chain)
            chain.append(node)
            node = int(follower[node])
        chains.append(chain)

    strips = []
    for chain in chains:
        nodes = np.array(chain, np.int32)
        steps = np.linalg.norm(np.diff(roads.xyz[nodes], axis=0), axis=1)
        onward = tuple(
            (int(strip_of[node]), float(np.linalg.norm(roads.xyz[node] - roads.xyz[nodes[-1]])))
            for node in roads.following(chain[-1])
            if place_of[node] == 0
        )
        strips.append(Strip(nodes, np.concatenate([[0.0], np.cumsum(steps)]), onward, int(roads.junction[chain[0]])))
    return strips, strip_of, place_of


def _bend_speed(roads: RoadNetwork) -> NDArray[np.float64]:
    """`(N,)` speed at which a bend costs `SIDEWAYS` m/s², by the turn to the points that follow."""
    first = roads.edge_from
    last = roads.next_node
    run = np.hypot(*(roads.xyz[last, :2] - roads.xyz[first, :2]).T)
    turn = np.abs(wrapped(roads.yaw[last] - roads.yaw[first]))
    usable = (run > 0.2) & (turn < 1.0)
    bend = np.zeros(len(roads))
    np.maximum.at(bend, first[usable], (turn / np.maximum(run, 0.2))[usable])
    return np.asarray(np.sqrt(SIDEWAYS / np.maximum(bend, 1e-6)))
