"""The bird's-eye view: roads, lane lines, the route and traffic, drawn here and not by the simulator.

So it is the same on all simulators, and a CARLA server needs no graphics card for it.
"""

from __future__ import annotations

import math
from collections import deque
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.driving.backends.base import Actors, Ego, Frame, Kind
from apps.driving.env_config import ViewConfig
from apps.driving.observation import raster as roads_raster
from apps.driving.observation.raster import CROSSING, GROUND, LINE, MOST_PIXELS, ROAD, SHIFT, Raster
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.routes import Route

#: Beyond the raster's own values.
ROUTE, PAST, VEHICLE, WALKER, STANDING, EGO = range(4, 10)
COLOURS = {
    GROUND: (38, 50, 44),
    ROAD: (92, 94, 99),
    CROSSING: (140, 140, 140),
    LINE: (214, 214, 204),
    ROUTE: (58, 110, 165),
    PAST: (150, 104, 74),
    VEHICLE: (240, 140, 40),
    WALKER: (235, 75, 120),
    STANDING: (170, 60, 60),
    EGO: (70, 200, 110),
}
PALETTE = np.array([COLOURS[one] for one in range(len(COLOURS))], np.uint8)
#: What a participant is drawn as.
DRAWN = {Kind.VEHICLE: VEHICLE, Kind.WALKER: WALKER, Kind.STATIC: STANDING}
#: The ego's half length and half width, in metres, as it is drawn.
EGO_EXTENT = (2.3, 1.0)
#: Width of the route's band in metres.
BAND = 1.6
#: Pixels beside the point at which the map is looked at. Where pixels lie half-way between the map's (a start in the
#: middle of a lane along an axis), cv2 rounds to even: every other row would be left out, and lane lines with it.
ASIDE = 1 / 256
CORNERS = np.array(((1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0)))


@cache
def _one_thread() -> None:
    """Pictures so small are drawn sooner by one thread; said once, so that who wants more can say so afterwards."""
    cv2.setNumThreads(1)


class View:
    """Draws what lies around the car, which looks upwards.

    Args:
        config: size, scale and kind.
    """

    def __init__(self, config: ViewConfig) -> None:
        _one_thread()
        self.config = config
        self.scale = config.size / config.metres
        # The car's place in the picture, in pixels from the left and from above.
        self.column = config.size / 2
        self.row = config.size * (1 - config.behind)
        self.reach = math.hypot(config.metres / 2, config.metres * max(config.behind, 1 - config.behind)) + 5.0
        channels = 3 + len(config.history) if config.kind == "masks" else 3
        self.shape = (channels, config.size, config.size)
        self.moments: deque[Actors] = deque(maxlen=max(config.history, default=1))

    def reset(self, roads: RoadNetwork, route: Route, frame: Frame) -> None:
        """Begin an episode."""
        self.map = self._raster(roads, route)
        self.route = route.xyz[:, :2]
        self.s = route.s
        self.moments.clear()
        self.update(frame)

    def update(self, frame: Frame) -> None:
        """Take in the moment after a step."""
        self.ego = frame.ego
        self.moments.append(frame.actors)

    def draw(self, s: float) -> NDArray[np.uint8]:
        """The picture `(C, H, W)` uint8; masks are 0 or 255.

        Args:
            s: the car's place on its route, in metres.
        """
        self._turn(self.ego)
        ground = self._ground()
        if self.config.kind == "rgb":
            return self._rgb(ground, s)
        found = np.zeros(self.shape, np.uint8)
        np.greater_equal(ground, ROAD, out=found[0], casting="unsafe")
        np.equal(ground, LINE, out=found[1], casting="unsafe")
        self._route(found[2], 1, s)
        for channel, ago in enumerate(self.config.history, 3):
            actors = self.moments[max(len(self.moments) - ago, 0)]
            for box in self._boxes(actors)[0]:
                cv2.fillConvexPoly(found[channel], box, 1, cv2.LINE_8, SHIFT)
        found *= 255
        return found

    def _rgb(self, indices: NDArray[np.uint8], s: float) -> NDArray[np.uint8]:
        self._route(indices, ROUTE, s)
        for ago in self.config.history[:-1]:
            for box in self._boxes(self.moments[max(len(self.moments) - ago, 0)])[0]:
                cv2.polylines(indices, [box], True, PAST, 1, cv2.LINE_8, SHIFT)
        boxes, kinds = self._boxes(self.moments[-1])
        for box, kind in zip(boxes, kinds, strict=True):
            cv2.fillConvexPoly(indices, box, DRAWN.get(Kind(kind), VEHICLE), cv2.LINE_8, SHIFT)
        cv2.fillConvexPoly(indices, self._pixels(self._own()), EGO, cv2.LINE_8, SHIFT)
        return np.ascontiguousarray(PALETTE[indices].transpose(2, 0, 1))

    def _turn(self, ego: Ego) -> None:
        cosine, sine = math.cos(ego.yaw), math.sin(ego.yaw)
        scale = self.scale
        # Rows: pixels to the right and downwards of a point that lies at (x, y) from the car.
        self.matrix = np.array(((-sine, cosine), (-cosine, -sine))) * scale
        self.place = np.array((ego.x, ego.y))
        base = (ego.x - self.map.x) * scale + ASIDE, (ego.y - self.map.y) * scale + ASIDE
        self.warp = np.array(
            (
                (-sine, -cosine, base[0] + cosine * self.row + sine * self.column),
                (cosine, -sine, base[1] + sine * self.row - cosine * self.column),
            )
        )

    def _ground(self) -> NDArray[np.uint8]:
        size = (self.config.size, self.config.size)
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        found: NDArray[np.uint8] = cv2.warpAffine(self.map.pixels, self.warp, size, flags=flags)  # type: ignore[assignment]
        return found

    def _pixels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """`(..., 2)` points in metres as cv2 draws them."""
        found = (points - self.place) @ self.matrix.T + (self.column, self.row)
        pixels: NDArray[np.int32] = np.round(found * 2**SHIFT).astype(np.int32)
        return pixels

    def _route(self, picture: NDArray[np.uint8], value: int, s: float) -> None:
        first = max(int(np.searchsorted(self.s, s, "right")) - 1, 0)
        last = int(np.searchsorted(self.s, s + self.reach, "right"))
        points = self._pixels(self.route[first : max(last, first + 2)])
        thick = max(round(BAND * self.scale), 1)
        cv2.polylines(picture, [points], False, value, thick, cv2.LINE_8, SHIFT)

    def _boxes(self, actors: Actors) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """`(N, 4, 2)` the corners of those within the picture, and their `(N,)` kinds."""
        if not len(actors):
            return np.zeros((0, 4, 2), np.int32), actors.kinds
        near = np.abs(actors.poses[:, :2] - self.place).max(1) < self.reach
        yaw, extents = actors.poses[near, 3], actors.extents[near]
        nose = np.stack([np.cos(yaw), np.sin(yaw)], 1) * extents[:, :1]
        side = np.stack([-np.sin(yaw), np.cos(yaw)], 1) * extents[:, 1:]
        arms = CORNERS[:, :1] * nose[:, None] + CORNERS[:, 1:] * side[:, None]
        return self._pixels(actors.poses[near, None, :2] + arms), actors.kinds[near]

    def _own(self) -> NDArray[np.float64]:
        nose = np.array((math.cos(self.ego.yaw), math.sin(self.ego.yaw)))
        side = np.array((-nose[1], nose[0]))
        arms = CORNERS * EGO_EXTENT
        corners: NDArray[np.float64] = self.place + arms[:, :1] * nose + arms[:, 1:] * side
        return corners

    def _raster(self, roads: RoadNetwork, route: Route) -> Raster:
        extent = np.ptp(roads.xyz[:, :2], axis=0) + 2 * roads_raster.MARGIN
        if float(extent.prod()) * self.scale**2 <= MOST_PIXELS:
            return roads_raster.raster(roads, self.scale)
        around = 2 * self.reach
        low, high = route.xyz[:, :2].min(0) - around, route.xyz[:, :2].max(0) + around
        return roads_raster.raster(roads, self.scale, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))
