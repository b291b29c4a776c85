"""Roads as shapes."""

from __future__ import annotations

import numpy as np
import pytest

from apps.driving.roads.library import SHIPPED, load_roads
from apps.driving.roads.network import RoadNetwork
from apps.driving.roads.shapes import lane_edges, lane_lines, lane_polygons, lane_quads, lane_runs
from tests.apps.driving.roads.small import network


def area(corners: np.ndarray) -> np.ndarray:
    x, y = corners[..., 0], corners[..., 1]
    return np.abs((x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1)).sum(-1)) / 2


def test_left_is_left() -> None:
    left, right = lane_edges(network())
    # Going along x with y to the right: left is towards smaller y.
    assert (left[:60, 1] == -1.75).all()
    assert (right[:60, 1] == 1.75).all()


def test_a_strip_is_covered_exactly() -> None:
    roads = network()
    assert area(lane_quads(roads)).sum() == pytest.approx(2 * 59 * 3.5)
    assert [area(corners) for corners in lane_polygons(roads)] == pytest.approx([59 * 3.5] * 2)
    assert lane_runs(roads) == [(0, 60), (60, 120)]


def test_lines_of_a_strip() -> None:
    lines = {round(float(line.points[0, 1]), 3): line.broken for line in lane_lines(network())}
    assert lines == {-1.75: False, 1.75: True, 5.25: False}


@pytest.mark.parametrize("name", SHIPPED)
def test_shapes_of_the_shipped_maps(name: str) -> None:
    roads = load_roads(name)
    quads = lane_quads(roads)
    assert quads.shape == (len(roads.next_node), 4, 2)
    # About a metre by a lane's width each.
    assert area(quads).min() > 1.5
    assert area(quads).max() < 6
    ways_out = sum(len(roads.following(beyond - 1)) for _, beyond in lane_runs(roads))
    assert len(lane_polygons(roads)) == ways_out >= len(np.unique(roads.lane, axis=0))


def test_only_roads_of_several_lanes_have_broken_lines(town: RoadNetwork, highway: RoadNetwork) -> None:
    assert not any(line.broken for line in lane_lines(town))
    lines = lane_lines(highway)
    assert sum(line.broken for line in lines) > 10
    for line in lines:
        assert np.hypot(*np.diff(line.points, axis=0).T).max() < 2
