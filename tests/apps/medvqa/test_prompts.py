"""What a model is shown and taught, style by style."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.medvqa.answers import extract
from apps.medvqa.data import Example
from apps.medvqa.prompts import STYLES, messages, question_text, target
from common.errors import UsageError

ASKED = Example("1", "Which  organ\nis shown?", "liver", choices=("lung", "liver"), reasoning="A  large\nbrown organ.")


def test_the_pocket_prompt_is_the_bare_question():
    assert messages(Example("1", " Is there\ta nodule? ", "yes")) == [
        {"role": "user", "content": "Is there a nodule?"}
    ]


def test_choices_stand_below_the_question_with_their_letters():
    assert question_text(ASKED) == "Which organ is shown?\nA. lung\nB. liver"


@pytest.mark.parametrize(("style", "thinks"), [("reasoning", True), ("answer", False)])
def test_instructions_ask_for_the_form_that_is_taught(style, thinks):
    system, user = messages(ASKED, style)
    assert (system["role"], user["role"]) == ("system", "user")
    assert ("<think>" in system["content"]) is thinks
    assert "<answer>" in system["content"]
    assert ("<think>" in target(ASKED, style)) is thinks


@pytest.mark.parametrize("style", STYLES)
def test_no_prompt_tells_the_answer(style):
    told = "".join(message["content"] for message in messages(Example("1", "What is it?", "zebra"), style))
    assert "zebra" not in told


def test_targets():
    assert target(ASKED) == "<think>A large brown organ.</think><answer>liver</answer>"
    assert target(ASKED, "reasoning") == target(ASKED)
    assert target(ASKED, "answer") == "<answer>liver</answer>"
    assert target(Example("1", "?", "yes"), "reasoning") == "<think></think><answer>yes</answer>"


@given(
    answer=st.text(st.characters(codec="utf-8", exclude_characters="<>"), min_size=1).filter(
        lambda text: text.strip()
    ),
    reasoning=st.text(st.characters(codec="utf-8", exclude_characters="<>")),
    style=st.sampled_from(STYLES),
)
def test_the_answer_is_read_back_from_what_is_taught(answer, reasoning, style):
    found = extract(target(Example("1", "?", answer, reasoning=reasoning), style))
    assert (found.text, found.form) == (" ".join(answer.split()), "tagged")


def test_a_style_that_is_not_there_is_named():
    for call in (messages, target):
        with pytest.raises(UsageError, match="'poetry': use pocket, reasoning, answer"):
            call(ASKED, "poetry")
