"""Roads as a picture: every lane is painted, nothing else is, and a cut-out is a part of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from apps.driving.observation.raster import CROSSING, GROUND, LINE, MARGIN, ROAD, raster
from apps.driving.roads.library import load_roads
from tests.apps.driving.small_roads import WIDTH, crossroads, street


def pixels(drawn, points):
    at = np.floor((np.asarray(points) - (drawn.x, drawn.y)) * drawn.scale).astype(int)
    return drawn.pixels[at[:, 1], at[:, 0]]


@pytest.mark.parametrize("name", ["town", "hills", "highway"])
def test_every_lanes_centre_is_road_and_far_from_all_lanes_is_none(name):
    roads = load_roads(name)
    drawn = raster(roads, 2.0)
    # The last point of a lane that ends is the edge of the asphalt.
    onward = np.diff(roads.next_start) > 0
    assert (pixels(drawn, roads.xyz[onward, :2]) >= ROAD).mean() > 0.999
    random = np.random.default_rng(0)
    low, high = roads.xyz[:, :2].min(0) - MARGIN + 1, roads.xyz[:, :2].max(0) + MARGIN - 1
    points = random.uniform(low, high, (4000, 2))
    away = roads.tree.query(points)[0] > roads.width.max() / 2 + 1.5
    assert away.sum() > 200
    assert (pixels(drawn, points[away]) == GROUND).all()


def test_lines_lie_along_the_edges_of_lanes_but_not_in_junctions():
    roads = crossroads()
    drawn = raster(roads, 4.0)
    straight = [(x, side * WIDTH) for x in np.linspace(20, 70, 40) for side in (-1, 0, 1)]
    near = [pixels(drawn, np.add(straight, (0.0, shift))) == LINE for shift in (-0.25, 0.0, 0.25)]
    assert np.any(near, 0).all()
    inside = np.stack(np.meshgrid(np.linspace(-7, 7, 30), np.linspace(-7, 7, 30)), -1).reshape(-1, 2)
    assert not (pixels(drawn, inside) == LINE).any()


def test_crossings_are_painted_over_the_road():
    crossing = np.array([[[50.0, -3.5, 0], [53.0, -3.5, 0], [53.0, 3.5, 0], [50.0, 3.5, 0]]])
    drawn = raster(street(100.0, crossings=crossing), 4.0)
    assert pixels(drawn, [(51.5, 1.75), (51.5, -1.75)]).tolist() == [CROSSING, CROSSING]
    assert pixels(drawn, [(48.0, 1.75), (55.0, 1.75)]).tolist() == [ROAD, ROAD]


def test_a_cut_out_shows_what_the_whole_shows():
    roads = load_roads("town")
    whole = raster(roads, 2.0)
    x, y = whole.x + 50.0, whole.y + 30.0
    part = raster(roads, 2.0, (x, y, x + 80.0, y + 60.0))
    assert part.pixels.shape == (121, 161)
    assert (part.x, part.y) == (x, y)
    same = whole.pixels[60 : 60 + 121, 100 : 100 + 161]
    assert (part.pixels == same).all()


def test_it_is_drawn_once_for_a_map_and_a_scale():
    roads = load_roads("town")
    assert raster(roads, 2.5) is raster(roads, 2.5)
    assert raster(roads, 2.5).pixels.shape != raster(roads, 3.0).pixels.shape
