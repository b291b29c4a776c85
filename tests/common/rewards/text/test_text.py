from __future__ import annotations

import math

import pytest
import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.text import EncoderSimilarity, ExactMatch, TemplateFormat, TokenF1

NAN = math.nan


@pytest.mark.parametrize(
    ("prediction", "reference", "same"),
    [
        ("  The Answer. ", "the answer", True),
        ("Straße", "STRASSE", True),
        ("ﬁve", "five", True),
        ("東京。", "東京", True),
        ("3.5", "35", False),
        ("-5", "5", False),
        ("1,000", "1.000", False),
        ("re-enter", "re enter", True),
        ("yes", "no", False),
    ],
)
def test_exact_match(prediction: str, reference: str, same: bool) -> None:
    output = ExactMatch()(completion=[prediction], reference=[reference])
    assert output.values.tolist() == [float(same)]


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("a b c", "a b c", 1.0),
        ("a b", "b c", 0.5),
        ("a a a", "a", 0.5),
        ("x", "a b", 0.0),
        ("東京都", "東京", 0.8),
    ],
)
def test_token_f1(prediction: str, reference: str, expected: float) -> None:
    assert functional.token_f1(prediction, reference) == pytest.approx(expected)


def test_the_best_of_several_references_counts() -> None:
    output = TokenF1()(completion=["a b", "a b"], reference=[["c", "a b"], ["a c", "b d e"]])
    assert output.values.tolist() == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize("reward", [ExactMatch(), TokenF1(), EncoderSimilarity("hash")], ids=lambda one: one.name)
def test_empty_completions_are_the_policys_fault_and_empty_references_the_datas(reward: ExactMatch) -> None:
    output = reward(completion=["", "answer", "answer", "  "], reference=["answer", "", "answer", ""])
    assert output.values[0] == 0.0
    assert output.values[1].isnan()
    assert output.values[2] == pytest.approx(1.0)
    assert output.values[3].isnan()
    assert "completion is empty" in output.info["reason"][0]
    assert "reference is empty" in output.info["reason"][1]


class TestEncoderSimilarity:
    def test_it_spreads_the_band_it_is_given(self) -> None:
        plain = EncoderSimilarity("hash")
        columns = {"completion": ["red apple pie"], "reference": ["red apple tart"]}
        cosine = plain(**columns).values.item()
        assert 0.1 < cosine < 0.9
        spread = EncoderSimilarity("hash", low=cosine - 0.1, high=cosine + 0.1)
        assert spread(**columns).values.item() == pytest.approx(0.5, abs=1e-4)

    def test_a_failing_encoder_is_nan(self) -> None:
        class Overflowing:
            dim = 2

            def encode(self, texts: list[str]) -> torch.Tensor:
                return torch.tensor([[math.inf if "long" in text else 1.0, 0.0] for text in texts])

        output = EncoderSimilarity(Overflowing())(completion=["long one", "short"], reference=["x", "x"])
        assert output.values[0].isnan()
        assert output.values[1] == 1.0
        assert "no number" in output.info["reason"][0]

    def test_an_empty_band_is_refused(self) -> None:
        with pytest.raises(RewardError):
            EncoderSimilarity("hash", low=1.0, high=1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>hm</think><answer>1</answer>", 1.0),
        ("well <think>hm</think>\n<answer>1</answer> done", 1.0),
        ("<answer>1</answer>", 0.5),
        ("<answer>1</answer><think>hm</think>", 0.5),
        ("<think>hm<answer>1</answer></think>", 0.5),
        ("<think>hm</think><answer>1</answer><answer>2</answer>", 0.5),
        ("<think></think><answer> </answer>", 0.0),
        ("</think>hm<think>", 0.0),
        ("", 0.0),
    ],
)
def test_template_format(text: str, expected: float) -> None:
    assert TemplateFormat(["think", "answer"])(completion=[text]).values.tolist() == [expected]


def test_repeating_tags_never_pays() -> None:
    good = "<think>hm</think><answer>1</answer>"
    scores = [functional.template_score(good * count, ("think", "answer")) for count in (1, 2, 10)]
    assert scores == [1.0, 0.0, 0.0]


def test_ngram_coverage_finds_copies() -> None:
    question = "How many singers are there in France?"
    assert functional.ngram_coverage(f"Well: {question}", question) == 1.0
    assert functional.ngram_coverage("SELECT count(*) FROM singer", question) == 0.0
    assert functional.ngram_coverage("anything", "") == 0.0
