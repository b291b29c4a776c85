"""The answer in a completion, whatever form it comes in."""

from __future__ import annotations

import time

import pytest

from apps.medvqa.answers import extract


@pytest.mark.parametrize(
    ("completion", "text", "form"),
    [
        ("<think>opacity</think><answer>pneumonia</answer>", "pneumonia", "tagged"),
        ("<ANSWER> pneumonia </ANSWER>", "pneumonia", "tagged"),
        ("<think>a\nb</think>\n<answer>left\nlower lobe</answer>", "left\nlower lobe", "tagged"),
        ("<answer><answer>x</answer></answer>", "x", "tagged"),
        ("<think>tumour</think> pneumonia", "pneumonia", "untagged"),
        ("<think>x</think><answer>pneumonia", "pneumonia", "unclosed"),
        ("<think>x <answer>pneumonia</answer>", "pneumonia", "tagged"),
        ("<think>pneumonia because", "", "empty"),
        ("<answer></answer>pneumonia", "", "empty"),
        ("<answer>pneumonia</answer><answer>tumour</answer>", "pneumonia ; tumour", "several"),
        ("<answer>pneumonia</answer><answer>pneumonia</answer>", "pneumonia", "several"),
        ("thinking without a beginning</think> edema", "edema", "untagged"),
        ("Answer: B", "B", "announced"),
        ("The final answer is **left lung**", "left lung", "announced"),
        ("I see an opacity. The diagnosis is pneumonia.", "pneumonia.", "announced"),
        (r"So \boxed{3 cm}", "3 cm", "announced"),
        ("Let me look. The lung is white. Therefore it is pneumonia.", "it is pneumonia.", "plain"),
        ("pneumonia", "pneumonia", "plain"),
        ("SpO2 > 90", "SpO2 > 90", "plain"),
        ("nodule < 3 cm", "nodule < 3 cm", "plain"),
        ("", "", "empty"),
        ("   ", "", "empty"),
    ],
)
def test_the_answer_is_found(completion: str, text: str, form: str) -> None:
    found = extract(completion)
    assert (found.text, found.form) == (text, form)


@pytest.mark.parametrize("completion", [None, 3, {}, [], [{"role": "assistant"}], b"pneumonia", [None]])
def test_what_is_no_text_is_empty(completion: object) -> None:
    assert extract(completion).form == "empty"


def test_messages_of_trl_are_read() -> None:
    assert extract([{"role": "assistant", "content": "<answer>edema</answer>"}]).text == "edema"
    assert extract([{"role": "assistant", "content": [{"type": "text", "text": "edema"}]}]).text == "edema"


@pytest.mark.parametrize("noise", ["<think>", "<answer>", "answer is ", "a" * 7, "<", "therefore ", "\\boxed{"])
def test_time_is_linear_in_the_length(noise: str) -> None:
    def seconds(repeats: int) -> float:
        text = noise * repeats
        began = time.process_time()
        extract(text)
        return time.process_time() - began

    short = min(seconds(2_000) for _ in range(3))
    long = min(seconds(20_000) for _ in range(3))
    # Ten times the text; quadratic time would be a hundred times.
    assert long < 40 * max(short, 1e-4)
