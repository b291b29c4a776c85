"""Where drivers drove: the map from above, every drive coloured by its speed, collisions and other failures marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.driving.env_config import KMH
from apps.driving.measures.episodes import Density, Episode
from apps.driving.measures.tables import densities
from apps.driving.observation.raster import GROUND, ROAD, raster
from apps.driving.roads.network import RoadNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Width of the figure in inches, and panels side by side.
WIDTH, COLUMNS = 9.0, 3
#: Of what is drawn as pixels within the figure.
DPI = 170
#: Pixels of the map's longer side: it is a backdrop.
BACKDROP = 900
#: Metres between drawn points.
POINTS = 1.5
HIT, FAILED = "#d1495b", "#c06a00"
#: A ring: every colour of the scale is taken.
START: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "#555555", "markersize": 4.5}


def trajectories(roads: RoadNetwork, episodes: Sequence[Episode], top_speed: float = 40.0) -> Figure:
    """The drives on one map, a panel for each traffic density.

    Args:
        roads: the map.
        episodes: driven on it, with their tracks.
        top_speed: km/h at the end of the colour scale.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    crowds = densities(episodes)
    columns = min(COLUMNS, len(crowds))
    lines = math.ceil(len(crowds) / columns)
    low, high = roads.xyz[:, :2].min(0), roads.xyz[:, :2].max(0)
    shape = float((high[1] - low[1] + 20) / (high[0] - low[0] + 20))
    height = min(max(WIDTH / columns * shape, 1.5), 6.0) * lines + 0.9
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    norm = Normalize(0.0, top_speed)
    for axes in panels[len(crowds) :]:
        axes.set_visible(False)
    for axes, crowd in zip(panels, crowds, strict=False):
        _panel(axes, roads, crowd, [one for one in episodes if one.density == crowd], norm)
    bar = figure.colorbar(
        ScalarMappable(norm, "viridis"), ax=panels, location="bottom", aspect=60, shrink=0.5, pad=0.02
    )
    bar.set_label("km/h", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    marks = [
        Line2D([], [], linestyle="none", label="start", **START),
        Line2D([], [], marker="X", color=HIT, linestyle="none", markersize=8, label="collision"),
        Line2D(
            [], [], marker="D", color=FAILED, linestyle="none", markersize=5, label="ended otherwise, not at the goal"
        ),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    # With equal axes the layout settles at the second drawing; the report draws once.
    figure.draw_without_rendering()
    return figure


def _panel(axes: Axes, roads: RoadNetwork, crowd: Density, episodes: Sequence[Episode], norm: Any) -> None:
    from matplotlib.collections import LineCollection

    picture, extent = _backdrop(roads)
    axes.imshow(picture, extent=extent, interpolation="bilinear", zorder=0)
    for episode in episodes:
        track = np.asarray(episode.track, float).reshape(-1, 4)
        if not len(track):
            continue
        kept = _thinned(track[:, :2])
        points, speeds = track[kept, :2], np.abs(track[kept, 3]) / KMH
        axes.plot(*track[0, :2], zorder=3, **START)
        if len(points) > 1:
            strokes = np.stack([points[:-1], points[1:]], 1)
            drawn = LineCollection(list(strokes), cmap="viridis", norm=norm, linewidths=1.8, alpha=0.85, zorder=2)
            # As pixels: a hundred drives of hundreds of strokes each would make the page slow.
            drawn.set_rasterized(True)
            drawn.set_array((speeds[:-1] + speeds[1:]) / 2)
            axes.add_collection(drawn)
        for hit in episode.collisions:
            place = track[min(max(hit.step - 1, 0), len(track) - 1), :2]
            axes.plot(*place, marker="X", color=HIT, markersize=8, markeredgecolor="white", zorder=5)
        if not episode.success and not episode.collided:
            axes.plot(*track[-1, :2], marker="D", color=FAILED, markersize=5, markeredgecolor="white", zorder=4)
    axes.set_title(f"{crowd.text} vehicles, {len(episodes)} drives", fontsize=9.5, loc="left")
    axes.set_aspect("equal")
    axes.set_axis_off()


def _backdrop(roads: RoadNetwork) -> tuple[Any, tuple[float, float, float, float]]:
    """`(H, W, 4)` the roads in grey on nothing, which reads on a light and on a dark page; and where it lies."""
    low, high = roads.xyz[:, :2].min(0), roads.xyz[:, :2].max(0)
    drawn = raster(roads, min(BACKDROP / float((high - low).max() + 20), 4.0))
    picture = np.zeros((*drawn.pixels.shape, 4), np.float32)
    picture[..., :3] = 0.53
    picture[..., 3] = np.where(drawn.pixels == GROUND, 0.0, np.where(drawn.pixels == ROAD, 0.38, 0.62))
    rows, columns = drawn.pixels.shape
    # CARLA's y points down the page, as rows do.
    return picture, (drawn.x, drawn.x + columns / drawn.scale, drawn.y + rows / drawn.scale, drawn.y)


def _thinned(points: Any) -> list[int]:
    """Rows about `POINTS` metres apart, the last one among them."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    marks = np.floor(along / POINTS)
    kept = np.flatnonzero(np.diff(marks, prepend=-1.0) > 0).tolist()
    return kept if kept[-1] == len(points) - 1 else [*kept, len(points) - 1]
