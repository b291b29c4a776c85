"""Rewards that choose and mix: truth tables, laziness, what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.routing import Confidence, Route, SoftGate
from common.rewards.transforms import GroupRank
from tests.common.rewards.toy import Column, Differentiable, batch

NAN = math.nan


class Sure(Reward):
    """A rule that says how sure it is in a part."""

    name = "rule"
    needs = ("a", "sure")

    def score(self, **columns: list[float]) -> RewardOutput:
        return RewardOutput(torch.tensor(columns["a"]), {"sure": torch.tensor(columns["sure"])})


class TestRoute:
    def test_each_row_by_its_own_reward_and_no_other(self) -> None:
        one, two = Column("a", detail=True, texts=True), Column("b", bounds=(-1, 2))
        reward = Route("kind", {"one": one, "two": two})
        output = reward(**batch(a=[0.5, NAN, 0.1], b=[NAN, 2.0, -1.0]), kind=["one", "two", "two"])
        assert output.values.tolist() == [0.5, 2.0, -1.0]
        assert (one.calls, two.calls) == ([1], [2])
        assert reward.bounds == (-1, 2)
        assert output.parts["one"].isnan().tolist() == [False, True, True]
        assert output.info["route"] == ["one", "two", "two"]
        alone = reward(**batch(a=[0.5], b=[0.5]), kind=["two"])
        assert set(alone.parts) == set(output.parts) == {"one", "one.half", "two"}

    def test_an_unscored_row_of_a_route_is_nan(self) -> None:
        assert Route("kind", {"one": Column("a")})(**batch(a=[NAN]), kind=["one"]).values.isnan().all()

    @pytest.mark.parametrize("key", ["on", "", None, "two"])
    def test_a_key_without_a_route_raises_and_names_the_row(self, key: str | None) -> None:
        with pytest.raises(RewardError, match="row 1 has kind"):
            Route("kind", {"one": Column("a")})(**batch(a=[0.1, 0.2]), kind=["one", key])

    def test_numbers_and_booleans_are_keys_too(self) -> None:
        reward = Route("solvable", {True: Column("a"), False: Column("b")})  # type: ignore[dict-item]
        columns = batch(a=[0.1, 0.2], b=[0.3, 0.4])
        assert reward(**columns, solvable=[True, False]).values.tolist() == pytest.approx([0.1, 0.4])
        assert reward(**columns, solvable=torch.tensor([False, True])).values.tolist() == pytest.approx([0.3, 0.2])

    def test_a_group_that_is_compared_must_not_be_split_between_routes(self) -> None:
        reward = Route("kind", {"one": GroupRank(Column("a")), "two": Column("b")})
        columns = batch(a=[0.1, 0.2, 0.5], b=[0.1, 0.2, 0.7])
        group = torch.tensor([4, 4, 9])
        assert reward(**columns, group=group, kind=["one", "one", "two"]).values.tolist() == pytest.approx([0, 1, 0.7])
        with pytest.raises(RewardError, match=r"group 4 is split.*row 1"):
            reward(**columns, group=group, kind=["one", "two", "two"])

    def test_a_gradient_flows_to_its_own_rows(self) -> None:
        x = torch.randn(3, 2, requires_grad=True)
        reward = Route("kind", {"one": Differentiable(), "two": Differentiable()})
        assert reward.differentiable
        reward(x=x, kind=["one", "two", "one"]).values[0].backward()
        assert x.grad is not None
        assert (x.grad != 0).any(1).tolist() == [True, False, False]


class TestConfidence:
    @pytest.mark.parametrize(
        ("rule", "model", "sure", "expected"),
        [
            (1.0, 0.0, 0.75, 0.75),
            (0.0, 1.0, 0.75, 0.25),
            # What has no weight may be missing.
            (0.5, NAN, 1.0, 0.5),
            (NAN, 0.5, 0.0, 0.5),
            # What has some may not, nor the confidence itself.
            (0.5, NAN, 0.9, NAN),
            (NAN, 0.5, 0.1, NAN),
            (0.5, 0.5, NAN, NAN),
            (NAN, 0.5, 1.0, NAN),
        ],
    )
    def test_truth_table(self, rule: float, model: float, sure: float, expected: float) -> None:
        columns = batch(a=[rule], b=[model], c=[sure])
        found = Confidence(Column("a"), Column("b"), Column("c"))(**columns).values.tolist()
        assert found == pytest.approx([expected], nan_ok=True)

    def test_the_model_is_asked_only_where_the_rule_is_not_sure(self) -> None:
        model = Column("b")
        reward = Confidence(Sure(), model, "sure")
        output = reward(**batch(a=[0.1, 0.2, 0.3], b=[0.8, 0.8, 0.8], sure=[1.0, 0.5, NAN]))
        assert model.calls == [1]
        assert output.values.tolist() == pytest.approx([0.1, 0.5, NAN], nan_ok=True)
        assert output.parts["model"].isnan().tolist() == [True, False, True]

    def test_a_confidence_beyond_its_range_is_refused(self) -> None:
        with pytest.raises(RewardError, match=r"lie in \[0, 1\]"):
            Confidence(Column("a"), Column("b"), Column("c", bounds=(0, 2)))
        reward = Confidence(Sure(), Column("b"), "sure")
        with pytest.raises(RewardError, match=r"of row 1 is 1\.5"):
            reward(**batch(a=[0.1, 0.2], b=[0.8, 0.8], sure=[1.0, 1.5]))

    def test_a_part_that_the_rule_does_not_have_is_named(self) -> None:
        with pytest.raises(RewardError, match=r"no part 'shure'.*'sure'"):
            Confidence(Sure(), Column("b"), "shure")(**batch(a=[0.1], b=[0.8], sure=[1.0]))


class TestSoftGate:
    def test_half_open_at_the_threshold_and_steeper_when_cold(self) -> None:
        columns = batch(a=[0.5, 0.6, 0.4, NAN, 0.5, NAN], b=[1.0, 1.0, 1.0, 1.0, NAN, 0.0])
        warm = SoftGate(Column("a"), Column("b"), 0.5, 0.1)(**columns).values.tolist()
        expected = [0.5, 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1)), NAN, NAN, 0.0]
        assert warm == pytest.approx(expected, nan_ok=True)
        cold = SoftGate(Column("a"), Column("b"), 0.5, 1e-4)(**columns).values.tolist()
        assert cold[1:3] == pytest.approx([1.0, 0.0], abs=1e-6)

    def test_bounds_follow_how_far_it_opens(self) -> None:
        reward = SoftGate(Column("a"), Column("b", bounds=(0, 2)), 1.0, 0.5)
        assert reward.bounds == pytest.approx((0.0, 1.0))

    def test_a_negative_child_or_no_temperature_is_refused(self) -> None:
        with pytest.raises(RewardError, match="below 0"):
            SoftGate(Column("a"), Column("b", bounds=(-1, 1)), 0.5)
        with pytest.raises(RewardError, match="temperature"):
            SoftGate(Column("a"), Column("b"), 0.5, 0.0)
