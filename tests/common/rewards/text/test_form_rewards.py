"""Length, repetition and instructions: what a completion looks like, whatever it says."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards.check import check_reward
from common.rewards.text import LengthWindow, Repetition
from common.rewards.text.instructions import (
    AnswerLanguage,
    ChoiceLetter,
    MaxWords,
    OneAnswer,
    StrictTags,
    adherence,
)

words = st.lists(st.sampled_from(["a", "mass", "in", "the", "lung", "."]), max_size=30).map(" ".join)


def value(reward: Any, text: str, **columns: Any) -> float:
    return reward(completion=[text], **{name: [entry] for name, entry in columns.items()}).values.item()


class TestLength:
    def test_flat_inside_smooth_outside_and_bounded(self) -> None:
        reward = LengthWindow(high=10, low=3, softness=5.0)
        scores = [value(reward, " ".join(f"w{n}" for n in range(count))) for count in range(200)]
        assert scores[3:11] == [0.0] * 8
        assert scores[11] > -0.05, "the penalty begins with slope 0"
        assert scores[15] == pytest.approx(-0.632, abs=1e-3)
        assert all(left >= right for left, right in pairwise(scores[10:]))
        assert scores[0] < scores[1] < scores[2] < 0.0
        assert min(scores) >= -1.0

    @settings(max_examples=80, deadline=None)
    @given(words, words)
    def test_padding_never_pays(self, text: str, padding: str) -> None:
        reward = LengthWindow(high=8, softness=4.0)
        assert value(reward, f"{text} {padding}") <= value(reward, text)

    @pytest.mark.parametrize("padding", [" ", "\n" * 50, " . . . !!!", " lung lung lung lung"])
    def test_a_short_answer_is_not_filled_up_with_nothing(self, padding: str) -> None:
        reward = LengthWindow(high=50, low=5)
        assert value(reward, "left lung" + padding) == value(reward, "left lung")

    def test_tokens_of_a_tokenizer_can_be_counted(self) -> None:
        assert value(LengthWindow(high=3, softness=1.0, units=list), "abcd") == pytest.approx(-0.632, abs=1e-3)

    def test_settings_and_contract(self) -> None:
        for wrong in ({"high": 2, "low": 3}, {"high": 5, "softness": 0.0}):
            with pytest.raises(RewardError):
                LengthWindow(**wrong)
        check_reward(LengthWindow(high=3), {"completion": ["a b c d e", "a"]})


class TestRepetition:
    def test_truth_table(self) -> None:
        assert value(Repetition(1), "a b c") == 0.0
        assert value(Repetition(1), "a a a a") == -0.75
        assert value(Repetition(2), "a b a b a b") == pytest.approx(-3 / 5)
        assert value(Repetition(3), "a a") == 0.0
        assert value(Repetition(3), "") == 0.0

    def test_settings_and_contract(self) -> None:
        with pytest.raises(RewardError):
            Repetition(0)
        check_reward(Repetition(), {"completion": ["a a a a a", "b"]})


class TestStrictTags:
    BOTH = StrictTags(("think", "answer"))

    @pytest.mark.parametrize(
        ("text", "obeyed"),
        [
            ("<think>a</think><answer>b</answer>", True),
            (" <think>a</think>\n<answer>b\nc</answer>\n", True),
            ("<think>a < b, c > d</think><answer>< 3 cm</answer>", True),
            ("so <think>a</think><answer>b</answer>", False),
            ("<think>a</think><answer>b</answer> done", False),
            ("<think>a</think> so <answer>b</answer>", False),
            ("<answer>b</answer><think>a</think>", False),
            ("<answer>b</answer>", False),
            ("<think>a</think><answer>b", False),
            ("<think>a</think><answer> </answer>", False),
            ("<think>a</think><answer><answer>b</answer></answer>", False),
            ("<think>a</think><answer>b</answer><answer>c</answer>", False),
            ("<ANSWER>b</ANSWER>", False),
            ("", False),
        ],
    )
    def test_think_and_answer(self, text: str, obeyed: bool) -> None:
        output = self.BOTH(completion=[text])
        assert output.values.item() == float(obeyed)
        assert bool(output.info["reason"][0]) != obeyed

    def test_answer_only_and_plain_forms(self) -> None:
        answer = StrictTags(("answer",))
        assert value(answer, "<answer>b</answer>") == 1.0
        assert value(answer, "<think>a</think><answer>b</answer>") == 0.0
        optional = StrictTags(("think", "answer"), optional=("think",))
        assert value(optional, "<answer>b</answer>") == 1.0
        assert value(optional, "<think>a</think><answer>b</answer>") == 1.0
        assert value(optional, "<think>a<answer>b</answer>") == 0.0
        unthinking = StrictTags(("think", "answer"), empty=("think",))
        assert value(unthinking, "<think></think><answer>b</answer>") == 1.0
        assert value(unthinking, "<think></think><answer></answer>") == 0.0
        plain = StrictTags(())
        assert value(plain, "pneumonia, < 3 cm") == 1.0
        assert value(plain, "<answer>pneumonia</answer>") == 0.0
        with pytest.raises(RewardError):
            StrictTags(("answer", "answer"))
        with pytest.raises(RewardError):
            StrictTags(("answer",), optional=("think",))

    def test_a_long_text_takes_no_time(self) -> None:
        assert value(self.BOTH, "<think>" + "<a" * 200_000) == 0.0


def test_max_words() -> None:
    reward = MaxWords(3)
    assert [value(reward, text) for text in ("a b c", "a b c d", "...", "東京都だ")] == [1.0, 0.0, 0.0, 0.0]
    with pytest.raises(RewardError):
        MaxWords(0)


@pytest.mark.parametrize(
    ("text", "obeyed"),
    [
        ("<answer>pneumonia</answer>", True),
        ("<answer>pneumonia</answer><answer>tumour</answer>", False),
        ("<answer>pneumonia or tumour</answer>", False),
        ("<answer>Answer: yes. Answer: no</answer>", False),
        ("pneumonia", False),
        ("<answer></answer>", False),
    ],
)
def test_one_answer(text: str, obeyed: bool) -> None:
    assert value(OneAnswer(), text) == float(obeyed)
    assert value(OneAnswer(tag=""), "left or right") == 0.0


@pytest.mark.parametrize(
    ("text", "choices", "obeyed"),
    [
        ("B", ["liver", "lung"], True),
        ("b. lung", ["liver", "lung"], True),
        ("(B) lung", ["liver", "lung"], True),
        ("B: lung", ["liver", "lung"], True),
        ("C", ["liver", "lung"], False),
        ("lung", ["liver", "lung"], False),
        ("Both", ["liver", "lung"], False),
        ("lung", [], True),
        ("lung", None, True),
    ],
)
def test_choice_letter(text: str, choices: list[str] | None, obeyed: bool) -> None:
    assert value(ChoiceLetter(), text, choices=choices) == float(obeyed)


@pytest.mark.parametrize(
    ("text", "language", "obeyed"),
    [
        ("pneumonia", "en", True),
        ("pneumonia", "de", True),
        ("CT", "zh", True),
        ("There is a mass in the left lung", "en", True),
        ("In der linken Lunge ist eine Raumforderung", "en", False),
        ("In der linken Lunge ist eine Raumforderung", "de", True),
        ("骨折", "en", False),
        ("骨折", "zh", True),
        ("There is a fracture of the left femur", "zh", False),
        ("перелом", "en", False),
        ("перелом", "ru", True),
        ("α-thalassaemia", "en", True),
        ("anything", "xx", True),
        ("anything", None, True),
    ],
)
def test_language(text: str, language: str | None, obeyed: bool) -> None:
    assert value(AnswerLanguage(), text, language=language) == float(obeyed)


def test_adherence_is_the_share_that_is_obeyed() -> None:
    reward = adherence([StrictTags(("answer",)), OneAnswer(), MaxWords(4)])
    output = reward(completion=["<answer>left lung</answer>", "left lung"])
    assert output.values.tolist() == pytest.approx([1.0, 1 / 3])
    assert set(output.parts) == {"format", "one_answer", "max_words"}
    assert reward.bounds == pytest.approx((0.0, 1.0))
    check_reward(reward, {"completion": ["<answer>left lung</answer>", "left lung"]})
    with pytest.raises(RewardError):
        adherence([])
