"""The truth that captions tell: who is in the way, how far, and what it is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.backends.base import NOBODY, Actors, Ego, Kind
from apps.driving.environment.tracker import Place
from apps.driving.observation.measures import Way
from apps.driving.pocket.dangers import TARGET, judge, safe_speed
from apps.driving.pocket.moments import BEYOND, DT, Moment, with_other, without_others
from tests.apps.driving.ways import circle, straight

HALF = 2.3  # of the ego's length, and of the others'
CAR, PERSON = (HALF, 1.0), (0.25, 0.25)


def actors(*others: tuple[float, float, float, float], kind: Kind = Kind.VEHICLE, ago: float = 0.0) -> Actors:
    """Others by x, y, yaw and speed, so many seconds ago."""
    count = len(others)
    poses = np.array([(x - v * ago * math.cos(yaw), y - v * ago * math.sin(yaw), 0.0, yaw) for x, y, yaw, v in others])
    return Actors(
        np.arange(count),
        np.full(count, kind, np.int8),
        poses.reshape(count, 4),
        np.array([v for *_, v in others]),
        np.tile(np.array(CAR if kind is Kind.VEHICLE else PERSON), (count, 1)),
    )


def moment(*others, kind=Kind.VEHICLE, offset=0.0, heading=0.0, x=20.0) -> Moment:
    """The ego on a straight road along x, others by x, y, yaw and speed; ten steps of history."""
    past = tuple(actors(*others, kind=kind, ago=DT * ago) if others else NOBODY for ago in range(10, -1, -1))
    return Moment(Ego(x, offset, 0.0, heading, 5.0), past, Place(int(x), x, offset, heading, 3.5))


def judged(*others, **settings):
    return judge(moment(*others, **settings), Way(straight(), BEYOND))


def ahead(gap: float, speed: float = 0.0, yaw: float = 0.0, y: float = 0.0):
    return (20.0 + 2 * HALF + gap, y, yaw, speed)


class TestTraffic:
    def test_an_empty_road_is_safe(self):
        assert judged().all == 0.0

    @pytest.mark.parametrize(
        ("gap", "least", "most"), [(1.0, 0.95, 1.0), (5.0, 0.6, 0.8), (10.0, 0.3, 0.5), (22, 0, 0)]
    )
    def test_a_standing_car_is_the_more_dangerous_the_nearer(self, gap, least, most):
        found = judged(ahead(gap))
        assert least <= found.traffic <= most
        if found.ahead.row >= 0:
            assert found.ahead.gap == pytest.approx(gap, abs=0.6)

    def test_a_car_that_drives_on_is_less_dangerous_than_one_that_stands(self):
        assert judged(ahead(8.0, 6.5)).traffic < 0.1 < judged(ahead(8.0)).traffic

    def test_an_oncoming_car_in_the_lane_is_as_dangerous_as_a_standing_one_or_more(self):
        assert judged(ahead(8.0, 6.0, math.pi)).traffic >= judged(ahead(8.0)).traffic

    def test_touching_is_the_greatest_danger(self):
        assert judged(ahead(-0.2)).traffic == 1.0
        assert judged(ahead(-0.2)).touched == 0
        assert judged((20.0, 1.95, 0.0, 0.0)).traffic == 1.0

    @pytest.mark.parametrize("yaw", [0.0, math.pi])
    def test_the_next_lane_is_no_danger(self, yaw):
        assert judged((26.0, -3.5, yaw, 7.0)).traffic == 0.0

    def test_a_car_that_is_nearly_touched_at_the_side_is_a_danger(self):
        near, far = judged((20.0, -2.3, 0.0, 5.0)), judged((20.0, -2.7, 0.0, 5.0))
        assert near.clearance == pytest.approx(0.3)
        assert near.traffic == pytest.approx(0.6)
        assert far.traffic == 0.0

    def test_a_car_behind_is_no_danger_until_it_touches(self):
        assert judged((20.0 - 2 * HALF - 1.0, 0.0, 0.0, 5.0)).traffic == 0.0
        assert judged((20.0 - 2 * HALF + 0.1, 0.0, 0.0, 5.0)).traffic == 1.0

    def test_crossing_traffic_is_foreseen_and_forgotten(self):
        comes = judged((29.0, 6.0, -math.pi / 2, 6.0))
        gone = judged((29.0, -6.0, -math.pi / 2, 6.0))
        assert comes.traffic > 0.3
        assert comes.ahead.later
        assert gone.traffic == 0.0

    def test_who_turns_with_his_bend_stays_in_his_lane(self):
        # An oncoming car on the outer lane of a circle; straight on it would come into ours within a second.
        way = Way(circle(20.0), BEYOND)

        def on_circle(angle: float) -> tuple[float, float, float, float]:
            return 23.5 * math.sin(angle), 20.0 - 23.5 * math.cos(angle), angle + math.pi, 7.0

        past = tuple(actors(on_circle(0.75 + 7.0 / 23.5 * DT * ago)) for ago in range(10, -1, -1))
        found = judge(Moment(Ego(0.0, 0.0, 0.0, 0.0, 5.0), past, Place(0, 0.0, 0.0, 0.0, 3.5)), way)
        assert found.traffic == 0.0

    def test_people_count_a_step_beside_the_way(self):
        on, beside, away = (judged((28.0, y, 0.0, 0.0), kind=Kind.WALKER).traffic for y in (0.0, 1.9, 3.0))
        assert on == pytest.approx(beside, abs=0.1)
        assert on > 0.3
        assert away == 0.0

    def test_others_gone_danger_gone(self):
        one = moment(ahead(1.0))
        assert judge(without_others(one), Way(straight(), BEYOND)).traffic == 0.0

    @given(st.floats(0.0, 40.0), st.floats(0.0, 40.0), st.floats(0.0, 10.0), st.floats(0.0, 10.0))
    def test_the_safe_speed_rises_with_the_gap_and_the_leaders_speed(self, gap, other, speed, faster):
        near, far = sorted((gap, other))
        slow, fast = sorted((speed, faster))
        assert 0.0 <= safe_speed(near, slow) <= safe_speed(far, slow) + 1e-9
        assert safe_speed(near, slow) <= safe_speed(near, fast) + 1e-9

    def test_behind_a_leader_at_target_speed_two_metres_further_than_standstill_the_target_speed_is_safe(self):
        assert safe_speed(2.0 + TARGET, TARGET) >= TARGET
        assert safe_speed(0.0, TARGET) == 0.0


class TestLaneAndDirection:
    @pytest.mark.parametrize(("offset", "share"), [(0.0, 0.0), (0.7, 0.0), (1.75, 0.5), (-1.75, 0.5), (3.0, 1.0)])
    def test_the_lanes_danger_is_the_share_of_the_car_outside(self, offset, share):
        assert judged(offset=offset).lane == pytest.approx(share)

    @given(st.floats(0.0, 180.0), st.floats(0.0, 180.0))
    def test_direction_never_falls_as_the_car_turns_away(self, one, other):
        less, more = (judged(heading=math.radians(turn)).direction for turn in sorted((one, other)))
        assert 0.0 <= less <= more <= 1.0

    def test_the_wrong_way_is_the_greatest_danger_of_direction_and_none_of_traffic(self):
        found = judged(heading=math.pi)
        assert (found.direction, found.traffic, found.all) == (1.0, 0.0, 1.0)

    def test_the_greatest_danger_counts(self):
        found = judged(ahead(8.0), offset=3.0)
        assert found.all == max(found.traffic, found.lane, found.direction) == 1.0


def test_two_who_were_put_there_are_told_apart():
    staged = with_other(moment(), Kind.VEHICLE, (8.0, 0.0, 0.0), 0.0, CAR)
    staged = with_other(staged, Kind.WALKER, (28.0, 0.0, 0.0), 0.0, PERSON)
    ahead = judge(staged, Way(straight(), BEYOND)).ahead
    assert Kind(int(staged.actors.kinds[ahead.row])) is Kind.WALKER
