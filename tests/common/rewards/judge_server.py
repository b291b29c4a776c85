"""A judge's endpoint on the loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import ThreadingHTTPServer
from typing import Any

from tests.common.rewards.loopback import Answer, JsonHandler, running


def chat(content: str) -> Answer:
    return 200, {"choices": [{"message": {"role": "assistant", "content": content}}]}


class JudgeServer(ThreadingHTTPServer):
    """Answers each request with `answer(body)`; keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[dict[str, Any]], Answer] = lambda body: chat('{"score": 1}')
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The data of each question."""
        return [json.loads(body["messages"][1]["content"]) for body in self.bodies]


class Handler(JsonHandler):
    server: JudgeServer

    def do_POST(self) -> None:
        body = self.read()
        self.server.bodies.append(body)
        self.server.headers.append(self.headers)
        self.send(*self.server.answer(body))


def judge_server() -> AbstractContextManager[JudgeServer]:
    return running(JudgeServer())
