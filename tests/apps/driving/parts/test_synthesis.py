"""VLM-RL's synthesis: its formula, its bounds for every state, whose fault a missing number is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.parts.synthesis import GoalOnly, Synthesis
from common.errors import MissingColumn, RewardError
from common.rewards.base import Reward, RewardOutput
from tests.apps.driving.states import TOP, state

number = st.floats(-1e6, 1e6, width=32)


class Told(Reward):
    """c as a column says."""

    name = "told"
    needs = ("c",)
    part_names = ("z",)

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(columns["c"], {"z": -columns["c"]}, {"reason": ["" for _ in columns["c"]]})


def test_the_formula() -> None:
    reward = Synthesis(Told())
    output = reward(
        state=state(speed=[TOP / 2], offset=-0.6, heading=math.pi / 8, offset_std=0.1), c=torch.tensor([0.8])
    )
    factors = {"speed": 0.7, "centring": 0.8, "heading": 0.75, "stability": 0.75}
    assert output.values.item() == pytest.approx(math.prod(factors.values()), abs=1e-6)
    assert {name: output.parts[name].item() for name in factors} == pytest.approx(factors, abs=1e-6)
    assert output.parts["goal"].item() == pytest.approx(0.8)
    assert output.parts["goal.z"].item() == pytest.approx(-0.8)
    assert set(output.parts) == set(reward.part_names)


def test_danger_makes_standing_right() -> None:
    danger, safe = (Synthesis(Told())(state=state(speed=[0.0, TOP]), c=torch.full((2,), c)).values for c in (0.0, 1.0))
    assert danger.tolist() == pytest.approx([1, 0], abs=1e-6)
    assert safe.tolist() == pytest.approx([0, 1], abs=1e-6)


def test_without_a_goal_all_is_safe() -> None:
    rows = state(speed=[0.0, 3.0, TOP, 12.0], offset=0.5)
    plain = Synthesis()
    assert plain.needs == ("state",)
    assert torch.equal(plain(state=rows).values, Synthesis(Told())(state=rows, c=torch.ones(4)).values)


def test_the_penalty_stands_alone_and_needs_no_picture() -> None:
    rows = state(terminated=[0, 1, 1, 0, 1, 0], success=[0, 0, 1, 0, 0, 0], collision=[0, 0, 0, 1, 1, 0])
    c = torch.tensor([1, 1, 1, 1, math.nan, math.nan])
    values = Synthesis(Told())(state=rows, c=c).values
    assert values[:5].tolist() == pytest.approx([1, -10, 1, -10, -10])
    assert values[5].isnan()
    assert GoalOnly(Told())(state=rows, c=c).values[:5].tolist() == pytest.approx([1, -10, 1, -10, -10])


def test_a_time_limit_is_no_failure() -> None:
    assert Synthesis()(state=state(truncated=1.0)).values.item() == pytest.approx(1)


class TestDefects:
    @pytest.mark.parametrize("degrees", [90, 130, 132, 150, 180, -132, -180])
    def test_the_wrong_way_pays_nothing(self, degrees: float) -> None:
        assert Synthesis()(state=state(heading=math.radians(degrees))).values.item() == pytest.approx(0, abs=1e-6)

    def test_reverse_pays_nothing(self) -> None:
        for c in (0.0, 0.5, 1.0):
            values = Synthesis(Told())(state=state(speed=[-TOP, -1.0]), c=torch.full((2,), c)).values
            assert (values <= 0).all()

    def test_a_standing_car_has_a_heading(self) -> None:
        # The angle comes from the nose, so a car that stands across the road is not aligned.
        values = Synthesis(Told())(state=state(speed=0.0, heading=[0.0, math.pi / 2]), c=torch.zeros(2)).values
        assert values.tolist() == pytest.approx([1, 0], abs=1e-6)

    def test_a_heading_beyond_90_degrees_cannot_be_made_to_pay(self) -> None:
        with pytest.raises(RewardError, match="wrong way"):
            Synthesis(sharpest=math.radians(100))


@given(number, number, number, st.floats(0, 1e6, width=32), st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0]))
def test_bounds_hold_for_every_state(
    speed: float, offset: float, heading: float, spread: float, c: float, bad: float
) -> None:
    rows = state(speed=speed, offset=[offset], heading=heading, offset_std=spread, terminated=bad)
    for reward in (Synthesis(Told()), Synthesis(), Synthesis(profile="band")):
        value = reward(state=rows, c=torch.tensor([c])).values.item()
        assert value == -10 if bad else -1 <= value <= 1


def test_the_far_ends() -> None:
    rows = state(speed=[1e3, 1e3, 0.0, math.inf, -math.inf], offset=[0.0, math.inf, -math.inf, 0.0, 0.0])
    values = Synthesis()(state=rows).values
    assert values.tolist() == [-1, 0, 0, -1, -1]


class TestFaults:
    def test_a_nan_in_the_state_is_the_simulators_fault(self) -> None:
        output = Synthesis()(state=state(offset=[math.nan, 0.0]))
        assert output.values.isnan().tolist() == [True, False]
        assert output.info["reason"] == ["state.offset is not a number", ""]

    def test_a_missing_entry_is_the_callers(self) -> None:
        rows = state()
        del rows["heading"]
        with pytest.raises(MissingColumn, match=r"state\.heading"):
            Synthesis()(state=rows)

    @pytest.mark.parametrize("options", [{"top": 0.0}, {"penalty": 0.0}, {"floor": 0.5}, {"profile": "x"}])
    def test_settings_that_cannot_be(self, options: dict[str, Any]) -> None:
        with pytest.raises(RewardError):
            Synthesis(**options)

    def test_a_goal_must_lie_between_0_and_1(self) -> None:
        goal = Told()
        goal.bounds = (-1.0, 1.0)
        with pytest.raises(RewardError, match=r"\[0, 1\]"):
            Synthesis(goal)
        with pytest.raises(RewardError, match="below"):
            GoalOnly(Told(), penalty=0.5)
