"""The hand-written rewards of other papers: their formulas by hand, and their bounds for every state."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.parts.factors import FACTORS, driving_factors, events
from apps.driving.parts.progress import CarlProgress, Progress
from apps.driving.parts.rules import Asap, Chen, Revolve, Roach, Tirl
from apps.driving.parts.signals import StateReward
from common.errors import RewardError
from tests.apps.driving.states import GOOD, random_states, state

REWARDS: list[StateReward] = [
    Tirl(),
    Asap(),
    Chen(),
    Chen(1.0, 5.5, 4.0, 0.0, "chatscene"),
    Revolve(),
    Revolve(automatic=True),
    Roach(),
    Progress(),
    Progress(gamma=0.9, penalty=-1000.0),
    CarlProgress(),
    CarlProgress(headway=1.0),
]
FLAGS = ("collision", "terminated", "success", "red_light", "off_route", "truncated")
WHOLE = {name: st.sampled_from([0.0, 1.0]) if name in FLAGS else st.floats(-1e6, 1e6, width=32) for name in GOOD}


@pytest.mark.parametrize("reward", REWARDS, ids=lambda one: one.name)
@given(st.fixed_dictionaries(WHOLE))
def test_bounds_hold_for_every_finite_state(reward: StateReward, row: dict[str, float]) -> None:
    value = reward(state=state(**row)).values.item()
    low, high = reward.bounds
    assert low - 1e-3 <= value <= high + 1e-3


@pytest.mark.parametrize("reward", REWARDS, ids=lambda one: one.name)
def test_the_far_ends_are_finite(reward: StateReward) -> None:
    rows = state(speed=[0.0, 1e3, -1e3, 5.0], offset=[math.inf, 0.0, 0.0, -math.inf], hazard=math.inf)
    values = reward(state=rows).values
    assert values.isfinite().all()
    assert set(reward(state=rows).parts) >= set(reward.part_names)


@pytest.mark.parametrize("reward", REWARDS, ids=lambda one: one.name)
def test_neither_wrong_way_nor_reverse_earns_by_speed(reward: StateReward) -> None:
    still = reward(state=state(speed=0.0, progress_change=0.0, distance=0.0)).values.item()
    rows = state(speed=[6.0, 5.0, -5.0], heading=[math.pi, 3.0, 0.0], progress_change=0.0, distance=0.0)
    assert (reward(state=rows).values <= still + 1e-6).all()


def test_tirl() -> None:
    assert Tirl()(state=state(collision=[0, 1])).values.tolist() == [0, -1]


class TestAsap:
    def test_the_formula(self) -> None:
        values = Asap()(state=state(distance=[1.0, 2.0, 0.0], success=[0, 1, 0], collision=[0, 0, 1])).values
        assert values.tolist() == pytest.approx([0.1, 1.2, -5])

    def test_the_return_grows_with_the_way_and_not_with_its_square(self) -> None:
        short, long = (Asap()(state=state(distance=[0.7] * n)).values.sum().item() for n in (100, 200))
        assert long == pytest.approx(2 * short)


class TestChen:
    def test_the_formula(self) -> None:
        rows = state(speed=[6.0, 10.0, 5.0], steer=[0.5, 0.0, 0.0], offset=[0.0, 5.0, 0.0], collision=[0, 0, 1])
        expected = [6 - 5 * 0.25 - 0.2 * 0.5 * 36 - 0.1, 10 - 10 - 1 - 0.1, -200 + 5 - 0.1]
        assert Chen()(state=rows).values.tolist() == pytest.approx(expected, rel=1e-5)

    def test_chatscene_is_its_sibling(self) -> None:
        rows = state(speed=[5.0, 6.0], collision=[1, 0])
        assert Chen(1.0, 5.5, 4.0, 0.0)(state=rows).values.tolist() == pytest.approx([4, -4])


class TestRevolve:
    def test_the_formula(self) -> None:
        rows = state(speed=[5.0, 3.0, 1.0, 5.0], offset=[0.0, 1.0, 0.0, 0.0], collision=[0, 0, 0, 1])
        rows["steer_std"] = torch.full((4,), 0.1)
        slow = 2 / (1 + math.exp(2)) + math.exp(-10) + 0.5 * math.exp(-1)
        assert Revolve()(state=rows).values.tolist() == pytest.approx([1, slow, -1, -1], abs=1e-6)

    def test_the_spread_of_two_steers_stands_in(self) -> None:
        rows = state(speed=3.0, steer_change=[0.2], offset=1.0)
        assert Revolve()(state=rows).parts["smoothness"].item() == pytest.approx(0.5 * math.exp(-1))

    def test_the_automatic_variant(self) -> None:
        rows = state(speed=[7.0], offset=2.0, hazard=5.0, steer_change=0.4)
        expected = math.exp(-2) + math.exp(-4) + math.exp(-2) + 0.25
        assert Revolve(automatic=True)(state=rows).values.item() == pytest.approx(expected, abs=1e-6)


class TestRoach:
    def test_the_formula(self) -> None:
        rows = state(speed=[6.0, 3.0], offset=[0.4, 0.0], heading=[-0.1, 0.0], steer_change=[0.02, 0.0])
        rows["hazard"] = torch.tensor([1e3, 5.5])
        assert Roach()(state=rows).values.tolist() == pytest.approx([math.cos(0.1) - 0.2 - 0.1 - 0.1, 1], abs=1e-5)

    def test_a_crash_costs_its_speed(self) -> None:
        rows = state(speed=4.0, hazard=1e3, terminated=[1, 1, 0], collision=[0, 1, 0], red_light=[0, 0, 1])
        drives = Roach()(state=state(speed=4.0)).values.item()
        assert Roach()(state=rows).values.tolist() == pytest.approx([drives - 1, drives - 5, drives - 5], abs=1e-5)


class TestProgress:
    def test_an_episode_sums_to_its_route_completion(self) -> None:
        change = torch.rand(50, generator=torch.Generator().manual_seed(1)) / 60
        rows = state(progress_change=change.tolist(), progress=change.cumsum(0).tolist())
        assert Progress(scale=1.0)(state=rows).values.sum().item() == pytest.approx(change.sum().item(), rel=1e-5)

    def test_a_bad_end_costs_the_penalty_and_keeps_what_was_gained(self) -> None:
        rows = state(terminated=[1, 1], success=[0, 1], progress_change=0.01, progress=1.0)
        assert Progress()(state=rows).values.tolist() == pytest.approx([-9, 1], abs=1e-5)

    def test_settings_that_cannot_be(self) -> None:
        for options in ({"scale": 0.0}, {"gamma": 1.5}, {"penalty": 1.0}):
            with pytest.raises(RewardError):
                Progress(**options)
        with pytest.raises(RewardError):
            CarlProgress(excess=0.0)


class TestCarl:
    def test_soft_infractions_multiply(self) -> None:
        rows = state(progress_change=0.01, offset=[0.0, 1.8, 0.0], speed=[8.0, 5.0, 9.115], speed_limit=8.0)
        assert CarlProgress()(state=rows).values.tolist() == pytest.approx([1, 0, 0.5], abs=1e-5)

    def test_hard_ones_cost(self) -> None:
        rows = state(progress_change=0.01, terminated=[1, 1, 0], success=[0, 1, 0], red_light=[0, 0, 1])
        assert CarlProgress()(state=rows).values.tolist() == pytest.approx([0, 1, 0], abs=1e-6)

    def test_what_is_ahead(self) -> None:
        rows = state(progress_change=0.01, speed=5.0, hazard=[4.0, 6.0])
        assert CarlProgress(headway=1.0)(state=rows).values.tolist() == pytest.approx([0.5, 1], abs=1e-6)


class TestFactors:
    @given(st.fixed_dictionaries(WHOLE))
    def test_they_lie_between_minus_1_and_1(self, row: dict[str, float]) -> None:
        factors = driving_factors(state(**row))
        assert factors.shape == (1, len(FACTORS))
        assert (factors.abs() <= 1).all()

    def test_a_nan_makes_the_row_unknown(self) -> None:
        rows = state(offset=[math.nan, 0.0])
        assert driving_factors(rows).isnan().all(1).tolist() == [True, False]
        assert [bool(text) for text in events(rows)] == [False, True]

    def test_words(self) -> None:
        rows = state(
            speed=[7.0, 0.0, -2.0, 9.0, 7.0, 7.0],
            heading=[0.0, 0.0, 0.0, 3.0, 0.0, 0.0],
            hazard=[1e3, 4.0, 12.0, 1e3, 1e3, 1e3],
            collision=[0, 0, 0, 0, 1, 0],
            success=[0, 0, 0, 0, 0, 1],
        )
        assert events(rows) == [
            "the car drives in its lane, along the route, on a free road",
            "the car stands in its lane, along the route, close to an obstacle",
            "the car drives backwards in its lane, along the route, behind an obstacle",
            "the car drives too fast in its lane, the wrong way, on a free road",
            "the car collides",
            "the car arrives",
        ]

    def test_there_are_few_of_them(self) -> None:
        assert len(set(events(random_states(5000)))) < 1000
