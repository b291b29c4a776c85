"""What a model is shown and taught: the conversation for a question, and the answer in the form it shall have.

Pictures stand in a row's own column (`images`); trl and `common.models.vlm` put them before the first user text.
"""

from __future__ import annotations

from typing import Literal, get_args

from apps.medvqa.data import LETTERS, Example
from common.errors import UsageError

Message = dict[str, str]
Style = Literal["pocket", "reasoning", "answer"]

STYLES: tuple[str, ...] = get_args(Style)

_TASK = (
    "You are an expert in medical imaging. Answer the question about the picture shown to you. "
    "Say precisely whether a finding is present or absent, on which side, where, and its size with the unit. "
    "Answer in the language of the question.\n"
)
_SYSTEM = {
    "pocket": "",
    "reasoning": _TASK + "First think: describe between <think> and </think> what you see and what follows from it. "
    "Then answer with a word or a short phrase between <answer> and </answer>:\n"
    "<think>your reasoning</think><answer>your answer</answer>",
    "answer": _TASK
    + "Answer with a word or a short phrase between <answer> and </answer>:\n<answer>your answer</answer>",
}


def messages(example: Example, style: str = "pocket") -> list[Message]:
    """One conversation that ends with the user's turn; its contents are plain texts.

    Args:
        example: the question; its answer is not looked at.
        style: `pocket`: the bare question, for the pocket model, which knows one form of answer only; `reasoning`:
            instructions that ask for `<think>…</think><answer>…</answer>`; `answer`: for `<answer>…</answer>` alone
            (no-thinking variants generalise better in Med-R1, arXiv 2503.13939).

    Raises:
        UsageError: there is no such style.
    """
    system = _SYSTEM[_checked(style)]
    asked: Message = {"role": "user", "content": question_text(example)}
    return [{"role": "system", "content": system}, asked] if system else [asked]


def question_text(example: Example) -> str:
    """The question on one line, and its choices below it, each with its letter."""
    question = " ".join(example.question.split())
    choices = [f"{letter}. {' '.join(text.split())}" for letter, text in zip(LETTERS, example.choices, strict=False)]
    return "\n".join([question, *choices])


def target(example: Example, style: str = "pocket") -> str:
    """The completion that a model is taught: `<think>reasoning</think><answer>answer</answer>`.

    Where the data bring no reasoning, `<think></think>` stays empty; `answer` leaves it out. Of a question with
    choices the answer is the text of the right one.

    Raises:
        UsageError: there is no such style.
    """
    answer = f"<answer>{' '.join(example.answer.split())}</answer>"
    if _checked(style) == "answer":
        return answer
    return f"<think>{' '.join(example.reasoning.split())}</think>{answer}"


def _checked(style: str) -> str:
    if style not in STYLES:
        raise UsageError(f"prompt style {style!r}: use {', '.join(STYLES)}")
    return style
