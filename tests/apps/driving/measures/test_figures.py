"""Figures against values worked out by hand, and what may never happen to them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.driving.measures.figures import MEASURES, OURS, figures
from apps.driving.measures.scores import PENALTIES, driving_score, infraction_penalty, infractions
from common.errors import UsageError
from tests.apps.driving.measures.made import episode

BY_NAME = {measure.name: measure for measure in MEASURES}


def mean(name, *episodes):
    return BY_NAME[name].figure(episodes).mean


def crashed(route="r0", speed=20.0, **more):
    return episode(route, cause="collision with a vehicle", hits=[("vehicle", speed, 90)], **more)


def test_the_figures_of_two_episodes_are_those_worked_out_by_hand():
    good = episode(
        "a", success=True, cause="goal", steps=400, distance=300.0, route_completion=1.0, average_speed=27.0
    )
    bad = crashed("b", speed=18.0, distance=50.0, route_completion=0.2, average_speed=18.0)

    assert mean("average_speed", good, bad) == pytest.approx(22.5)
    assert mean("route_completion", good, bad) == pytest.approx(0.6)
    assert mean("total_distance", good, bad) == pytest.approx(350.0)
    assert mean("collision_speed", good, bad) == pytest.approx(18.0)
    assert mean("collisions_per_step", good, bad) == pytest.approx(1 / 500)
    assert mean("collisions_per_km", good, bad) == pytest.approx(1 / 0.35)
    assert mean("time_between_collisions", good, bad) == pytest.approx(50.0)
    assert mean("collision_rate", good, bad) == mean("success_rate", good, bad) == 0.5
    assert mean("driving_score", good, bad) == pytest.approx((1.0 + 0.2 * 0.6) / 2)


def test_definitions_of_vlm_rl_stand_beside_ours_and_differ_as_documented():
    good, bad = episode("a", steps=400, distance=300.0), crashed("b", speed=18.0, distance=50.0)

    assert mean("vlm_rl_collision_speed", good, bad) == pytest.approx(9.0)
    assert mean("vlm_rl_collisions_per_step", good, bad) == pytest.approx((0 + 1 / 100) / 2)
    assert mean("vlm_rl_collisions_per_km", good, bad) == pytest.approx((0 + 1000 / 50) / 2)


def test_a_car_that_never_moved_is_no_division_error():
    still = episode(distance=0.0, average_speed=0.0, route_completion=0.0)
    hit_standing = crashed("b", distance=0.0)
    empty = episode("c", steps=0, distance=0.0, route_completion=0.0, average_speed=0.0)

    assert math.isnan(mean("collisions_per_km", still))
    assert math.isnan(mean("collisions_per_km", hit_standing))
    assert math.isnan(mean("vlm_rl_collisions_per_km", hit_standing))
    assert math.isnan(mean("collisions_per_step", empty))
    assert math.isnan(mean("average_speed", empty))
    for figure in figures([still, empty]).values():
        assert not math.isinf(figure.mean)


def test_of_no_episode_nothing_is_known():
    found = figures([])

    assert all(figure.n == 0 for figure in found.values())
    assert math.isnan(found["success_rate"].mean)
    assert math.isnan(found["driving_score"].mean)


def test_without_a_collision_the_time_between_them_is_bounded_from_below():
    figure = BY_NAME["time_between_collisions"].figure([episode("a"), episode("b")])

    # 20 s without an event: the exact Poisson bound is 20 / 3.689.
    assert math.isnan(figure.mean)
    assert figure.low == pytest.approx(20 / 3.6889, rel=1e-4)
    assert BY_NAME["time_between_collisions"].shown(figure) == "above 5"


def test_collisions_per_km_without_a_collision_still_have_an_upper_end():
    figure = BY_NAME["collisions_per_km"].figure([episode("a"), episode("b")])

    assert (figure.mean, figure.low) == (0.0, 0.0)
    assert figure.high == pytest.approx(3.6889 / 0.2, rel=1e-4)


def test_what_the_simulator_broke_off_is_in_no_figure():
    whole, lost = episode("a"), episode("b", cause="backend lost", distance=9000.0, route_completion=0.9)

    with_it, without = figures([whole, lost]), figures([whole])
    assert {name: one.to_dict() for name, one in with_it.items()} == {
        name: one.to_dict() for name, one in without.items()
    }


def test_episodes_of_two_simulators_give_no_figure():
    with pytest.raises(UsageError, match="carla, embedded"):
        figures([episode("a"), episode("b", backend="carla")])


def test_every_measure_says_what_it_is():
    for measure in OURS:
        assert len(measure.definition) > 40
        assert "Source: " in measure.definition, measure.name
        assert "Range [0" in measure.definition or "Range (0" in measure.definition, measure.name


def test_penalties_are_the_leaderboards():
    assert {kind: PENALTIES[kind] for kind in ("walker", "vehicle", "static", "red light", "stop sign")} == {
        "walker": 0.5,
        "vehicle": 0.6,
        "static": 0.65,
        "red light": 0.7,
        "stop sign": 0.8,
    }


def test_the_driving_score_multiplies_penalties():
    one = episode(
        hits=[("walker", 5.0, 1), ("vehicle", 5.0, 2), ("vehicle", 5.0, 3), ("sidewalk", 5.0, 4)],
        red_lights=1,
        off_route=0.1,
        route_completion=0.8,
    )

    assert infraction_penalty(one) == pytest.approx(0.5 * 0.6**2 * 0.7 * 0.9)
    assert driving_score(one) == pytest.approx(0.8 * 0.5 * 0.36 * 0.7 * 0.9)
    assert infractions(one)["vehicle"] == 2
    assert infractions(one)["stuck"] == 1


def test_a_collision_of_an_unknown_kind_counts_as_one_with_the_layout():
    assert infractions(episode(hits=[("bridge", 3.0, 1)]))["static"] == 1


KINDS = st.sampled_from(["walker", "vehicle", "static", "sidewalk"])
EPISODES = st.lists(
    st.builds(
        lambda route, hits, completion, off, distance, steps: episode(
            f"r{route}",
            hits=[(kind, speed, 1) for kind, speed in hits],
            route_completion=completion,
            off_route=off,
            distance=distance,
            steps=steps,
        ),
        st.integers(0, 4),
        st.lists(st.tuples(KINDS, st.floats(0, 40)), max_size=3),
        st.floats(0, 1),
        st.floats(0, 1),
        st.floats(0, 1e4),
        st.integers(0, 2000),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(EPISODES)
def test_figures_stay_in_their_ranges_and_intervals_hold_them(episodes):
    for one in episodes:
        assert 0.0 <= driving_score(one) <= one.route_completion
    for name, figure in figures(episodes).items():
        assert not math.isinf(figure.mean)
        if BY_NAME[name].kind == "rate" and not math.isnan(figure.mean):
            assert 0.0 <= figure.low <= figure.mean <= figure.high <= 1.0
        if not math.isnan(figure.mean):
            assert figure.mean >= 0.0
