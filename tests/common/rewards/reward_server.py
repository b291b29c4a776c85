"""Reward servers on the loopback: a scripted one for faults, and the real service behind uvicorn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

from common.rewards.base import Reward
from common.scale.config import Limits
from common.scale.serving import RewardService, fingerprint_of, in_threads
from tests.common.rewards.loopback import Answer, JsonHandler, running

DESCRIPTION = {
    "protocol": 1,
    "name": "served",
    "bounds": [0.0, 1.0],
    "needs": ["completion"],
    "part_names": ["half"],
    "version": "0.1.0",
    "fingerprint": "f1",
    "limits": {"rows": 1024, "bytes": 100_000},
}


def scored(values: list[Any], **more: Any) -> Answer:
    halves = [None if value is None else value / 2 for value in values]
    return 200, {"fingerprint": "f1", "values": values, "parts": {"half": halves}, "info": {}, **more}


def by_length(columns: dict[str, Any]) -> Answer:
    """A text's length, in tenths."""
    return scored([len(text) / 10 for text in columns["completion"]])


class ScriptedServer(ThreadingHTTPServer):
    """Describes itself, and answers each batch with `answer(columns)`; keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.description: Any = dict(DESCRIPTION)
        self.answer: Callable[[dict[str, Any]], Answer] = by_length
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(JsonHandler):
    server: ScriptedServer

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers))
        described = self.server.description
        self.send(*(described if isinstance(described, tuple) else (200, described)))

    def do_POST(self) -> None:
        columns = self.read()["columns"]
        self.server.headers.append(dict(self.headers))
        self.server.asked.append(columns)
        self.send(*self.server.answer(columns))


def scripted_server() -> AbstractContextManager[ScriptedServer]:
    return running(ScriptedServer())


@contextmanager
def served(reward: Reward, token: str | None = None, limits: Limits | None = None) -> Iterator[str]:
    """The address of the real service, in a thread of this process."""
    import asyncio
    import socket

    import uvicorn

    ready = threading.Event()
    address = socket.socket()
    address.bind(("127.0.0.1", 0))
    servers: list[uvicorn.Server] = []

    async def run() -> None:
        service = RewardService(reward, fingerprint_of(reward.name), in_threads(reward), token, limits)
        server = uvicorn.Server(
            uvicorn.Config(service, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        )
        servers.append(server)
        task = asyncio.create_task(server.serve(sockets=[address]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        ready.set()
        await task

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    ready.wait(20)
    try:
        yield f"http://127.0.0.1:{address.getsockname()[1]}"
    finally:
        servers[0].should_exit = True
        thread.join(10)
        address.close()
