"""Where people walk: beside the outermost lanes, and across the road.

Made once per road network and shared by all episodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.ground import Ground
from apps.driving.backends.lanes import Lanes
from apps.driving.roads.network import RoadNetwork

#: How far from the lane's edge people walk, in m: cars may be parked between.
ASIDE = 2.5
#: A crossing is used from pavements this near, in m; without crossings, roads up to this width are crossed anywhere.
NEAR, WIDEST = 12.0, 18.0


@dataclass(frozen=True, eq=False)
class Crossing:
    """A straight way over the road from a point of a pavement.

    Attributes:
        start: x, y where people wait.
        end: x, y where they are over.
        place: the point of the pavement on the other side where they walk on.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    place: int


class Pavements:
    """Use `Pavements.of`, which makes each network's pavements once.

    Attributes:
        xy: `(P, 2)` points of the pavements, about a metre apart.
        z: `(P,)`, of the lane beside.
        run: `(P,)` int32; neighbours in the list with equal runs hang together.
        painted: whether the network has crossings; else the road is crossed anywhere.
        crossings: of a point, the ways over the road from there.
    """

    def __init__(self, roads: RoadNetwork) -> None:
        ground, lanes = Ground.of(roads), Lanes.of(roads)
        order = np.concatenate([strip.nodes for strip in lanes.strips])
        side = np.stack([-np.sin(roads.yaw), np.cos(roads.yaw)], axis=1)
        points = roads.xyz[:, :2] + side * (roads.width[:, None] / 2 + ASIDE)
        # Room for a person on either side, and no lane beside it.
        good = (roads.junction < 0) & (roads.right < 0) & (ground.beside_all(points) >= ASIDE - 0.7)
        breaks = np.ones(len(order), bool)
        breaks[1:] = (~good[order[:-1]]) | (lanes.strip_of[order[1:]] != lanes.strip_of[order[:-1]])
        runs = np.cumsum(breaks)
        kept = good[order]
        self.xy = points[order][kept]
        self.z = roads.xyz[order, 2][kept]
        self.run = runs[kept].astype(np.int32)
        self.crossings: dict[int, list[Crossing]] = {}
        self.painted = bool(len(roads.crossings))
        if not len(self.xy):
            return
        from scipy.spatial import cKDTree

        tree = cKDTree(self.xy)
        if self.painted:
            self._painted(roads.crossings, tree)
        else:
            self._anywhere(side[order][kept], ground, tree)

    @staticmethod
    def of(roads: RoadNetwork) -> Pavements:
        """The pavements of a network, made on first use and let go with the network."""
        return roads.kept(Pavements)

    def _painted(self, polygons: NDArray[np.float64], tree) -> None:  # type: ignore[no-untyped-def]
        for polygon in polygons[:, :, :2]:
            middle = polygon.mean(axis=0)
            _, axes = np.linalg.eigh(np.cov((polygon - middle).T))
            reach = np.abs((polygon - middle) @ axes[:, 1]).max()
            ends = middle + np.outer((-reach, reach), axes[:, 1])
            away, places = tree.query(ends)
            if (away > NEAR).any() or places[0] == places[1]:
                continue
            for one, other in ((0, 1), (1, 0)):
                start, end = (tuple(ends[index].tolist()) for index in (one, other))
                self.crossings.setdefault(int(places[one]), []).append(Crossing(start, end, int(places[other])))

    def _anywhere(self, right: NDArray[np.float64], ground: Ground, tree) -> None:  # type: ignore[no-untyped-def]
        over = np.arange(2 * ASIDE, WIDEST, 0.5)
        rays = self.xy[:, None] - over[None, :, None] * right[:, None]
        free = ground.beside_all(rays) >= ASIDE - 0.7
        lands = free.argmax(axis=1)
        ends = rays[np.arange(len(rays)), lands]
        away, places = tree.query(ends)
        for place in np.flatnonzero(free.any(axis=1) & (away < 3.0)).tolist():
            start, end = tuple(self.xy[place].tolist()), tuple(ends[place].tolist())
            self.crossings[place] = [Crossing(start, end, int(places[place]))]
