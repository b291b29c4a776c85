from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from common.errors import MissingColumn, RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import Gate, Product, WeightedSum
from common.rewards.ensemble import Ensemble
from common.rewards.routing import SoftGate
from common.rewards.text import ExactMatch
from common.rewards.transforms import Affine
from tests.common.rewards.toy import Column, Differentiable, batch

NAN = math.nan


def values(reward: Reward, **columns: list[float]) -> list[float]:
    return reward(**batch(**columns)).values.tolist()


@pytest.mark.parametrize("make", [WeightedSum, Product, Ensemble, SoftGate])
def test_a_part_on_a_gpu_and_one_on_the_cpu_go_together(make: type[Reward]) -> None:
    class On(Reward):
        def __init__(self, device: str) -> None:
            self.device, self.name = device, device

        def score(self, **columns: object) -> RewardOutput:
            return RewardOutput(torch.full((self.batch_size(columns),), 0.5, device=self.device))

    for pair in ((On("cuda"), On("cpu")), (On("cpu"), On("cuda"))):
        both: Reward
        if make is WeightedSum:
            both = WeightedSum([(one, 0.5) for one in pair])
        elif make is SoftGate:
            both = SoftGate(*pair, 0.5)
        else:
            both = make(list(pair))  # type: ignore[call-arg]
        # torch computes shapes and devices alone, so that no GPU is needed.
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert both(completion=["x", "y"]).values.device.type == "cpu"


class TestContract:
    def test_a_missing_column_is_named(self) -> None:
        with pytest.raises(MissingColumn, match=r"'a'.*'completion'"):
            Column("a")(completion=["x"])

    def test_columns_of_different_length_raise(self) -> None:
        with pytest.raises(RewardError, match="differ in length"):
            Column("a")(completion=["x"], a=[1.0, 2.0])

    def test_a_lone_text_is_no_column(self) -> None:
        with pytest.raises(RewardError, match="one entry a row"):
            Column("a")(completion="x", a=[1.0])

    def test_a_leaf_that_returns_another_shape_raises(self) -> None:
        class Wrong(Reward):
            name = "wrong"

            def score(self, **columns: object) -> RewardOutput:
                return RewardOutput(torch.zeros(1))

        with pytest.raises(RewardError, match="shape"):
            Wrong()(completion=["x", "y"])

    def test_an_empty_batch_gives_an_empty_result(self) -> None:
        reward = Gate(Column("a"), 0.5 * Column("b") + 0.5 * Column("c"), 0.5)
        assert reward(completion=[], a=[], b=[], c=[]).values.shape == (0,)


class TestWeightedSum:
    def test_sums(self) -> None:
        reward = WeightedSum({"x": (Column("a"), 0.7), "y": (Column("b"), 0.3)})
        assert values(reward, a=[1, 0, 1], b=[1, 1, 0.5]) == pytest.approx([1.0, 0.3, 0.85])

    def test_a_missing_part_is_renormalised_away(self) -> None:
        reward = WeightedSum({"x": (Column("a"), 3.0), "y": (Column("b"), 1.0)})
        # 4 · Σ w r / Σ w over what was scored.
        assert values(reward, a=[0.5, NAN], b=[NAN, 0.25]) == pytest.approx([2.0, 1.0])

    def test_renormalising_respects_unequal_bounds(self) -> None:
        reward = WeightedSum({"x": (Column("a"), 1.0), "y": (Column("b", bounds=(0, 3)), 1.0)})
        # Only b is known and at its best: the usual formula would say 6, above the bound of 4.
        assert values(reward, a=[NAN, NAN], b=[3.0, 1.5]) == pytest.approx([4.0, 2.0])

    def test_a_negative_weight_is_renormalised_on_its_own_scale(self) -> None:
        reward = WeightedSum({"x": (Column("a"), 1.0), "fine": (Column("b"), -0.5)})
        assert reward.bounds == (-0.5, 1.0)
        assert values(reward, a=[1.0, NAN, NAN], b=[1.0, 1.0, 0.0]) == pytest.approx([0.5, -0.5, 1.0])

    def test_only_a_row_without_any_score_is_nan(self) -> None:
        result = values(Column("a") + Column("b"), a=[NAN, 1], b=[NAN, NAN])
        assert math.isnan(result[0])
        assert result[1] == pytest.approx(2.0)

    def test_weight_zero_is_shown_and_does_not_count(self) -> None:
        reward = WeightedSum({"x": (Column("a"), 1.0), "shown": (Column("b"), 0.0)})
        output = reward(**batch(a=[0.5, NAN, 0.5], b=[1.0, 1.0, NAN]))
        assert output.parts["shown"][:2].tolist() == [1.0, 1.0]
        assert output.values[[0, 2]].tolist() == [0.5, 0.5]
        assert output.values[1].isnan()

    def test_parts_are_dotted(self) -> None:
        inner = WeightedSum({"x": (Column("a", detail=True), 1.0)})
        output = WeightedSum({"outer": (inner, 1.0), "b": (Column("b", texts=True), 1.0)})(**batch(a=[1], b=[1]))
        assert set(output.parts) == {"outer", "outer.x", "outer.x.half", "b"}
        assert set(output.info) == {"b.reason"}

    @pytest.mark.parametrize("weight", [NAN, math.inf])
    def test_a_weight_that_is_no_number_is_refused(self, weight: float) -> None:
        with pytest.raises(RewardError, match="weight"):
            WeightedSum([(Column("a"), weight)])

    def test_modules_unbounded_and_badly_named_parts_are_refused(self) -> None:
        with pytest.raises(RewardError, match="plain Reward"):
            WeightedSum({"x": (nn.Linear(1, 1), 1.0)})  # type: ignore[dict-item]
        with pytest.raises(RewardError, match="finite"):
            WeightedSum([(Column("a", bounds=(0, math.inf)), 1.0)])
        with pytest.raises(RewardError, match="dots"):
            WeightedSum({"a.b": (Column("a"), 1.0)})
        with pytest.raises(RewardError, match="no parts"):
            WeightedSum({})


class TestSugar:
    def test_a_sum_stays_flat(self) -> None:
        reward = 2 * (0.7 * Column("a") + Column("b") * 0.3) + Column("c")
        assert isinstance(reward, WeightedSum)
        assert reward.weights == pytest.approx({"a": 1.4, "b": 0.6, "c": 1.0})

    def test_sum_builtin_and_product(self) -> None:
        total = sum([Column("a"), Column("b")])
        assert isinstance(total, WeightedSum)
        product = Column("a") * Column("b") * Column("c")
        assert isinstance(product, Product)
        assert list(product.children) == ["a", "b", "c"]

    def test_equal_names_are_told_apart(self) -> None:
        reward = ExactMatch("x") + ExactMatch("y") + ExactMatch("z")
        assert isinstance(reward, WeightedSum)
        assert list(reward.children) == ["exact_match", "exact_match_2", "exact_match_3"]
        assert reward.needs == ("completion", "x", "y", "z")

    def test_other_operands_are_refused(self) -> None:
        with pytest.raises(TypeError):
            Column("a") + 1  # type: ignore[operator]
        with pytest.raises(TypeError):
            Column("a") * "b"  # type: ignore[operator]


class TestProduct:
    def test_multiplies_and_propagates_bounds(self) -> None:
        reward = Column("a", bounds=(0.5, 2)) * Column("b", bounds=(0, 3))
        assert reward.bounds == (0, 6)
        assert values(reward, a=[2, 0.5], b=[3, 1]) == pytest.approx([6.0, 0.5])

    def test_a_missing_factor_is_missing_unless_another_is_zero(self) -> None:
        result = values(Column("a") * Column("b"), a=[NAN, NAN], b=[1.0, 0.0])
        assert math.isnan(result[0])
        assert result[1] == 0.0

    def test_negative_factors_are_refused(self) -> None:
        with pytest.raises(RewardError, match="below 0"):
            Product([Column("a"), Column("b", bounds=(-1, 1))])
        Product([Column("a"), Affine(Column("b", bounds=(-1, 1)), 0.5, 0.5)])


class TestGate:
    def test_the_dear_reward_sees_open_rows_only(self) -> None:
        dear = Column("b", detail=True)
        reward = Gate(Column("a"), dear, 0.5)
        output = reward(**batch(a=[1, 0, 0.5, NAN, 0.4], b=[0.9, 0.9, 0.8, 0.7, 0.6]))
        assert dear.calls == [2]
        assert output.values[[0, 1, 2, 4]].tolist() == pytest.approx([0.9, 0.0, 0.8, 0.0])
        assert output.values[3].isnan()
        assert output.parts["b"].isnan().tolist() == [False, True, False, True, True]
        assert "below 0.5" in output.info["closed"][1]
        assert output.info["closed"][3] == ""

    def test_it_is_not_called_where_no_row_is_open_and_parts_stay_the_same(self) -> None:
        dear = Column("b", detail=True)
        reward = Gate(Column("a"), dear, 0.5)
        closed = reward(**batch(a=[0, 0], b=[1, 1]))
        assert dear.calls == []
        opened = reward(**batch(a=[1, 0], b=[1, 1]))
        assert set(closed.parts) == set(opened.parts) == {"a", "b", "b.half"}

    def test_gates_nest_lazily(self) -> None:
        dear = Column("c")
        reward = Gate(Column("a"), Gate(Column("b"), dear, 1.0), 1.0)
        assert values(reward, a=[1, 1, 0], b=[1, 0, 1], c=[0.3, 0.3, 0.3]) == pytest.approx([0.3, 0, 0])
        assert dear.calls == [1]

    def test_a_value_at_the_threshold_passes_despite_single_precision(self) -> None:
        for threshold in (0.1, 0.3, 0.7, 0.9):
            assert values(Gate(Column("a"), Column("b"), threshold), a=[threshold], b=[1.0]) == [1.0]

    def test_tensor_and_constant_columns_are_cut_to_the_open_rows(self) -> None:
        class Seen(Column):
            def score(self, **columns: object) -> RewardOutput:
                self.seen = columns
                return super().score(**columns)

        dear = Seen("b")
        Gate(Column("a"), dear, 0.5)(
            **batch(a=[1, 0], b=[1, 1]), images=torch.arange(2.0), state={"v": torch.arange(2)}, step=7, goal="xy"
        )
        assert dear.seen["images"].tolist() == [0.0]  # type: ignore[index,union-attr]
        assert dear.seen["state"]["v"].tolist() == [0]  # type: ignore[index]
        assert (dear.seen["step"], dear.seen["goal"]) == (7, "xy")

    def test_negative_children_and_a_threshold_out_of_reach_are_refused(self) -> None:
        with pytest.raises(RewardError, match="below 0"):
            Gate(Column("a"), Column("b", bounds=(-1, 1)), 0.5)
        with pytest.raises(RewardError, match="below 0"):
            Gate(Column("a", bounds=(-1, 1)), Column("b"), 0.5)
        with pytest.raises(RewardError, match="threshold"):
            Gate(Column("a"), Column("b"), 2.0)


def test_gradient_flows_through_compositions() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    soft = Differentiable()
    reward = WeightedSum({"p": (Product({"l": soft, "r": soft}), 0.5), "s": (Affine(soft, 2.0, 1.0), 0.5)})
    assert reward.differentiable
    reward(x=x).values.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
    assert not (reward + Column("a")).differentiable


def test_a_missing_part_does_not_spoil_the_gradient_of_the_others() -> None:
    class HalfBlind(Differentiable):
        name = "half"

        def score(self, **columns: torch.Tensor) -> RewardOutput:
            seen = torch.sigmoid(columns["x"].sum(-1))
            return RewardOutput(torch.where(torch.arange(len(seen)) == 0, NAN, seen))

    x = torch.randn(2, 3, requires_grad=True)
    (0.5 * Differentiable() + 0.5 * HalfBlind())(x=x).values.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert (x.grad != 0).all()
