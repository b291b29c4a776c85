"""What lies under the car: height and slope of the road, and how far the next lane is.

Made once per road network and shared by all episodes; asked with plain floats in the hot path.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from apps.driving.geometry import wrapped
from apps.driving.roads.network import RoadNetwork

#: Side of a raster's cell in m, at most so many cells, and so many metres of land around the roads.
CELL = 0.25
MOST_CELLS = 40_000_000
BORDER = 8.0
#: Holes between the lanes of this many m² or less (the middle of a junction) are asphalt too.
ISLAND = 60.0
#: The raster's unit of distance in m.
UNIT = 0.1
#: Two decks of a bridge are told apart by height: a metre up counts as much as three metres aside.
DECK = 3.0


class Ground:
    """Height, slope and lanes under a point. Use `Ground.of`, which makes each network's ground once."""

    def __init__(self, roads: RoadNetwork) -> None:
        self._roads = roads
        z = roads.xyz[:, 2]
        self.flat = bool(np.ptp(z) < 1e-6)
        self._level = float(z[0])
        self._grade = grades(roads)
        columns = (*roads.xyz.T, np.cos(roads.yaw), np.sin(roads.yaw), self._grade)
        self._rows = [tuple(row) for row in np.column_stack(columns).tolist()]
        # Which points may be the nearest to somewhere in a square metre: found when somebody first drives there.
        self._squares: dict[tuple[int, int], list[tuple[float, ...]]] = {}
        self._raster()

    @staticmethod
    def of(roads: RoadNetwork) -> Ground:
        """The ground of a network, made on first use and let go with the network."""
        return roads.kept(Ground)

    def under(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Height and slope at a point, of the road whose lane's centre is nearest.

        Args:
            x: of the point.
            y: of the point.
            z: about where the asker is, which tells the decks of a bridge apart.

        Returns:
            The height, and the gradient (dz/dx, dz/dy) of the road there.
        """
        if self.flat:
            return self._level, 0.0, 0.0
        square = (math.floor(x), math.floor(y))
        rows = self._squares.get(square)
        if rows is None:
            rows = self._candidates(square)
        best, found = math.inf, rows[0]
        for row in rows:
            dx, dy, dz = x - row[0], y - row[1], DECK * (z - row[2])
            distance = dx * dx + dy * dy + dz * dz
            if distance < best:
                best, found = distance, row
        x0, y0, z0, cos, sin, grade = found
        along = (x - x0) * cos + (y - y0) * sin
        # Far from the road its slope is not carried on.
        along = min(max(along, -2.0), 2.0)
        return z0 + grade * along, grade * cos, grade * sin

    def _candidates(self, square: tuple[int, int]) -> list[tuple[float, ...]]:
        """The points that may be nearest to some point of a square metre, whatever its height."""
        tree = self._roads.tree
        middle = (square[0] + 0.5, square[1] + 0.5)
        nearest, _ = tree.query(middle)
        # Half the square's diagonal there and back; where there is a second deck, its points may lie further aside.
        found = np.sort(tree.query_ball_point(middle, nearest + 1.42 + 3.0))
        if np.ptp(self._roads.xyz[found, 2]) < 3.0:
            found = np.sort(tree.query_ball_point(middle, nearest + 1.42))
        rows = [self._rows[i] for i in found]
        self._squares[square] = rows
        return rows

    def beside(self, x: float, y: float) -> float:
        """How far the nearest lane's edge is, in m: 0 on a lane or on a junction's asphalt, at most 25."""
        column, row = int((x - self._x0) * self._scale), int((y - self._y0) * self._scale)
        if 0 <= column < self._wide and 0 <= row < self._high:
            return float(self._far[row * self._wide + column]) * UNIT
        return 25.0

    def beside_all(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """`beside` for `(..., 2)` points at once."""
        cells = np.floor((points - (self._x0, self._y0)) * self._scale).astype(np.int64)
        column, row = cells[..., 0], cells[..., 1]
        inside = (column >= 0) & (column < self._wide) & (row >= 0) & (row < self._high)
        far = np.frombuffer(self._far, np.uint8)[np.where(inside, row * self._wide + column, 0)]
        return np.where(inside, far * UNIT, 25.0)

    def _raster(self) -> None:
        """Draw all lanes and measure the way to them from everywhere."""
        import cv2

        roads = self._roads
        low = roads.xyz[:, :2].min(axis=0) - BORDER - roads.width.max()
        size = roads.xyz[:, :2].max(axis=0) + BORDER + roads.width.max() - low
        cell = max(CELL, math.sqrt(float(size[0]) * float(size[1]) / MOST_CELLS))
        self._x0, self._y0 = float(low[0]), float(low[1])
        self._scale = 1.0 / cell
        self._wide, self._high = (int(n) + 1 for n in size * self._scale)
        image = np.zeros((self._high, self._wide), np.uint8)
        bits = 4
        for piece in lane_pieces(roads):
            # OpenCV's whole numbers are the cells' centres, ours their corners.
            fixed = np.round(((piece - low) * self._scale - 0.5) * (1 << bits)).astype(np.int32)
            cv2.fillConvexPoly(image, fixed, 1, shift=bits)
        outlines, tree = cv2.findContours(image, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        for outline, relation in zip(outlines, tree[0] if tree is not None else (), strict=True):
            if relation[3] >= 0 and cv2.contourArea(outline) * cell * cell <= ISLAND:
                cv2.drawContours(image, [outline], -1, 1, cv2.FILLED)
        distance = np.asarray(cv2.distanceTransform(1 - image, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)
        # From the cell's centre to the edge of the lane's cell, not to its centre. In place: large towns are large.
        np.subtract(distance, 0.5, out=distance)
        np.multiply(distance, cell / UNIT, out=distance)
        np.clip(distance, 0.0, 250.0, out=distance)
        self._far = np.rint(distance, out=distance).astype(np.uint8).tobytes()


def grades(roads: RoadNetwork) -> NDArray[np.float64]:
    """`(N,)` slope dz/ds of the lane at each point: the mean of the ways to it and from it."""
    first = roads.edge_from
    last = roads.next_node
    run = np.hypot(*(roads.xyz[last, :2] - roads.xyz[first, :2]).T)
    far = run > 0.05
    first, last, run = first[far], last[far], run[far]
    slope = (roads.xyz[last, 2] - roads.xyz[first, 2]) / run
    # Where lanes part, a way that leads aside (a change of road) still has the road's slope.
    total = np.bincount(first, slope, len(roads)) + np.bincount(last, slope, len(roads))
    count = np.bincount(first, minlength=len(roads)) + np.bincount(last, minlength=len(roads))
    return np.asarray(total / np.maximum(count, 1))


def lane_pieces(roads: RoadNetwork) -> NDArray[np.float64]:
    """`(E, 4, 2)` corners of the asphalt between each point and the one that follows it."""
    first = roads.edge_from
    last = roads.next_node.astype(np.int64)
    # A link that jumps aside or turns on the spot is no asphalt.
    gap = np.hypot(*(roads.xyz[last, :2] - roads.xyz[first, :2]).T)
    keep = (gap < 5.0) & (np.abs(wrapped(roads.yaw[last] - roads.yaw[first])) < 1.0)
    first, last = first[keep], last[keep]
    right = np.stack([-np.sin(roads.yaw), np.cos(roads.yaw)], axis=1) * roads.width[:, None] / 2
    xy = roads.xyz[:, :2]
    ends = (xy[first] + right[first], xy[last] + right[last], xy[last] - right[last], xy[first] - right[first])
    return np.asarray(np.stack(ends, axis=1))
