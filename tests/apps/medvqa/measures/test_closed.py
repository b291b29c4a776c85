from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.medvqa.measures.closed import VERDICTS, judge_closed, read_choice, read_yes_no, same_words

ORGANS = ("liver", "lung", "left lung", "a nodule")


def test_more_choices_than_letters() -> None:
    many = [f"stage {number}" for number in range(30)]
    assert judge_closed("B", [many[1]], many).verdict == "right"
    assert judge_closed("stage 29", [many[29]], many).verdict == "right"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("yes", "yes"),
        ("No.", "no"),
        # MedEvalKit: "no" in "nodule", "diagnosis", "abnormal" made these wrong (defect 8).
        ("Yes, there is a nodule.", "yes"),
        ("Yes. The diagnosis is pneumonia.", "yes"),
        ("yes, abnormal", "yes"),
        # ... and "no" in "know" and "normal" made these right for a "no".
        ("I do not know", ""),
        ("The heart is normal", ""),
        # VLM-R1: the first yes or no inside a word decided (defect 13).
        ("The study is normal: yes", "yes"),
        ("Abnormal", ""),
        ("pneumonia", ""),
        ("", ""),
        ("...", ""),
        ("no nodule", "no"),
        ("There is no evidence of pneumothorax.", "no"),
        ("No, it is not.", "no"),
        ("No there is not", "no"),
        ("Yes, there is no fracture", "yes"),
        ("yes and no", "both"),
        ("no, yes", "both"),
        ("It could be yes, it could be no", "both"),
        ("yes/no", "both"),
        ("**Yes**", "yes"),
        ("The answer is: no", "no"),
        ("non-contrast", ""),
        ("no-contrast", ""),
        ("true", "yes"),
        ("the true lumen", ""),
        ("FALSE.", "no"),
        ("是的", "yes"),
        ("有，左肺", "yes"),
        ("不包含", "no"),
        ("没有骨折", "no"),
        ("不确定", ""),
        ("无法判断", ""),
        ("肺", ""),
    ],
)
def test_yes_and_no_by_whole_words(answer: str, said: str) -> None:
    assert read_yes_no(answer) == said


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        ("B", "lung"),
        ("b", "lung"),
        ("(B)", "lung"),
        ("B.", "lung"),
        ("B. lung", "lung"),
        ("B: lung", "lung"),
        ("B lung", "lung"),
        ("lung", "lung"),
        ("Lung.", "lung"),
        ("It is the lung", "lung"),
        ("the left lung", "left lung"),
        ("Answer: B", "lung"),
        ("The correct answer is B.", "lung"),
        ("I think the answer is (C).", "left lung"),
        ("option A", "liver"),
        ("It is A", "liver"),
        ("A", "liver"),
        ("A nodule is seen", "a nodule"),
        ("A mass is seen", ""),
        ("A or B", "both"),
        ("A, B", "both"),
        ("both A and C", "both"),
        ("lung and liver", "both"),
        ("B: liver", "both"),
        ("E", ""),
        ("none of them", ""),
        ("slung", ""),
        ("", ""),
    ],
)
def test_choices_by_letter_or_text(answer: str, choice: str) -> None:
    assert read_choice(answer, ORGANS) == choice


def test_choices_that_begin_with_yes_or_no() -> None:
    choices = ("Yes, it is abnormal", "No, It's normal.")
    assert read_choice("No", choices) == choices[1]
    assert read_choice("yes", choices) == choices[0]
    assert read_choice("A", choices) == choices[0]
    assert read_choice("yes and no", choices) == "both"
    assert read_choice("Yes, there is no fracture", ("Yes", "No")) == "Yes"
    assert read_choice("肺", ("肝脏", "肺")) == "肺"


@pytest.mark.parametrize(
    ("answer", "references", "choices", "verdict"),
    [
        ("Yes, there is.", ["yes"], (), "right"),
        ("no", ["Yes"], (), "wrong"),
        ("I do not know", ["no"], (), "cannot tell"),
        ("It cannot be determined from this image", ["yes"], (), "cannot tell"),
        ("unable to tell", ["yes"], (), "cannot tell"),
        ("yes or no, I am not sure", ["yes"], (), "cannot tell"),
        ("yes and no", ["yes"], (), "both"),
        ("pneumonia", ["yes"], (), "unclear"),
        ("", ["yes"], (), "unclear"),
        ("不是", ["没有"], (), "right"),
        ("是的", ["不包含"], (), "wrong"),
        ("FLAIR.", ["flair"], (), "right"),
        ("T2", ["flair"], (), "wrong"),
        ("the left", ["Left"], (), "right"),
        ("", ["flair"], (), "unclear"),
        ("Not sure", ["Not sure"], (), "right"),
        ("I cannot tell", ["Not sure"], (), "right"),
        ("lung", ["B"], ORGANS, "right"),
        ("B", ["lung"], ORGANS, "right"),
        ("b) lung", ["lung"], ORGANS, "right"),
        ("A", ["lung"], ORGANS, "wrong"),
        ("A or B", ["lung"], ORGANS, "both"),
        ("cannot be determined", ["lung"], ORGANS, "cannot tell"),
        ("spleen", ["lung"], ORGANS, "unclear"),
        ("D: cannot be determined", ["cannot be determined"], ("liver", "lung", "cannot be determined"), "right"),
    ],
)
def test_verdicts(answer: str, references: list[str], choices: tuple[str, ...], verdict: str) -> None:
    assert judge_closed(answer, references, choices).verdict == verdict


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("pneumonia.", "Pneumonia", True),
        ("The  LIVER!", "the liver", True),
        ("liver", "the liver", True),
        ("hepatitis A", "hepatitis", False),
        ("a", "A", True),
        ("3", "3", True),
        ("< 3 cm", "3 cm", True),
        ("3.5", "35", False),
        ("", "", False),
        ("?", "!", False),
    ],
)
def test_same_words(answer: str, reference: str, same: bool) -> None:
    assert same_words(answer, reference) is same


@given(st.text(max_size=60), st.sampled_from(["yes", "no", "flair"]))
def test_every_text_has_a_verdict(answer: str, reference: str) -> None:
    assert judge_closed(answer, [reference]).verdict in VERDICTS
    assert judge_closed(reference, [reference]).verdict == "right"


@given(st.text(max_size=60), st.integers(0, 3))
def test_a_choice_is_always_its_own_letter_and_text(answer: str, at: int) -> None:
    assert read_choice(answer, ORGANS) in (*ORGANS, "both", "")
    assert read_choice("ABCD"[at], ORGANS) == read_choice(ORGANS[at], ORGANS) == ORGANS[at]


@given(st.sampled_from(["yes", "no"]), st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8))
def test_letters_around_a_yes_or_no_hide_it(word: str, around: str) -> None:
    assert read_yes_no(f"{around}{word}{around}") == ""
