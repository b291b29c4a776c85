"""What reaches a scorer: the answer alone, by kind, with the failure policy of all rewards."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from apps.medvqa.answers import CORRECT, PARTS
from apps.medvqa.parts.answer import ByKind, MedicalAnswer, OnAnswer
from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput
from common.rewards.check import check_reward
from common.rewards.text import ExactMatch, TokenF1


def rows(completions: list[str], reference: Any, question: str = "What is the finding?") -> dict[str, Any]:
    size = len(completions)
    return {"completion": completions, "reference": [reference] * size, "question": [question] * size}


class Heard(Reward):
    """1 for whatever it is shown; keeps it."""

    name = "heard"
    part_names = ("length",)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def score(self, **columns: Any) -> RewardOutput:
        self.texts += columns["completion"]
        lengths = torch.tensor([float(len(text)) for text in columns["completion"]])
        return RewardOutput(torch.ones(len(lengths)), {"length": lengths}, {"reason": ["seen"] * len(lengths)})


class TestMedicalAnswer:
    def test_the_scorers_verdict_reaches_the_row(self) -> None:
        output = MedicalAnswer()(
            **rows(
                ["<think>x</think><answer>kidney stone</answer>", "<answer>no kidney stone</answer>"],
                "renal calculus",
            )
        )
        assert output.values[0] >= CORRECT
        assert output.values[1] < 0.2
        assert output.info["veto"][0] == ""
        assert output.info["veto"][1] == "polarity"
        assert output.info["answer"] == ["kidney stone", "no kidney stone"]
        assert set(output.parts) == set(PARTS)
        assert output.info["reason"][1]

    def test_the_best_of_several_references_counts(self) -> None:
        reward = MedicalAnswer()
        assert reward(**rows(["left lung"], ["heart", "left lung"])).values.item() == 1.0

    def test_failure_rules(self) -> None:
        output = MedicalAnswer()(
            completion=["", "<think>pneumonia", "pneumonia", "pneumonia"],
            reference=["pneumonia", "pneumonia", "", [""]],
            question=["What?"] * 4,
        )
        assert output.values[:2].tolist() == [0.0, 0.0]
        assert output.values[2:].isnan().all()
        assert all(output.info["reason"])

    def test_choices_of_a_row_are_used(self) -> None:
        columns = {**rows(["B", "A"], "lung", "Which organ?"), "choices": [["liver", "lung"]] * 2}
        assert MedicalAnswer()(**columns).values.tolist() == [1.0, 0.0]

    def test_further_words_come_from_a_table(self, tmp_path: Any) -> None:
        table = tmp_path / "words.tsv"
        table.write_text("forms\texpansion\nzorbitis\tpneumonia\n")
        columns = rows(["zorbitis"], "pneumonia")
        assert MedicalAnswer()(**columns).values.item() < CORRECT
        assert MedicalAnswer([str(table)])(**columns).values.item() >= CORRECT

    def test_it_keeps_the_contract(self) -> None:
        check_reward(
            MedicalAnswer(), rows(["left lower lobe", "right lower lobe", "LLL", "left lung"], "left lower lobe")
        )

    @pytest.mark.parametrize(
        ("answer", "reference", "question", "expected"),
        [
            ("pneumonia", "edema", "What is shown?", 0.0),
            ("zorbitis", "edema", "What is shown?", 1.0),
            ("edema", "zorbitis", "What is shown?", 1.0),
            ("zorbitis of the lung", "edema", "What is shown?", 0.5),
            ("no zorbitis", "quuxoma", "What is shown?", 0.0),
            ("no zorbitis", "no quuxoma", "What is shown?", 1.0),
            ("zorbitis", "edema", "Is it zorbitis?", 0.0),
            ("yes", "zorbitis", "What is shown?", 0.0),
            ("...", "zorbitis", "What is shown?", 0.0),
            ("zorbitis|Well.", "edema", "What is shown?", 1.0),
            ("zorbitis|The liver is normal.", "edema", "What is shown?", 0.0),
            ("edema|It was a quux blarn.", "mass", "What is shown?", 0.0),
            ("no zorbitis|A quux blarn.", "edema", "What is shown?", 0.0),
        ],
    )
    def test_what_is_left_undecided(self, answer: str, reference: str, question: str, expected: float) -> None:
        assert MedicalAnswer().undecided(answer.split("|"), [reference], question) == pytest.approx(expected, abs=0.01)


class TestOnAnswer:
    def test_only_the_answer_is_seen(self) -> None:
        inner = Heard()
        output = OnAnswer(inner)(
            **rows(["<think>edema</think><answer>mass</answer>", "Answer: mass", "<think>edema", "mass"], "mass")
        )
        assert inner.texts == ["mass", "mass", "mass"]
        assert output.values.tolist() == [1.0, 1.0, 0.0, 1.0]
        assert output.parts["length"][2].isnan()
        assert output.info["answer"][0] == "mass"
        assert output.info["reason"][0] == "seen"
        assert "no answer" in output.info["reason"][2]

    def test_without_a_reference_nothing_is_scored(self) -> None:
        output = OnAnswer(TokenF1())(completion=["", "mass"], reference=["", ""])
        assert output.values.isnan().all()
        assert all(output.info["reason"])

    def test_a_batch_without_any_answer(self) -> None:
        output = OnAnswer(Heard())(**rows(["", "<think>x"], "mass"))
        assert output.values.tolist() == [0.0, 0.0]
        assert set(output.parts) == {"length"}

    def test_a_reward_that_reads_no_completion_is_refused(self) -> None:
        class Other(Heard):
            needs = ("images",)

        with pytest.raises(RewardError, match="completion"):
            OnAnswer(Other())

    def test_it_keeps_the_contract(self) -> None:
        check_reward(OnAnswer(TokenF1()), rows(["<answer>a b</answer>", "a", "c"], "a b"))


class TestByKind:
    REWARD = ByKind(ExactMatch(), TokenF1(), "answer")

    def test_each_kind_by_its_own_reward(self) -> None:
        columns = {**rows(["a b", "a b"], "a c"), "kind": ["closed", "open"]}
        output = self.REWARD(**columns)
        assert output.values.tolist() == [0.0, 0.5]
        assert math.isnan(output.parts["open"][0])
        assert math.isnan(output.parts["closed"][1])

    def test_an_unknown_kind_raises(self) -> None:
        with pytest.raises(RewardError, match="opne"):
            self.REWARD(**rows(["a"], "a"), kind=["opne"])

    def test_it_keeps_the_contract(self) -> None:
        check_reward(self.REWARD, {**rows(["a", "b", "a c"], "a"), "kind": ["closed", "open", "open"]})
