"""A limit on what the server of a page reads of one request: gradio limits uploads alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Bytes of a request that is no upload: values of a page's fields, which are a few thousand at most.
LARGEST_BODY = 1_000_000


class BodyLimit:
    """ASGI middleware: a request with a longer body is answered with 413, and the application does not see it.

    Args:
        app: the application.
        largest: bytes.
    """

    def __init__(self, app: Any, largest: int = LARGEST_BODY) -> None:
        self.app = app
        self.largest = largest

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """One ASGI connection."""
        # Uploads have a limit of their own, and are written to a file as they come.
        if scope["type"] != "http" or scope["path"].endswith("/upload") or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the caller is gone
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.largest:
                await _refuse(receive, send, more)
                return
        held = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replayed() -> Any:
            return held.pop() if held else await receive()

        await self.app(scope, replayed, send)


async def _refuse(receive: Any, send: Any, more: bool) -> None:
    """Answer 413; a little of what still comes is forgotten, so that the caller can hear the answer."""
    left = 4 * LARGEST_BODY
    while more and left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        more = message.get("more_body", False)
    head = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": head})
    await send({"type": "http.response.body", "body": b"the request is too large"})
