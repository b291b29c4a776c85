"""The formulas: their ranges for whatever comes, and the defects of published code that they must not have."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apps.driving.parts import functional
from tests.apps.driving.states import TOP

finite = st.floats(-1e30, 1e30)
unit = st.floats(0, 1)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


class TestSafety:
    def test_the_published_numbers(self) -> None:
        assert functional.safety(row(-1, 0, 0.015, 0.03, 1), 0.0, 0.03).tolist() == pytest.approx([1, 1, 0.5, 0, 0])

    @pytest.mark.parametrize(("low", "high"), [(0.03, 0.03), (0.1, 0.0), (0.0, math.nan)])
    def test_thresholds_out_of_order_are_refused(self, low: float, high: float) -> None:
        with pytest.raises(ValueError, match="below"):
            functional.safety(row(0), low, high)

    @given(finite, finite)
    def test_it_falls_with_z(self, one: float, two: float) -> None:
        low, high = functional.safety(row(min(one, two), max(one, two)), -0.1, 0.2).tolist()
        assert 1 >= low >= high >= 0


class TestSpeed:
    def test_the_published_numbers(self) -> None:
        speed = row(0, TOP / 2, TOP, 35 / 3.6)
        assert functional.target_speed(speed, row(1), TOP).tolist() == pytest.approx([0, 0.5, 1, 0.6])
        # In danger standing is right, and 35 km/h is the least that VLM-RL's own runs can get.
        assert functional.target_speed(speed, row(0), TOP).tolist() == pytest.approx([1, 0.5, 0, -0.4])

    @given(st.floats(-1e30, -0.11), unit)
    def test_reverse_earns_nothing_whatever_is_wanted(self, speed: float, safe: float) -> None:
        assert functional.target_speed(row(speed), row(safe), TOP).item() <= 0
        assert functional.speed_band(row(speed), 5.6, TOP, 9.7).item() <= 0
        for heading in (0.0, 1.0, math.pi):
            assert functional.along(row(speed), row(heading)).item() <= 0

    def test_rolling_back_a_little_is_no_reverse(self) -> None:
        assert functional.target_speed(row(-0.05), row(0), TOP).item() == pytest.approx(1, abs=0.01)

    @given(st.one_of(finite, st.sampled_from([math.inf, -math.inf])), unit)
    def test_it_stays_in_range(self, speed: float, safe: float) -> None:
        for value in (functional.target_speed(row(speed), row(safe), TOP), functional.speed_band(row(speed), 5, 7, 9)):
            assert -1 <= value.item() <= 1

    def test_the_band(self) -> None:
        kmh = row(0, 10, 20, 25, 30, 35, 60) / 3.6
        values = functional.speed_band(kmh, 20 / 3.6, 25 / 3.6, 35 / 3.6).tolist()
        assert values == pytest.approx([0, 0.5, 1, 1, 0.5, 0, -1])

    def test_the_speed_before_a_hazard(self) -> None:
        assert functional.free_speed(row(0, 2.5, 5, math.inf), 6.0, 5.0).tolist() == [0, 3, 6, 6]


class TestFactors:
    def test_the_wrong_way_pays_nothing(self) -> None:
        # VLM-RL: 130° pays 0 and 132°, 150°, 180° pay 1.
        degrees = row(0, 45, 90, 130, 132, 150, 180, -150, -180)
        assert functional.alignment(degrees.deg2rad()).tolist() == pytest.approx([1, 0.5, 0, 0, 0, 0, 0, 0, 0])

    @given(st.floats(-math.pi, math.pi), st.floats(-math.pi, math.pi))
    def test_alignment_falls_with_the_angle(self, one: float, two: float) -> None:
        near, far = sorted((one, two), key=abs)
        assert functional.alignment(row(near)).item() >= functional.alignment(row(far)).item() - 1e-12

    def test_an_angle_need_not_be_wrapped(self) -> None:
        turned = row(2 * math.pi, 3 * math.pi, -1.9 * math.pi)
        assert functional.heading_error(turned).tolist() == pytest.approx([0, math.pi, 0.1 * math.pi])

    @given(st.one_of(finite, st.sampled_from([math.inf, -math.inf])))
    def test_they_stay_in_range(self, value: float) -> None:
        for factor in (functional.centring(row(value), 3.0), functional.stability(row(value))):
            assert 0 <= factor.item() <= 1

    def test_one_step_is_steady(self) -> None:
        # The spread of one number is 0.
        assert functional.stability(row(0.0)).item() == 1

    @given(st.floats(-math.pi, math.pi), st.floats(0, 1e30))
    def test_speed_along_the_route_is_bounded(self, heading: float, speed: float) -> None:
        value = functional.along(row(speed), row(heading)).item()
        assert abs(value) <= functional.FASTEST
        assert value <= 1e-9 or abs(heading) < math.pi / 2 + 1e-9


class TestEnds:
    def test_what_failed(self) -> None:
        terminated, success, collision = row(0, 1, 1, 0, 1), row(0, 0, 1, 0, 1), row(0, 0, 0, 1, 1)
        # In order: drives on, bad end, arrival, collision that goes on, arrival and collision at once.
        assert functional.failed(terminated, success, collision).tolist() == [False, True, False, True, True]

    def test_the_penalty_is_all_that_is_paid(self) -> None:
        values = functional.penalised(row(0.9, math.nan), torch.tensor([True, True]), -10.0)
        assert values.tolist() == [-10, -10]


class TestProgress:
    @given(st.lists(st.floats(0, 0.05), min_size=1, max_size=20))
    def test_it_telescopes(self, steps: list[float]) -> None:
        change = row(*steps)
        progress = change.cumsum(0)
        assert functional.potential(progress, change).sum().item() == pytest.approx(progress[-1].item())

    def test_the_discounted_form(self) -> None:
        # γ Φ(s') − Φ(s), so that discounted sums telescope too.
        gamma, progress = 0.9, row(0.2, 0.5, 0.6)
        paid = functional.potential(progress, row(0.2, 0.3, 0.1), gamma)
        discounted = sum(gamma**t * value for t, value in enumerate(paid.tolist()))
        assert discounted == pytest.approx(gamma**3 * 0.6)

    def test_standing_still_pays_nothing_however_far_one_came(self) -> None:
        assert functional.potential(row(0.9), row(0.0)).item() == 0
