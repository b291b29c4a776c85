"""Explanations, ROUGE-n, numbers, and several references for an encoder."""

from __future__ import annotations

import math

import pytest
import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.check import check_reward
from common.rewards.text import EncoderSimilarity, ExplanationSimilarity, TokenF1
from common.rewards.text.numeric import NumericMatch, numbers
from common.rewards.text.rouge import RougeN, rouge_n


def test_an_encoder_takes_the_nearest_reference() -> None:
    reward = EncoderSimilarity("hash")
    several = reward(completion=["red apple"] * 2, reference=[["tax office", "red apple"], ["tax office"]]).values
    single = reward(completion=["red apple"], reference=["tax office"]).values
    assert several[0] == pytest.approx(1.0)
    assert several[1] == pytest.approx(single.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a b</think><answer>c</answer>", "a b"),
        ("<think> a </think> <think>b</think>", "a"),
        ("<think>a", None),
        ("a</think>", None),
        ("</think><think>a</think>", "a"),
        ("<think></think>", ""),
    ],
)
def test_inside(text: str, expected: str | None) -> None:
    assert functional.inside(text, "think") == expected


class TestExplanation:
    REASONING = "an opacity in the left lower zone"

    def test_only_the_reasoning_counts(self) -> None:
        texts = [
            f"<think>{self.REASONING}</think><answer>pneumonia</answer>",
            f"<think>I see nothing</think><answer>{self.REASONING}</answer>",
            f"<answer>{self.REASONING}</answer>",
            "",
        ]
        output = ExplanationSimilarity("hash")(completion=texts, reasoning=[self.REASONING] * 4)
        values = output.values.tolist()
        assert values[0] == pytest.approx(1.0)
        assert values[1] < 0.5
        assert values[2:] == [0.0, 0.0]
        assert "<think>" in output.info["reason"][2]

    def test_without_a_reference_explanation_there_is_no_score(self) -> None:
        output = ExplanationSimilarity("hash")(completion=["<think>a</think>"], reasoning=[""])
        assert output.values.isnan().all()

    def test_the_tag_is_not_wired_in(self) -> None:
        plain = ExplanationSimilarity("hash", tag="")
        assert plain(completion=[self.REASONING], reasoning=[self.REASONING]).values.item() == pytest.approx(1.0)
        other = ExplanationSimilarity("hash", tag="thinking")
        assert other(completion=["<thinking>x</thinking>"], reasoning=["x"]).values.item() == pytest.approx(1.0)

    def test_it_keeps_the_contract(self) -> None:
        columns = {"completion": ["<think>a b</think>", "<think>c</think>"], "reasoning": ["a b", "a b"]}
        check_reward(ExplanationSimilarity("hash"), columns)


class TestRouge:
    @pytest.mark.parametrize(
        ("candidate", "reference", "n", "expected"),
        [
            ("a b c", "a b c", 1, 1.0),
            ("c b a", "a b c", 1, 1.0),
            ("c b a", "a b c", 2, 0.0),
            ("a a a", "a", 1, 0.5),
            ("the cat sat", "the cat ran off", 1, 4 / 7),
            ("the cat sat", "the cat ran off", 2, 2 / 5),
            ("x", "a b", 1, 0.0),
            ("a", "a", 2, 0.0),
        ],
    )
    def test_truth_table(self, candidate: str, reference: str, n: int, expected: float) -> None:
        assert rouge_n(candidate.split(), [reference.split()], n) == pytest.approx(expected)

    def test_unigrams_are_token_f1_and_the_best_reference_counts(self) -> None:
        columns = {"completion": ["a mass in the left lung", "Left"], "reference": [["no", "left lung mass"], "left."]}
        assert torch.allclose(RougeN()(**columns).values, TokenF1()(**columns).values)

    def test_failure_rules(self) -> None:
        values = RougeN(2)(completion=["", "a b"], reference=["a b", " "]).values
        assert values[0] == 0.0
        assert values[1].isnan()
        assert RougeN(2).name == "rouge2"
        with pytest.raises(RewardError):
            RougeN(0)
        check_reward(RougeN(), {"completion": ["a", "b"], "reference": ["a", "a"]})


class TestNumbers:
    @pytest.mark.parametrize(
        ("prediction", "reference", "right"),
        [
            ("104", "100", True),
            ("106", "100", False),
            ("about 98.", "100", True),
            ("-100", "100", False),
            ("100", "−100", False),
            ("-100", "−100", True),
            ("1,250 patients", "1250", True),
            ("1.250", "1250", False),
            ("50 %", "0.5", True),
            ("50%", "50", True),
            ("0.5", "50%", True),
            ("50", "50%", False),
            ("10 or 100", "100", False),
            ("100, so 100", "100", True),
            ("none", "100", False),
            ("0", "0", True),
            ("0.0001", "0", False),
            ("Norway", "norway", True),
            ("Sweden", "norway", False),
            ("stage 3", "stage 3", True),
            ("stage 3.1", "stage 3", False),
            ("9" * 5000, "9", False),
        ],
    )
    def test_truth_table(self, prediction: str, reference: str, right: bool) -> None:
        assert NumericMatch()(completion=[prediction], reference=[reference]).values.item() == float(right)

    def test_the_tolerance_is_exact_at_its_end(self) -> None:
        assert NumericMatch(0.25)(completion=["125"], reference=["100"]).values.item() == 1.0
        assert NumericMatch(0.0)(completion=["100.1"], reference=["100"]).values.item() == 0.0
        with pytest.raises(RewardError):
            NumericMatch(-0.1)

    def test_reading(self) -> None:
        assert [float(value) for value, _ in numbers("2-3 cm, T2 at .5, 1,000,000")] == [2.0, 3.0, 0.5, 1e6]

    def test_failure_rules(self) -> None:
        values = NumericMatch()(completion=["", "3"], reference=["3", ""]).values.tolist()
        assert values[0] == 0.0
        assert math.isnan(values[1])
        check_reward(NumericMatch(), {"completion": ["3", "4"], "reference": ["3", ["5", "4"]]})
