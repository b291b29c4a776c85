"""The view from above shows what is where: the truth is set by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from apps.driving.backends.base import NOBODY, Frame, Kind
from apps.driving.observation import bev
from apps.driving.observation.bev import COLOURS, EGO, PAST, ROUTE, STANDING, VEHICLE, WALKER, View
from tests.apps.driving.observation.scenes import (
    HERE,
    STREET,
    WIDTH,
    drawn,
    ego,
    others,
    place,
    route,
    turned,
    view,
)
from tests.apps.driving.small_roads import crossroads, route_from

LANE = WIDTH / 2
ROAD, LINES, WAY, NOW = 0, 1, 2, -1


def centre(mask):
    rows, columns = np.nonzero(mask)
    return rows.mean(), columns.mean()


@pytest.mark.parametrize(
    ("ahead", "right"), [(15.0, 0.0), (0.0, 6.0), (0.0, -6.0), (-5.0, 3.0), (20.0, -8.0)], ids=str
)
@pytest.mark.parametrize("yaw", [0.0, 1.0, math.pi, -2.5])
def test_a_car_is_where_it_is_seen_from_the_nose(ahead, right, yaw):
    where = ego(yaw=yaw)
    x = where.x + ahead * math.cos(yaw) - right * math.sin(yaw)
    y = where.y + ahead * math.sin(yaw) + right * math.cos(yaw)
    picture, one = drawn(view(), where, others((x, y, yaw)))
    row, column = centre(picture[NOW])
    assert row == pytest.approx(one.row - ahead * one.scale, abs=1.0)
    assert column == pytest.approx(one.column + right * one.scale, abs=1.0)
    # Straight ahead is above, to the right is to the right.
    assert (row < one.row - 1) == (ahead > 1) or ahead == 0
    assert (column > one.column + 1) == (right > 1) or right == 0


def test_a_car_is_as_long_and_as_wide_as_it_is_and_lies_along_its_own_yaw():
    for yaw, tall, wide in ((0.0, 4.4, 1.8), (math.pi / 2, 1.8, 4.4)):
        picture, one = drawn(view(size=192), ego(), others((HERE + 12.0, LANE, yaw)))
        rows, columns = np.nonzero(picture[NOW])
        assert np.ptp(rows) == pytest.approx(tall * one.scale, abs=1.5)
        assert np.ptp(columns) == pytest.approx(wide * one.scale, abs=1.5)


def test_who_is_outside_of_the_picture_is_not_drawn():
    picture, _ = drawn(view(), ego(), others((HERE + 60.0, LANE), (HERE, LANE + 45.0), (HERE - 30.0, LANE)))
    assert not picture[3:].any()


@pytest.mark.parametrize("history", [[11, 6, 1], [16, 11, 6, 1], [1], [2, 1]])
def test_masks_are_binary_and_one_for_each_moment(history):
    picture, one = drawn(view(history=history), ego(), others((HERE + 10.0, LANE)))
    assert picture.shape == one.shape == (3 + len(history), 96, 96)
    assert picture.dtype == np.uint8
    assert set(np.unique(picture)) <= {0, 255}
    assert all(mask.any() for mask in picture)


def test_road_is_where_lanes_are_and_lines_lie_at_their_edges():
    picture, one = drawn(view(size=192), ego(), NOBODY)
    edges = {"left kerb": -1.5 * WIDTH, "middle": -WIDTH / 2, "right kerb": WIDTH / 2}
    for ahead in (0.0, 10.0, 20.0):
        for right in (-1.3 * WIDTH, -WIDTH, 0.0, 0.4 * WIDTH):
            assert picture[ROAD][place(one, ahead, right)]
            assert not picture[LINES][place(one, ahead, right)]
        for right in (-2.0 * WIDTH, 1.2 * WIDTH, 3 * WIDTH):
            assert not picture[ROAD][place(one, ahead, right)]
        for right in edges.values():
            row, column = place(one, ahead, right)
            assert picture[LINES][row, column - 1 : column + 2].any()
    assert not (picture[LINES] & ~picture[ROAD]).any()


def test_the_routes_band_lies_under_the_way_ahead_and_not_behind():
    roads = crossroads()
    start = roads.nearest(50.0, -LANE)
    way = route_from(roads, start, 90, choice=0)
    one = View(view())
    x, y = way.xyz[0, :2]
    one.reset(roads, way, Frame(0, 0.0, ego(float(x), float(y), float(way.yaw[0])), NOBODY))
    band = one.draw(0.0)[WAY]
    inside = 0
    for point in way.xyz[:, :2]:
        column, row = one._pixels(point) / 16
        if 0 <= row < 95 and 0 <= column < 95:
            inside += 1
            assert band[round(row), round(column)]
    assert inside > 25
    rows, _ = np.nonzero(band)
    assert rows.max() <= one.row + 2
    # Nothing is painted further from the way than half the band.
    pixels = np.argwhere(band)[:, ::-1]
    shown = one._pixels(way.xyz[:, :2]) / 16
    fine = np.concatenate([np.linspace(a, b, 8) for a, b in pairwise(shown)])
    gaps = np.hypot(*(pixels[:, None] - fine).T).min(0)
    assert gaps.max() < bev.BAND / 2 * one.scale + 1.5


def test_history_masks_lag_by_so_many_steps():
    one = View(view(history=[6, 3, 1]))
    way = route()
    track = [HERE + 2.0 * step for step in range(12)]
    one.reset(STREET, way, Frame(0, 0.0, ego(), others((track[0], LANE))))
    for step, x in enumerate(track[1:], 1):
        one.update(Frame(step, 0.1 * step, ego(), others((x, LANE))))
        rows = [centre(mask)[0] for mask in one.draw(HERE)[3:]]
        seen = [track[max(step + 1 - ago, 0)] for ago in (6, 3, 1)]
        assert rows == pytest.approx([one.row - (x - HERE) * one.scale for x in seen], abs=1.0)


def test_an_episode_does_not_see_the_one_before():
    one = View(view())
    way = route()
    one.reset(STREET, way, Frame(0, 0.0, ego(), others((HERE + 10.0, LANE))))
    one.update(Frame(1, 0.1, ego(), others((HERE + 10.0, LANE))))
    one.reset(STREET, way, Frame(0, 0.0, ego(), NOBODY))
    assert not one.draw(HERE)[3:].any()


@pytest.mark.parametrize("kind", ["masks", "rgb"])
@pytest.mark.parametrize("angle", [0.5, math.pi / 2, 2.0, -2.8])
def test_a_world_that_is_turned_looks_the_same_from_the_car(kind, angle):
    actors = ((HERE + 10.0, LANE, 0.0), (HERE + 4.0, -LANE, math.pi), (HERE + 15.0, 6.0, 0.7))
    config = view(kind, size=128)
    plain, _ = drawn(config, ego(), others(*actors))
    roads, way = turned(STREET, route(), angle)
    cosine, sine = math.cos(angle), math.sin(angle)

    def moved(x, y, yaw):
        return x * cosine - y * sine, x * sine + y * cosine, yaw + angle

    other, _ = drawn(config, ego(*moved(HERE, LANE, 0.0)), others(*(moved(*one) for one in actors)), roads, way)
    # Edges are rounded to other pixels, and lines are one pixel wide.
    assert (plain != other).mean() < 0.06
    for channel in range(3, len(plain)) if kind == "masks" else ():
        assert centre(plain[channel]) == pytest.approx(centre(other[channel]), abs=0.7)


def test_rgb_shows_everybody_in_the_colour_of_his_kind_and_the_ego_at_its_place():
    config = view("rgb", size=128)
    for kind, value in ((Kind.VEHICLE, VEHICLE), (Kind.WALKER, WALKER), (Kind.STATIC, STANDING)):
        picture, one = drawn(config, ego(), others((HERE + 12.0, LANE), kind=kind))
        assert picture.shape == one.shape == (3, 128, 128)
        assert tuple(picture[(slice(None), *place(one, 12.0, 0.0))]) == COLOURS[value]
        assert tuple(picture[(slice(None), *place(one, 0.0, 0.0))]) == COLOURS[EGO]
        assert tuple(picture[(slice(None), *place(one, 7.0, 0.0))]) == COLOURS[ROUTE]


def test_rgb_shows_where_others_were():
    one = View(view("rgb", size=128, history=[6, 1]))
    one.reset(STREET, route(), Frame(0, 0.0, ego(), others((HERE + 5.0, LANE))))
    for step in range(1, 7):
        one.update(Frame(step, 0.1 * step, ego(), others((HERE + 5.0 + 2.0 * step, LANE))))
    picture = one.draw(HERE).transpose(1, 2, 0)
    rows, _ = np.nonzero((picture == COLOURS[PAST]).all(2))
    assert rows.max() == pytest.approx(one.row - (7.0 - 2.2) * one.scale, abs=1.5)


def test_a_map_too_large_for_one_picture_is_cut_out_round_the_route(monkeypatch):
    whole, _ = drawn(view(), ego(), others((HERE + 8.0, LANE)))
    monkeypatch.setattr(bev, "MOST_PIXELS", 1000)
    part, one = drawn(view(), ego(), others((HERE + 8.0, LANE)))
    assert one.map.pixels.size < 2_000_000
    # The cut-out begins at another fraction of a pixel.
    assert (whole != part).mean() < 0.03
