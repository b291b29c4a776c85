"""A judge that sees pictures and answers in whole numbers: any OpenAI-compatible endpoint of such a model.

Built on `common.rewards.judges.client`: what is judged reaches the judge as data inside a JSON object, retries are
bounded, and an outage is a text that says why, never a number.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import UsageError
from common.rewards.judges.client import Endpoint, JudgeClient

#: Added to a question whose answer could not be read, so that a judge at temperature 0 does not say the same again.
_AGAIN = "The last answer could not be read. Answer with the one JSON object that was asked for and nothing else."
#: Models that see pictures like to put JSON into a fence.
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class Unreadable(str):
    """Why an answer is not in the form that was asked for: the judge answered, but not so that it counts."""


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes:
        data: a JSON object, see `common.rewards.judges.client.as_data`.
        pictures: PNG files, in the order in which they are shown.
    """

    data: str
    pictures: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """What tells it from others: text and pictures."""
        found = hashlib.sha256(self.data.encode())
        for picture in self.pictures:
            found.update(hashlib.sha256(picture).digest())
        return found.hexdigest()


@dataclass
class Counts:
    """What came of the questions.

    Attributes:
        asked: questions.
        answered: with an answer that counts.
        unreadable: answers that could not be read, the repeated ones included.
        failed: questions without an answer in the end, by an outage.
        given_up: questions whose answers were unreadable to the last.
    """

    asked: int = 0
    answered: int = 0
    unreadable: int = 0
    failed: int = 0
    given_up: int = 0


class PictureJudge(JudgeClient):
    """Asks for a JSON object of whole numbers, one for each name.

    An answer that cannot be read is asked for again, up to `endpoint.retries` times, with a line that says so.

    Args:
        endpoint: where and how to ask; nothing is asked before the first call.
        instructions: the system message; it asks for the object.
        answers: names with the numbers that are allowed.
        pause: seconds before the first retry.

    Attributes:
        counts: so far.

    Raises:
        UsageError: the address is not HTTP, or no model is named.
    """

    def __init__(
        self, endpoint: Endpoint, instructions: str, answers: Mapping[str, Sequence[int]], pause: float = 0.5
    ) -> None:
        super().__init__(endpoint, instructions, pause=pause, remembered=4096)
        if not endpoint.model:
            raise UsageError("the judge's model is empty: name the model, for tables of two judges must not be mixed")
        self.answers = {name: tuple(allowed) for name, allowed in answers.items()}
        self.counts = Counts()
        self._requests: dict[str, tuple[Request, int]] = {}

    def ask(self, requests: Sequence[Request]) -> list[dict[str, int] | str]:
        """The numbers for each request; an `Unreadable` or another text, an outage, where there are none.

        Raises:
            DataError: the key file cannot be read.
        """
        found: dict[str, Any] = {}
        waiting = {request.digest: request for request in requests}
        self.counts.asked += len(waiting)
        for attempt in range(self.endpoint.retries + 1):
            self._requests = {f"{digest} {attempt}": (one, attempt) for digest, one in waiting.items()}
            said: Mapping[str, Any] = self(list(self._requests))
            found.update({key.split()[0]: answer for key, answer in said.items()})
            waiting = {key: one for key, one in waiting.items() if isinstance(found[key], Unreadable)}
            self.counts.unreadable += len(waiting)
            if not waiting:
                break
        self._requests = {}
        self.counts.given_up += len(waiting)
        self.counts.answered += sum(isinstance(answer, dict) for answer in found.values())
        self.counts.failed += sum(
            isinstance(answer, str) and not isinstance(answer, Unreadable) for answer in found.values()
        )
        return [found[request.digest] for request in requests]

    def content(self, question: str) -> list[dict[str, Any]]:
        """The text, then the pictures as data URLs."""
        request, attempt = self._requests[question]
        text = f"{request.data}\n{_AGAIN}" if attempt else request.data
        shown = [f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}" for png in request.pictures]
        return [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": url}} for url in shown)]

    def parse(self, reply: Any) -> dict[str, int] | Unreadable:
        """The numbers in a chat completion; a fence around the object is allowed, other text is not."""
        try:
            text = reply["choices"][0]["message"]["content"]
            fenced = _FENCE.match(text)
            said = json.loads(fenced.group(1) if fenced else text)
            numbers = {name: said[name] for name in self.answers}
        except (KeyError, IndexError, TypeError, ValueError, RecursionError):
            return Unreadable(f"the reply is no JSON object with {', '.join(self.answers)}")
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int) or value not in self.answers[name]:
                known = ", ".join(map(str, self.answers[name]))
                return Unreadable(f"{name} is none of {known}: {reprlib.repr(value)}")
        return numbers


def png(picture: Any) -> bytes:
    """A Pillow picture as the bytes of a PNG file."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
