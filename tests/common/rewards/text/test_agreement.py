"""Rewards from a rollout's own answers and judgements: SelfAgreement and StepUtility."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards.text.agreement import SelfAgreement, majority
from common.rewards.text.reflection import StepUtility, step_utility

NAN = math.nan


@pytest.mark.parametrize(
    ("answers", "label", "share"),
    [
        (["a", "a", "b"], "a", 2 / 3),
        (["a", "b"], None, 1 / 2),
        (["", "", "a"], "a", 1 / 3),
        (["", ""], None, 0.0),
        ([], None, 0.0),
    ],
)
def test_majority(answers: list[str], label: str | None, share: float) -> None:
    assert majority(answers) == (label, pytest.approx(share))


class TestSelfAgreement:
    def test_the_pair_gives_the_label(self) -> None:
        output = SelfAgreement(pair="twin")(
            completion=["4", "5", "5", "4!", "4", ""],
            group=torch.tensor([0, 0, 0, 1, 1, 1]),
            twin=torch.tensor([1, 1, 1, 0, 0, 0]),
        )
        assert output.values.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        assert output.parts["share"].tolist() == pytest.approx([2 / 3] * 6)

    def test_without_a_pair_the_own_group_votes(self) -> None:
        output = SelfAgreement(tag="answer")(
            completion=["<answer>4</answer>", "<answer>4.</answer>", "<answer>5</answer>", "4"], group=[7, 7, 7, 7]
        )
        assert output.values.tolist() == [1.0, 1.0, 0.0, 0.0]
        assert output.info["reason"][3] == "no answer is given"

    def test_where_there_is_no_label_nobody_is_punished(self) -> None:
        reward = SelfAgreement(pair="twin")
        tie = reward(completion=["a", "a", "b", "c"], group=[0, 0, 1, 1], twin=[1, 1, 0, 0])
        assert tie.values.tolist() == pytest.approx([NAN, NAN, 0.0, 0.0], nan_ok=True)
        absent = reward(completion=["a", ""], group=[0, 0], twin=[5, 5])
        assert absent.values.isnan().all()
        alone = SelfAgreement()(completion=["a"], group=[0])
        assert alone.values.isnan().all()

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.integers(0, 2)), min_size=1, max_size=9))
    def test_the_order_of_the_rows_does_not_count(self, rows: list[tuple[str, int]]) -> None:
        def values(rows: list[tuple[str, int]]) -> list[float]:
            texts, groups = zip(*rows, strict=True)
            return SelfAgreement()(completion=list(texts), group=list(groups)).values.tolist()

        assert values(rows[::-1])[::-1] == pytest.approx(values(rows), nan_ok=True)
        assert set(values(rows)) - {0.0, 1.0} == set() or any(map(math.isnan, values(rows)))


@pytest.mark.parametrize(
    ("yes", "right", "similar", "earned"),
    [
        (True, True, True, 0.1),
        (True, True, False, 0.1),
        (True, False, True, -0.025),
        (True, False, False, -0.05),
        (False, True, False, 0.02),
        (False, False, False, 0.02),
        (False, True, True, -0.05),
        (False, False, True, -0.05),
    ],
)
def test_step_utility(yes: bool, right: bool, similar: bool, earned: float) -> None:
    assert step_utility(yes, right, similar) == pytest.approx(earned)


class TestStepUtility:
    def row(self, text: str, similarity: list[float | None] | None = None, reference: str = "Bern") -> float:
        return StepUtility()(completion=[text], similarity=[similarity], reference=[reference]).values.item()

    def test_truth(self) -> None:
        assert self.row("<answer>Bern</answer>") == 1.0
        assert self.row("<answer>Basel</answer><answer>Bern</answer>") == 1.0, "the last answer counts"
        assert self.row("Bern") == 0.0
        assert self.row("") == 0.0
        assert self.row("<judge>no</judge><answer>Bern</answer>", [0.2]) == pytest.approx(1.02)
        assert math.isnan(self.row("<answer>Bern</answer>", None, ""))

    def test_many_answers_are_worth_a_quarter(self) -> None:
        assert self.row("<answer>Bern</answer>" * 10) == 1.0
        assert self.row("<answer>Bern</answer>" * 11) == 0.25

    def test_judgements_cannot_be_sown(self) -> None:
        right = "<answer>Bern</answer>"
        assert self.row("<judge>yes</judge>" * 50 + right, [0.9]) == pytest.approx(1 + 0.1 - 9 * 0.05)
        assert self.row("<judge>yes and no</judge>" + right, [0.9]) == pytest.approx(0.95)

    def test_a_service_that_failed_is_not_the_policys_fault(self) -> None:
        text = "<judge>yes</judge><answer>Bern</answer>"
        assert math.isnan(self.row(text, [None]))
        assert math.isnan(self.row(text, [NAN]))
        assert self.row("<answer>Bern</answer>", [None]) == 1.0, "a step that was not judged is not looked at"

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.sampled_from(["yes", "No", "maybe"]), max_size=14),
        st.lists(st.floats(0, 1), max_size=14),
        st.booleans(),
    )
    def test_bounds(self, words: list[str], similarity: list[float], right: bool) -> None:
        text = "".join(f"<judge>{word}</judge>" for word in words) + f"<answer>{'Bern' if right else 'x'}</answer>"
        low, high = StepUtility().bounds
        assert low - 1e-6 <= self.row(text, similarity) <= high + 1e-6

    def test_numbers_that_cannot_be(self) -> None:
        for wrong in ({"gain": -1.0}, {"loss": math.inf}, {"answers": 0}, {"steps": 0}):
            with pytest.raises(RewardError):
                StepUtility(**wrong)
