"""A road network as a picture, drawn once and looked at from every place: Roach's idea, drawn anew from the roads."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.driving.roads.network import RoadNetwork

#: What a pixel shows; higher ones are painted over lower ones.
GROUND, ROAD, CROSSING, LINE = range(4)
#: Metres around the roads.
MARGIN = 10.0
#: Larger pictures are cut out around the route.
MOST_PIXELS = 60_000_000
#: Width of a lane line in metres.
LINE_WIDTH = 0.15
#: Fractional bits of the coordinates that cv2 draws at.
SHIFT = 4


class Raster(NamedTuple):
    """A picture of roads from above.

    Attributes:
        pixels: `(H, W)` uint8 of `GROUND`, `ROAD`, `CROSSING` and `LINE`; columns along x, rows along y.
        x: of the left edge, in metres.
        y: of the upper edge, in metres.
        scale: pixels to the metre.
    """

    pixels: NDArray[np.uint8]
    x: float
    y: float
    scale: float


@lru_cache(maxsize=8)
def raster(roads: RoadNetwork, scale: float, box: tuple[float, float, float, float] | None = None) -> Raster:
    """Draw the roads, or those within `box` (least x and y, greatest x and y, in metres)."""
    low = roads.xyz[:, :2].min(0) - MARGIN if box is None else np.array(box[:2])
    high = roads.xyz[:, :2].max(0) + MARGIN if box is None else np.array(box[2:])
    width, height = (int(one) + 1 for one in (high - low) * scale)
    pixels = np.zeros((height, width), np.uint8)

    def at(points: NDArray[np.float64]) -> NDArray[np.int32]:
        found: NDArray[np.int32] = np.round((points - low) * scale * 2**SHIFT).astype(np.int32)
        return found

    near = (roads.xyz[:, :2] >= low - MARGIN) & (roads.xyz[:, :2] <= high + MARGIN)
    inside = near[:, 0] & near[:, 1]
    starts = np.repeat(np.arange(len(roads)), np.diff(roads.next_start))
    ends = roads.next_node
    kept = inside[starts] & inside[ends]
    starts, ends = starts[kept], ends[kept]
    right = np.stack([-np.sin(roads.yaw), np.cos(roads.yaw)], 1) * roads.width[:, None] / 2
    edges = np.stack([roads.xyz[:, :2] - right, roads.xyz[:, :2] + right], 1)
    quads = at(np.stack([edges[starts, 0], edges[ends, 0], edges[ends, 1], edges[starts, 1]], 1))
    for quad in quads:
        cv2.fillConvexPoly(pixels, quad, ROAD, cv2.LINE_8, SHIFT)
    for crossing in roads.crossings:
        cv2.fillPoly(pixels, [at(crossing[:, :2])], CROSSING, cv2.LINE_8, SHIFT)
    # Lanes of a junction lie across each other: lines would say nothing there.
    lined = (roads.junction[starts] < 0) & (roads.junction[ends] < 0)
    thick = max(round(LINE_WIDTH * scale), 1)
    for side in (0, 1):
        strokes = at(np.stack([edges[starts[lined], side], edges[ends[lined], side]], 1))
        cv2.polylines(pixels, list(strokes), False, LINE, thick, cv2.LINE_8, SHIFT)
    return Raster(pixels, float(low[0]), float(low[1]), scale)
