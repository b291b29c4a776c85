"""Two drivers on the same cases."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from apps.driving.measures.comparison import compare
from common.errors import DataError, UsageError
from tests.apps.driving.measures.made import episode


def drivers(count=8):
    """A driver that crashes on every second route, and one that never does."""
    weak = [
        episode(f"r{i}", policy="weak", hits=[("vehicle", 10.0, 50)] if i % 2 else (), route_completion=0.4 + i / 100)
        for i in range(count)
    ]
    strong = [episode(f"r{i}", policy="strong", route_completion=0.6 + i / 100) for i in range(count)]
    return weak, strong


def test_the_difference_is_second_minus_first():
    weak, strong = drivers()
    found = compare(weak, strong)

    assert (found.first, found.second, found.pairs, found.routes) == ("weak", "strong", 8, 8)
    assert found.tests["route_completion"].difference.mean == pytest.approx(0.2)
    assert found.tests["collision_rate"].difference.mean == pytest.approx(-0.5)
    assert found.tests["collision_rate"].n10 == 4
    assert found.tests["collisions_per_km"].difference.mean == pytest.approx(-4 / 0.8)
    assert found.tests["route_completion"].p < 0.01
    assert found.tests["collision_rate"].p == pytest.approx(2 * 0.5**4)


def test_a_driver_against_itself_shows_no_difference():
    weak, _ = drivers()
    found = compare(weak, [replace(one, policy="again") for one in weak])

    for name, test in found.tests.items():
        if not math.isnan(test.p):
            assert test.difference.mean == 0.0, name
            assert test.p == 1.0, name


def test_of_one_route_the_difference_alone_is_told():
    weak = [episode(seed=seed, policy="weak", hits=[("vehicle", 10.0, 50)]) for seed in range(6)]
    strong = [episode(seed=seed, policy="strong", route_completion=0.9) for seed in range(6)]
    tests = compare(weak, strong).tests
    for name in ("route_completion", "collision_rate", "collisions_per_km"):
        assert abs(tests[name].difference.mean) > 0.1
        assert math.isnan(tests[name].p)
        assert math.isnan(tests[name].difference.low)


def test_pairs_are_found_whatever_the_order_and_what_is_alone_is_left_out():
    weak, strong = drivers()
    found = compare(weak, [*reversed(strong), episode("other", policy="strong", route_completion=0.0)])

    assert (found.pairs, found.alone) == (8, 1)
    assert found.tests == compare(weak, strong).tests


def test_what_the_simulator_broke_off_is_no_pair():
    weak, strong = drivers()
    strong[0] = replace(strong[0], cause="backend lost")

    assert compare(weak, strong).pairs == 7


def test_repeated_routes_do_not_make_it_surer():
    weak, strong = drivers()
    again = [replace(one, case=one.case._replace(seed=1)) for one in weak]
    strong_again = [replace(one, case=one.case._replace(seed=1)) for one in strong]
    once, twice = compare(weak, strong), compare([*weak, *again], [*strong, *strong_again])

    for name in ("route_completion", "collision_rate", "collisions_per_km"):
        assert twice.tests[name].p == pytest.approx(once.tests[name].p), name
        assert twice.tests[name].difference.low == pytest.approx(once.tests[name].difference.low), name


def test_what_cannot_be_compared_is_refused():
    weak, strong = drivers()
    with pytest.raises(UsageError, match="several simulators"):
        compare(weak, [replace(one, backend="carla") for one in strong])
    with pytest.raises(DataError, match="no episode in common"):
        compare(weak, [replace(one, case=one.case._replace(seed=9)) for one in strong])
    with pytest.raises(DataError, match="drove one case twice"):
        compare(weak, [*strong, strong[0]])
    with pytest.raises(DataError, match="one version"):
        compare(weak, [replace(one, route_length=201.0) for one in strong])
    with pytest.raises(UsageError, match="one driver"):
        compare([*weak[:2], *strong[2:]], strong)
