"""Several graders, several items, a second completion."""

from __future__ import annotations

import math

import pytest
import torch

from common.errors import MissingColumn, RewardError
from common.rewards.ensemble import Baseline, Ensemble, MixedGrain
from common.rewards.text import ExactMatch, TokenF1
from common.rewards.transforms import Cached, GroupRank
from common.rewards.transforms import functional as transform_functional
from tests.common.rewards.toy import Column, batch

NAN = math.nan


class TestEnsemble:
    @pytest.mark.parametrize(
        ("a", "b", "kappa", "expected"),
        [
            (0.2, 0.8, 0.0, 0.5),
            (0.2, 0.8, 1.0, 0.2),
            (0.2, 0.8, 0.5, 0.35),
            (0.6, 0.6, 5.0, 0.6),
            # Cut at the lower bound.
            (0.0, 1.0, 3.0, 0.0),
            # A mean does without; a deviation does not.
            (0.8, NAN, 0.0, 0.8),
            (0.8, NAN, 1.0, NAN),
            (NAN, NAN, 0.0, NAN),
        ],
    )
    def test_truth_table(self, a: float, b: float, kappa: float, expected: float) -> None:
        found = Ensemble([Column("a"), Column("b")], kappa)(**batch(a=[a], b=[b])).values.tolist()
        assert found == pytest.approx([expected], nan_ok=True)

    def test_least_says_how_many_must_have_scored(self) -> None:
        members = [Column("a"), Column("b"), Column("c")]
        columns = batch(a=[0.5, 0.5], b=[0.7, NAN], c=[NAN, NAN])
        assert Ensemble(members, least=2)(**columns).values.tolist() == pytest.approx([0.6, NAN], nan_ok=True)

    def test_a_row_that_a_grader_did_not_see_is_not_better_for_it(self) -> None:
        """With a pessimist, one grader's outage would hide that they disagree."""
        columns = batch(a=[0.9, 0.9], b=[0.1, NAN])
        found = Ensemble([Column("a"), Column("b")], kappa=1.0)(**columns).values
        assert found[1].isnan()

    def test_members_of_different_scales_and_bad_settings_are_refused(self) -> None:
        with pytest.raises(RewardError, match="one scale"):
            Ensemble([Column("a"), Column("b", bounds=(0, 10))])
        with pytest.raises(RewardError, match="disagreement"):
            Ensemble([Column("a")], kappa=-0.1)
        with pytest.raises(RewardError, match="least 3"):
            Ensemble([Column("a"), Column("b")], least=3)

    def test_agreement_has_a_finite_gradient(self) -> None:
        values = torch.tensor([[0.5, 0.2], [0.5, 0.6]], requires_grad=True)
        transform_functional.ensemble(values, 1.0).sum().backward()
        assert values.grad is not None
        assert values.grad.isfinite().all()


class TestMixedGrain:
    def make(self, **settings: object) -> MixedGrain:
        return MixedGrain(Column("a"), ExactMatch("gold"), {"completion": "said", "gold": "meant"}, **settings)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("reduce", "expected"), [("mean", [0.5 + 0.5 * 2 / 3, 0.2 + 0.5]), ("min", [0.5, 0.2 + 0.5])]
    )
    def test_whole_and_items(self, reduce: str, expected: list[float]) -> None:
        reward = self.make(item_weight=0.5, reduce=reduce)
        said, meant = [["x", "y", "z"], ["u"]], [["x", "y", "q"], ["u"]]
        output = reward(**batch(a=[0.5, 0.2]), said=said, meant=meant)
        assert output.values.tolist() == pytest.approx(expected)
        assert output.parts["count"].tolist() == [3, 1]
        assert reward.bounds == (0.0, 1.5)

    def test_an_item_that_could_not_be_scored_is_left_out_not_zero(self) -> None:
        # An empty gold text cannot be matched: the grader's fault.
        output = self.make()(**batch(a=[1.0]), said=[["x", "y"]], meant=[["x", ""]])
        assert output.parts["items"].tolist() == [1.0]
        assert output.values.tolist() == [2.0]

    def test_without_items_a_row_stands_where_its_whole_stands(self) -> None:
        output = self.make()(**batch(a=[0.25, NAN]), said=[[], []], meant=[[], []])
        assert output.values.tolist() == pytest.approx([0.5, NAN], nan_ok=True)
        assert output.parts["items"].isnan().all()

    def test_lists_that_do_not_belong_together_raise(self) -> None:
        with pytest.raises(RewardError, match="row 1 has the item counts"):
            self.make()(**batch(a=[0.1, 0.2]), said=[["x"], ["y", "z"]], meant=[["x"], ["y"]])
        with pytest.raises(RewardError, match="must hold a list"):
            self.make()(**batch(a=[0.1]), said=["word"], meant=[["x"]])

    def test_bad_settings_are_refused(self) -> None:
        with pytest.raises(RewardError, match="item_weight"):
            self.make(item_weight=0.0)
        with pytest.raises(RewardError, match="compares rows"):
            MixedGrain(Column("a"), GroupRank(Column("b")), {"b": "bs"})


class TestBaseline:
    def test_the_sample_less_the_greedy_completion(self) -> None:
        reward = Baseline(TokenF1("gold"))
        output = reward(
            completion=["red bus", "blue", "red bus"], greedy=["red", "red bus", "red bus"], gold=["red bus"] * 3
        )
        assert output.values.tolist() == pytest.approx([1 / 3, -1.0, 0.0])
        assert output.parts["greedy"].tolist() == pytest.approx([2 / 3, 1.0, 1.0])
        assert reward.bounds == (-1.0, 1.0)

    def test_an_outage_at_the_greedy_one_is_no_merit(self) -> None:
        class Fails(Column):
            def score(self, **columns: object):  # type: ignore[no-untyped-def]
                return super().score(a=[NAN if text == "down" else 0.5 for text in columns["completion"]])  # type: ignore[attr-defined]

        assert Baseline(Fails("a"))(completion=["x"], greedy=["down"], a=[0.0]).values.isnan().all()

    def test_it_changes_nothing_where_the_group_mean_is_subtracted(self) -> None:
        completions, gold = ["red", "red bus", "a"], ["red bus"] * 3
        plain = TokenF1("gold")(completion=completions, gold=gold).values
        based = Baseline(TokenF1("gold"))(completion=completions, greedy=["red"] * 3, gold=gold).values
        assert torch.allclose(plain - plain.mean(), based - based.mean(), atol=1e-6)

    def test_it_needs_completions_one_by_one(self) -> None:
        with pytest.raises(RewardError, match="one by one"):
            Baseline(GroupRank(Column("a")))
        with pytest.raises(MissingColumn):
            Baseline(TokenF1("gold"))(completion=["x"], gold=["x"])

    def test_a_cache_scores_the_greedy_one_once_for_all_samples(self) -> None:
        counted = Column("a")
        counted.needs = ("completion",)
        counted.score = lambda **columns: (  # type: ignore[method-assign]
            counted.calls.append(len(columns["completion"])) or TokenF1("completion").score(**columns)
        )
        Baseline(Cached(counted))(completion=["x", "y"], greedy=["g", "g"])
        assert counted.calls == [2, 1]
