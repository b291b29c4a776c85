"""Answers one question about pictures: what `answer` and the demo have in common."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from apps.medvqa.answers import extract
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import Example
from common.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from common.models.vlm import VisionLanguageModel

#: Stands wherever an answer is shown.
DISCLAIMER = "Research software. Not for clinical use."

_ANSWER = re.compile(r"<(?:final_)?answer>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z_]+>", re.IGNORECASE)
_END = re.compile(r"</[a-z_]+>", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What a model says to a question.

    Attributes:
        question: as it was asked.
        completion: all that the model said.
        text: its answer; "" where there is none.
        reasoning: what led to it, without tags; "" where the model gave no reasons.
        form: how the answer stood in the completion; see `answers.extraction.FORMS`.
    """

    question: str
    completion: str
    text: str
    reasoning: str
    form: str

    @classmethod
    def of(cls, question: str, completion: str) -> Answer:
        """Take a completion apart."""
        found = extract(completion)
        return cls(question, completion, found.text, reasoning_of(completion), found.form)


class Assistant(Protocol):
    """Something that answers questions about pictures."""

    def ask(self, question: str, pictures: Sequence[Image]) -> Answer:
        """Answer `question` about none, one or several pictures."""
        ...


class ModelAssistant:
    """Asks the configured vision-language model, greedily; it is opened at the first question.

    Args:
        config: its `model`, `pictures`, `prompt` and `evaluate.max_new_tokens`.
    """

    def __init__(self, config: MedVqaConfig) -> None:
        self.config = config
        self._model: VisionLanguageModel | None = None
        # Browsers ask at the same time; one model on few cores serves one at a time.
        self._lock = threading.Lock()

    def load(self) -> VisionLanguageModel:
        """Open the model now rather than at the first question.

        Raises:
            UsageError: there is no such model.
        """
        from common.models.vlm import VisionLanguageModel

        if self._model is None:
            bounds = self.config.pictures
            opened = VisionLanguageModel(
                self.config.model, min_pixels=bounds.min_pixels or None, max_pixels=bounds.max_pixels or None
            )
            # What is opened lazily would fail later, at a visitor's question.
            _ = opened.model
            self._model = opened
        return self._model

    def ask(self, question: str, pictures: Sequence[Image]) -> Answer:
        """Answer a question.

        Raises:
            UsageError: the question is empty, or there is no such model.
        """
        from apps.medvqa.prompts import messages
        from common.models.vlm import VisualPrompt

        question = " ".join(question.split())
        if not question:
            raise UsageError("the question is empty")
        prompt = VisualPrompt(messages(Example("", question, ""), self.config.prompt.style), tuple(pictures))
        with self._lock:
            ((completion,),) = self.load().generate([prompt], self.config.evaluate.max_new_tokens)
        return Answer.of(question, completion)


def reasoning_of(completion: str) -> str:
    """What a completion says before its answer, without tags: "" where it has no tags.

    Without an answer tag it is all up to the last tag that ends, or everything where no tag does.
    """
    before = _ANSWER.split(completion, maxsplit=1)
    if len(before) == 1:
        ends = [*_END.finditer(completion)]
        if not ends and not _TAG.match(completion.strip()):
            return ""
        before = [completion[: ends[-1].start()] if ends else completion]
    return " ".join(_TAG.sub(" ", before[0]).split())
