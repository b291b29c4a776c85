"""Asks a language model for scores, through any OpenAI-compatible endpoint and the standard library's HTTP.

What is asked about is data: the caller wraps it in JSON (`as_data`), so that text which addresses the judge can
neither close the object nor pass for an instruction.
"""

from __future__ import annotations

import json
import reprlib
import time
import urllib.error
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from common import web
from common.web import PATIENCE as PATIENCE

LARGEST_REPLY = 1_000_000


class Endpoint(Protocol):
    """Where and how to ask; an application's config has these fields.

    Attributes:
        url: base address, such as http://127.0.0.1:8000/v1.
        model: model name to ask for.
        key_file: file that holds the API key, where one is needed; a key is never part of a config.
        concurrency: requests in flight at once.
        timeout: seconds for one request.
        retries: further tries after a failed request.
    """

    url: str
    model: str
    key_file: str
    concurrency: int
    timeout: float
    retries: int


class JudgeClient:
    """Scores from a judge model; equal questions are asked once, and an answer is remembered.

    Requests are independent of each other: an answer depends on its own question only, whatever the batch or its
    order. A failure (outage, time limit, malformed answer) is a text that says why, and is not remembered. Passing
    trouble is retried `retries` times, each pause twice as long; after `PATIENCE` failures in a row the rest of a
    batch is not tried. Pickles without its memory.

    Args:
        endpoint: where and how to ask.
        instructions: the system message; it asks for `{"score": S}`.
        greatest: S of a full mark; scores are divided by it.
        pause: seconds before the first retry.
        remembered: answers kept, the least recently used dropped first.

    Raises:
        UsageError: the address is not HTTP.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        instructions: str,
        greatest: float = 2.0,
        pause: float = 0.5,
        remembered: int = 65536,
    ) -> None:
        web.check_address(endpoint.url, "the judge")
        self.endpoint = endpoint
        self.instructions = instructions
        self.greatest = greatest
        self.pause = pause
        self.remembered = remembered
        self._answers: OrderedDict[str, float] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_answers": OrderedDict()}

    def __call__(self, questions: Sequence[str]) -> dict[str, float | str]:
        """The score in [0, 1] of each different question (user message), or a text that says why there is none.

        Raises:
            DataError: the key file cannot be read.
        """
        distinct = list(dict.fromkeys(questions))
        found: dict[str, float | str] = {one: self._answers[one] for one in distinct if one in self._answers}
        new = [one for one in distinct if one not in found]
        if new:
            headers = web.headers(self.endpoint.key_file, "the judge's key")
            health = web.Health()
            with ThreadPoolExecutor(max_workers=max(1, min(self.endpoint.concurrency, len(new)))) as pool:
                found.update(zip(new, pool.map(lambda one: self._ask(one, headers, health), new), strict=True))
        for question, answer in found.items():
            if not isinstance(answer, str):
                self._answers[question] = answer
                self._answers.move_to_end(question)
        while len(self._answers) > self.remembered:
            self._answers.popitem(last=False)
        return found

    def content(self, question: str) -> Any:
        """What the user's message holds; a subclass may add pictures to the question."""
        return question

    def answer(self, question: str, reply: Any) -> Any:
        """What a reply says to a question, or a text that says what is wrong; `parse`, unless the question matters."""
        return self.parse(reply)

    def parse(self, reply: Any) -> Any:
        """What a chat completion says, or a text that says what is wrong with it; a subclass may want another form."""
        return parse_score(reply, self.greatest)

    def _ask(self, question: str, headers: Mapping[str, str], health: web.Health) -> Any:
        body = {
            "model": self.endpoint.model,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": self.instructions},
                {"role": "user", "content": self.content(question)},
            ],
        }
        reason = "the judge does not answer; row not tried"
        for attempt in range(self.endpoint.retries + 1):
            if health.down:
                return reason
            try:
                url = self.endpoint.url.rstrip("/") + "/chat/completions"
                reply = web.ask(url, json.dumps(body).encode("utf-8"), headers, self.endpoint.timeout, LARGEST_REPLY)
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code}"
                if error.code not in web.RETRIED:
                    break
            except web.TROUBLE as error:
                reason = f"{type(error).__name__}: {error}"
            except web.NO_JSON as error:
                health.report(True)
                return f"the reply is no JSON: {error}"
            else:
                health.report(True)
                return self.answer(question, reply)
            time.sleep(self.pause * 2**attempt if attempt < self.endpoint.retries else 0.0)
        health.report(False)
        return reason


def as_data(**entries: Any) -> str:
    """A JSON object as the user message: quotes, brackets and line breaks of a candidate are escaped."""
    return json.dumps(entries, ensure_ascii=False)


def parse_score(reply: Any, greatest: float) -> float | str:
    """The score in a chat completion, divided by `greatest`; a text that says what is wrong with it otherwise."""
    try:
        answer = json.loads(reply["choices"][0]["message"]["content"])
        score = answer["score"]
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return 'the reply is not {"score": S}'
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= greatest:
        return f"the score is no number from 0 to {greatest:g}: {reprlib.repr(score)}"
    return float(score) / greatest
