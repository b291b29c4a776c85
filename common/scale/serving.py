"""A reward as a web service: `GET /describe`, `POST /score`, `GET /health`. A plain ASGI application, without Ray.

The wire's form is told in `common.rewards.wire`. Errors are `{"error": {"type": ..., "message": ...}}`: 400 no JSON,
401 no or a wrong token, 404, 405, 408 a body that does not come, 413 and 422 the caller's rows, 500 the reward's
fault, 503 too many requests. What is scored is never logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from common.errors import GraderFailure, MissingDependency, TouchstoneError, UsageError
from common.rewards.base import Reward, RewardOutput
from common.rewards.wire import PROTOCOL, to_answer
from common.scale.batching import Batch, Result, score_together
from common.scale.config import Limits
from common.scale.intake import TooLarge, decode

log = logging.getLogger(__name__)

#: Seconds for a body to arrive.
BODY_TIMEOUT = 60.0
#: A file of more bytes is told by its size and its two ends.
WHOLE_FILE = 64 * 2**20
END = 2**20

#: Columns that hold pictures by convention, whatever the reward.
PICTURES = frozenset({"image", "images", "picture", "pictures"})

Answer = tuple[int, dict[str, Any]]
Score = Callable[[Batch], Awaitable[Result]]


class RewardService:
    """Answers requests for one reward.

    Args:
        reward: what is served; asked for its names only.
        fingerprint: of the reward, see `fingerprint_of`.
        score: scores one batch; may join it with others.
        token: what a caller must show as `Authorization: Bearer TOKEN`; None serves everybody who can connect.
        limits: what one request may hold.
        pending: requests under way at once; further ones are sent away with 503.
    """

    def __init__(
        self,
        reward: Reward,
        fingerprint: str,
        score: Score,
        token: str | None = None,
        limits: Limits | None = None,
        pending: int = 256,
    ) -> None:
        self.limits = limits or Limits()
        self.fingerprint = fingerprint
        self.pending = pending
        self.description = describe(reward, fingerprint, self.limits)
        self.picture_columns = picture_columns(reward)
        self._score = score
        self._token = token
        self._under_way = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        status, body = await self.answer(scope["method"], scope["path"], headers, _chunks(receive))
        data = json.dumps(body).encode("ascii")
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": data})

    async def answer(self, method: str, path: str, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> Answer:
        """Status and JSON of an answer; `headers` by names in small letters."""
        allowed = {"/health": "GET", "/describe": "GET", "/score": "POST"}
        path = path.rstrip("/")
        if path not in allowed:
            return _error(404, "NotFound", f"there is /describe, /score and /health, not {path[:80] or '/'}")
        if method != allowed[path]:
            return _error(405, "WrongMethod", f"{path} takes {allowed[path]}")
        if path == "/health":
            return 200, {"status": "ok"}
        if not self._may(headers.get("authorization", "")):
            return _error(401, "Unauthorised", "this server wants a token: Authorization: Bearer TOKEN")
        if path == "/describe":
            return 200, self.description
        if self._under_way >= self.pending:
            return _error(503, "Busy", f"{self.pending} requests are under way; try again later")
        self._under_way += 1
        try:
            return await self._scored(headers, body)
        finally:
            self._under_way -= 1

    def _may(self, authorisation: str) -> bool:
        if self._token is None:
            return True
        return hmac.compare_digest(authorisation.encode("utf-8"), f"Bearer {self._token}".encode())

    async def _scored(self, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> Answer:
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return _error(415, "WrongType", "the body must be application/json")
        try:
            data = await asyncio.wait_for(_read(body, self.limits.bytes), BODY_TIMEOUT)
            # Reading and unpacking pictures takes time in which the server must go on answering.
            batch = await asyncio.to_thread(self._decode, data)
        except asyncio.TimeoutError:
            return _error(408, "Timeout", f"the body did not arrive within {BODY_TIMEOUT:g} s")
        except TooLarge as error:
            return _error(413, "TooLarge", str(error))
        except (ValueError, RecursionError) as error:
            return _error(400, "NoJson", f"the body is no JSON: {error}"[:300])
        except UsageError as error:
            return _error(422, type(error).__name__, str(error))
        result = await self._score(batch)
        if isinstance(result, RewardOutput):
            return 200, to_answer(result, self.fingerprint)
        if isinstance(result, TouchstoneError) and not isinstance(result, (MissingDependency, GraderFailure)):
            return _error(422, type(result).__name__, str(result))
        return _error(500, type(result).__name__, "the reward failed; the server's log tells more")

    def _decode(self, data: bytes) -> Batch:
        said = json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
        columns = said.get("columns") if isinstance(said, dict) else None
        for name, column in columns.items() if isinstance(columns, dict) else ():
            # A text would be taken for the path of a file on this machine.
            kind = column.get("kind") if isinstance(column, dict) else None
            if name in self.picture_columns and kind not in ("png", "tensor"):
                raise UsageError(f'column {name!r} holds pictures; send {{"kind": "png", "rows": [base64, ...]}}')
        return Batch(*decode(columns, self.limits))


def in_threads(reward: Reward) -> Score:
    """Scores one batch after the other beside the event loop; a reward need not be safe for threads."""
    lock = asyncio.Lock()

    async def score(batch: Batch) -> Result:
        async with lock:
            return (await asyncio.to_thread(score_together, reward, [batch]))[0]

    return score


def describe(reward: Reward, fingerprint: str, limits: Limits) -> dict[str, Any]:
    """What `/describe` says."""
    return {
        "protocol": PROTOCOL,
        "name": reward.name,
        "bounds": list(reward.bounds),
        "needs": list(reward.needs),
        "part_names": part_names(reward),
        "version": touchstone_version(),
        "fingerprint": fingerprint,
        "limits": {"rows": limits.rows, "bytes": limits.bytes},
    }


def part_names(reward: Reward) -> list[str]:
    """The names of a reward's parts: those of an empty batch, or those it declares where it cannot score one."""
    try:
        return list(reward(**{name: [] for name in reward.needs}).parts)
    except (TouchstoneError, RuntimeError, ValueError, TypeError, LookupError) as error:
        log.info("reward %r scores no empty batch (%s); its declared parts are taken", reward.name, error)
        return list(reward.part_names)


def picture_columns(reward: Reward) -> frozenset[str]:
    """Columns in which a reward, or a part of it, takes a text for a picture's path."""
    named = (vars(one).get(field) for one in parts_of(reward) for field in ("pictures", "images"))
    return PICTURES | {name for name in named if isinstance(name, str)}


def parts_of(reward: Reward) -> Iterator[Reward]:
    """The reward and every reward it is made of."""
    yield reward
    for value in vars(reward).values():
        inside = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else [value]
        )
        for one in inside:
            if isinstance(one, Reward):
                yield from parts_of(one)


def fingerprint_of(spec: Any) -> str:
    """16 hexadecimal digits that change with a reward's settings, the files they name, and Touchstone's version."""
    digest = hashlib.sha256(f"{PROTOCOL} {touchstone_version()} ".encode())
    digest.update(json.dumps(spec, sort_keys=True, default=str).encode())
    for text in sorted(set(_texts(spec))):
        path = Path(text)
        if len(text) < 1024 and "\0" not in text and path.exists():
            for file in [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file()):
                digest.update(f"{file.relative_to(path)}".encode())
                _update(digest, file)
    return digest.hexdigest()[:16]


def touchstone_version() -> str:
    """The installed version; empty where the checkout is not installed."""
    try:
        return metadata.version("touchstone-rl")
    except metadata.PackageNotFoundError:
        return ""


def digest_of(file: Path) -> str:
    """16 hexadecimal digits of a file's content."""
    digest = hashlib.sha256()
    _update(digest, file)
    return digest.hexdigest()[:16]


def _update(digest: Any, file: Path) -> None:
    size = file.stat().st_size
    digest.update(str(size).encode())
    with file.open("rb") as opened:
        if size <= WHOLE_FILE:
            while block := opened.read(END):
                digest.update(block)
        else:
            digest.update(opened.read(END))
            opened.seek(-END, 2)
            digest.update(opened.read(END))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


async def _read(body: AsyncIterator[bytes], limit: int) -> bytes:
    """The whole body; what is beyond the limit is read on and forgotten, so that the caller can hear the answer."""
    found, total = bytearray(), 0
    async for chunk in body:
        total += len(chunk)
        if total <= limit:
            found += chunk
        elif total > 4 * limit:
            break
    if total > limit:
        raise TooLarge(f"the body has more than {limit} bytes; send fewer rows in a request")
    return bytes(found)


async def _chunks(receive: Any) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text:.40} is no number of JSON")


def _finite(text: str) -> float:
    """A number; 1e999 is written as one and read as infinite."""
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)


def _error(status: int, kind: str, message: str) -> Answer:
    return status, {"error": {"type": kind, "message": message}}
