"""Facts and labels of moments on a street with one lane each way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.driving.backends.base import NOBODY, Actors, Ego, Kind
from apps.driving.environment.tracker import Place
from apps.driving.pocket.dangers import judge
from apps.driving.pocket.facts import facts_of, label_of
from apps.driving.pocket.moments import Drawn, Moment, with_other
from tests.apps.driving.small_roads import WIDTH, route_from, street

CENTRE, CAR = WIDTH / 2, (2.3, 1.0)


@pytest.fixture(scope="module")
def drawn():
    roads = street()
    return Drawn(roads, route_from(roads, 0, 200))


def told(drawn, *others, offset=0.0, heading=0.0, speed=5.0):
    """Facts and label with others by metres ahead, metres to the right, turn, speed and kind."""
    ego = Ego(50.0, CENTRE + offset, 0.0, heading, speed)
    moment = Moment(ego, (NOBODY,) * 11, Place(50, 50.0, offset, heading, WIDTH))
    for ahead, right, turn, pace, kind in others:
        extent = CAR if kind is Kind.VEHICLE else (0.25, 0.25)
        moment = with_other(moment, kind, (50.0 + ahead, CENTRE + right, turn), pace, extent)
    danger = judge(moment, drawn.way)
    facts = facts_of(moment, danger, drawn)
    return facts, label_of(facts, speed, danger)


def car(ahead, right=0.0, turn=0.0, pace=0.0):
    return ahead, right, turn, pace, Kind.VEHICLE


@pytest.mark.parametrize(
    ("others", "ahead", "gap", "contact", "label"),
    [
        ([], "nobody", "none", "none", "clear"),
        ([car(19.0)], "standing car", "far", "none", "car ahead"),
        ([car(14.0, pace=5.0)], "moving car", "some way", "none", "car ahead"),
        ([car(9.0)], "standing car", "near", "none", "car close"),
        ([car(5.6)], "standing car", "close", "none", "near miss"),
        ([car(4.5)], "standing car", "close", "front", "collision"),
        ([car(4.5, turn=math.pi)], "standing car", "close", "head-on", "collision"),
        ([car(-4.5)], "nobody", "none", "rear", "collision"),
        ([car(0.0, 2.0)], "standing car", "close", "side", "collision"),
        ([car(0.0, 2.2)], "nobody", "none", "grazing", "near miss"),
        # Foreseen: half a second later it is 2.5 m nearer.
        ([car(14.0, turn=math.pi, pace=5.0)], "oncoming car", "near", "none", "crossing"),
        ([car(9.0, turn=math.pi / 2, pace=3.0)], "crossing car", "near", "none", "crossing"),
        ([(10.0, 0.0, 0.0, 1.0, Kind.WALKER)], "walker", "some way", "none", "pedestrian"),
        ([(2.4, 0.0, 0.0, 1.0, Kind.WALKER)], "walker", "close", "walker", "collision"),
        ([car(10.0, -WIDTH, math.pi, 6.0)], "nobody", "none", "none", "clear"),
    ],
)
def test_traffic_is_told(drawn, others, ahead, gap, contact, label):
    facts, found = told(drawn, *others)
    assert (facts["ahead"], facts["gap"], facts["contact"], found) == (ahead, gap, contact, label)


def test_waiting_behind_a_standing_car_is_stopped_and_no_near_miss(drawn):
    assert told(drawn, car(8.0), speed=0.0)[1] == "stopped"
    assert told(drawn, car(8.0), speed=5.0)[1] == "car close"


@pytest.mark.parametrize(
    ("offset", "lane", "label"),
    [
        (0.0, "keeps", "clear"),
        (0.9, "right edge", "turned aside"),
        (-0.9, "left edge", "turned aside"),
        (-2.5, "left", "off the lane"),
        (3.0, "off the road", "off the road"),
    ],
)
def test_the_place_in_the_lane_is_told(drawn, offset, lane, label):
    facts, found = told(drawn, offset=offset)
    assert (facts["lane"], found) == (lane, label)


@pytest.mark.parametrize(
    ("degrees", "heading", "label"),
    [
        (10, "along", "clear"),
        (40, "to the right", "turned aside"),
        (-40, "to the left", "turned aside"),
        (90, "across", "wrong way"),
        (180, "wrong way", "wrong way"),
    ],
)
def test_the_heading_is_told(drawn, degrees, heading, label):
    facts, found = told(drawn, heading=math.radians(degrees))
    assert (facts["heading"], found) == (heading, label)


def test_company_is_counted_within_the_picture(drawn):
    facts, _ = told(drawn, car(15.0, -WIDTH), (10.0, 8.0, 0.0, 1.0, Kind.WALKER), car(60.0))
    assert (facts["others"], facts["walkers"]) == ("one", "some")


def test_a_moment_without_history_can_be_judged(drawn):
    actors = Actors(
        np.array([1]), np.zeros(1, np.int8), np.array([[60.0, CENTRE, 0.0, 0.0]]), np.zeros(1), np.array([CAR])
    )
    moment = Moment(Ego(50.0, CENTRE, 0.0, 0.0), (actors,), Place(50, 50.0, 0.0, 0.0, WIDTH))
    assert judge(moment, drawn.way).traffic > 0.3
