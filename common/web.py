"""JSON over HTTP with the standard library: bounded in time and size, never sent on to another address."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.errors import DataError, UsageError

#: Failed requests in a row after which a server counts as down for the rest of a batch.
PATIENCE = 4
#: Answers that may be others at the next try.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
#: What a refused connection, a time limit or a reply that is cut short raises.
TROUBLE = (OSError, http.client.HTTPException)
#: What a reply that is no JSON raises.
NO_JSON = (ValueError, RecursionError)
#: Bytes of an error's reply that are read.
LONGEST_REFUSAL = 65536


def check_address(url: str, what: str) -> str:
    """The address without its last slash.

    Raises:
        UsageError: it is not HTTP, names no host, or holds a password (which belongs in a file).
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"{what}'s address must start with http:// or https:// and name a host, not {url!r}")
    if parts.username or parts.password:
        raise UsageError(f"{what}'s address must not hold a name or a password; put the token into a file")
    return url.rstrip("/")


def headers(token_file: Path | str | None, what: str) -> dict[str, str]:
    """Those of a JSON request, with the file's token where a file is given.

    Raises:
        DataError: the file cannot be read, or holds no token that fits into a header.
    """
    found = {"Content-Type": "application/json"}
    if token_file:
        found["Authorization"] = f"Bearer {read_token(token_file, what)}"
    return found


def read_token(file: Path | str, what: str) -> str:
    """The token in a file, without white space around it.

    Raises:
        DataError: the file cannot be read, or holds no token that fits into a header.
    """
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror}", path=file) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{what} is not UTF-8", path=file) from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise DataError(f"{what} must be one word of printable ASCII characters", path=file)
    return token


def ask(url: str, body: bytes | None, head: Mapping[str, str], timeout: float, largest: int) -> Any:
    """The JSON that a server answers: POST with a body (JSON), GET without.

    Raises:
        urllib.error.HTTPError: any answer but 2xx, redirections included: they would carry the token elsewhere.
        OSError, http.client.HTTPException: no connection, no whole reply within `timeout` seconds (`TROUBLE`).
        ValueError, RecursionError: the reply is longer than `largest` bytes or no JSON (`NO_JSON`).
    """
    deadline = time.monotonic() + timeout
    reply = bytearray()
    with _OPENER.open(urllib.request.Request(url, body, dict(head)), timeout=timeout) as response:
        # The socket's own limit holds for one read only; a server that drips bytes would never hit it.
        while chunk := response.read1(65536):
            reply += chunk
            if time.monotonic() > deadline:
                raise TimeoutError("the reply took too long")
            if len(reply) > largest:
                raise ValueError("too long")
    return json.loads(reply)


def refusal(error: urllib.error.HTTPError) -> str:
    """What a server said with its error status: `error.message` of its JSON, or the status alone."""
    try:
        said = json.loads(error.read(LONGEST_REFUSAL))["error"]
        message = said["message"] if isinstance(said, dict) else said
    except (*TROUBLE, *NO_JSON, KeyError, TypeError):
        message = None
    return f"HTTP {error.code}: {message:.1000}" if isinstance(message, str) and message else f"HTTP {error.code}"


class Health:
    """Counts failures in a row over all threads of one batch."""

    def __init__(self, patience: int = PATIENCE) -> None:
        self.patience = patience
        self._lock = threading.Lock()
        self._failed = 0

    @property
    def down(self) -> bool:
        """Whether so many requests failed in a row that the rest need not be tried."""
        return self._failed >= self.patience

    def report(self, answered: bool) -> None:
        """Count one request."""
        with self._lock:
            self._failed = 0 if answered else self._failed + 1


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the redirection stays the error it is."""


_OPENER = urllib.request.build_opener(_NoRedirection)
