"""Intervals: episodes on one route are no independent evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.driving.measures import intervals
from common.stats import wilson


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_one_episode_a_route_gives_wilsons_interval(flags):
    found, known = intervals.rate(flags, range(len(flags))), wilson(sum(flags), len(flags))

    assert (found.mean, found.low, found.high, found.n) == pytest.approx((known.mean, known.low, known.high, known.n))


def test_the_same_episode_driven_again_is_no_further_evidence():
    flags = [True, True, False, True, False, True, True, True]
    routes = list(range(8))
    once, thrice = intervals.rate(flags, routes), intervals.rate(flags * 3, routes * 3)

    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.n == 24


def test_where_all_end_alike_a_route_counts_once():
    assert intervals.rate([True] * 30, list(range(10)) * 3).low == pytest.approx(wilson(10, 10).low)


def test_episodes_that_do_not_depend_on_their_route_count_nearly_one_by_one():
    rng = np.random.default_rng(0)
    flags, routes = rng.random(400) < 0.5, np.repeat(np.arange(40), 10)

    assert intervals.effective_number(flags.tolist(), routes.tolist()) > 250


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_effective_number_lies_between_routes_and_episodes(rows):
    flags, routes = zip(*rows, strict=True)
    found = intervals.effective_number(flags, routes)

    # Routes of unequal weight can be worth less than their number.
    assert 1.0 - 1e-9 <= found <= len(rows) + 1e-9


def test_a_single_route_has_no_interval_of_its_mean():
    found = intervals.mean([1.0, 2.0, 3.0], ["a"] * 3)

    assert found.mean == 2.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_means_leave_out_what_could_not_be_scored():
    found = intervals.mean([1.0, math.nan, 3.0], ["a", "b", "c"])

    assert (found.mean, found.n) == (2.0, 2)


def test_a_ratio_is_sum_by_sum_and_not_a_mean_of_ratios():
    assert intervals.ratio([1, 0], [1.0, 9.0], ["a", "b"]).mean == pytest.approx(0.1)


def test_a_ratio_without_exposure_is_nan():
    assert math.isnan(intervals.ratio([0, 1], [0.0, 0.0], ["a", "b"]).mean)


def test_the_poisson_bound_is_exact():
    exposure = 7.0
    high = intervals.ratio([0, 0], [3.0, 4.0], ["a", "b"]).high

    assert math.exp(-high * exposure) == pytest.approx(0.025)


def test_without_an_event_the_same_drive_again_is_no_further_evidence():
    once = intervals.ratio([0, 0], [3.0, 4.0], ["a", "b"])

    assert intervals.ratio([0] * 6, [3.0, 4.0] * 3, ["a", "b"] * 3).high == pytest.approx(once.high)


def test_turned_over_the_ends_change_places():
    found = intervals.inverse(intervals.ratio([2, 1, 1], [10.0, 20.0, 10.0], ["a", "b", "c"]))

    assert found.mean == pytest.approx(10.0)
    assert found.low <= found.mean <= found.high
