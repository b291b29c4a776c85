"""A reward that another process or machine computes: `python -m common.rewards serve`, or Ray Serve."""

from __future__ import annotations

import json
import logging
import math
import reprlib
import time
import urllib.error
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from common import web
from common.errors import GraderFailure, RewardError, UsageError
from common.rewards.base import Reward, RewardOutput, nan_like, take_rows
from common.rewards.wire import PROTOCOL, encode, from_answer

log = logging.getLogger(__name__)

LARGEST_ANSWER = 64 * 2**20
#: Answers to a wrong address: passing trouble where the server stood there before, for it may be starting again.
ABSENT = 404
#: Seconds beyond the deadline before a request that does not come back is left to itself.
GRACE = 0.5
#: Requests that fail in a row before the rest of a batch is given up.
PATIENCE = 8


@dataclass(frozen=True)
class Description:
    """What a server says of its reward at `/describe`.

    Attributes:
        name: the reward's.
        bounds: least and greatest value.
        needs: columns it reads.
        part_names: its parts.
        version: of Touchstone at the server.
        fingerprint: changes with the reward's settings and the version.
        rows: most rows of one request.
        bytes: most bytes of one request.
    """

    name: str
    bounds: tuple[float, float]
    needs: tuple[str, ...]
    part_names: tuple[str, ...]
    version: str
    fingerprint: str
    rows: int
    bytes: int


class RemoteReward(Reward):
    """The reward behind a URL, in place of the reward itself: same name, columns, bounds, parts and texts.

    Range: the served reward's; higher is better.

    The server is asked once, when this is built, what it serves. A batch is cut into requests of `rows` rows, of
    which `concurrency` are under way at once; a reward that needs a `group` gets its batch in one. Passing trouble (no
    connection, a time limit, HTTP 408, 409, 425, 429, 5xx) is retried, each pause twice as long, within one deadline
    for the whole batch. After that the grader has failed: the rows are NaN, and `info` tells why under `remote_error`;
    after `PATIENCE` failures in a row the rest of the batch is not tried. A value that is not finite or outside the
    declared bounds, and an answer of another form, are NaN too. Any other 4xx is the caller's fault and raises with
    the server's message, and so does a reward that changed since. Parts that the server did not declare are left out,
    so that a failed batch has the same ones.

    Args:
        url: the server, such as http://127.0.0.1:8000.
        deadline: seconds for one batch, with all its retries.
        timeout: seconds for one request; at most what is left of the deadline.
        retries: further tries after a failed request.
        concurrency: requests under way at once.
        rows: in a request; fewer where the server takes fewer.
        token_file: file that holds the server's token, where it wants one; a token is never part of a config.
        on_failure: "nan", or "raise" a GraderFailure where rows could not be scored.
        fingerprint: the server's, where the reward must be the one of an earlier run.
        pause: seconds before the first retry.
        name: own name; the served reward's by default.

    Raises:
        UsageError: the address is not HTTP, no reward server answers there, or it serves another fingerprint.
        DataError: the token file cannot be read.
        RewardError: a setting that cannot be.
    """

    def __init__(
        self,
        url: str,
        deadline: float = 120.0,
        timeout: float = 60.0,
        retries: int = 4,
        concurrency: int = 8,
        rows: int = 64,
        token_file: str | Path = "",
        on_failure: Literal["nan", "raise"] = "nan",
        fingerprint: str = "",
        pause: float = 0.25,
        name: str | None = None,
    ) -> None:
        if min(deadline, timeout) <= 0 or min(concurrency, rows) < 1 or min(retries, pause) < 0:
            raise RewardError(
                "deadline, timeout, concurrency and rows of a remote reward must be above 0, retries and pause "
                "not below"
            )
        if on_failure not in ("nan", "raise"):
            raise RewardError(f"on_failure is 'nan' or 'raise', not {on_failure!r}")
        self.url = web.check_address(url, "the reward server")
        self.deadline = deadline
        self.timeout = timeout
        self.retries = retries
        self.concurrency = concurrency
        self.rows = rows
        self.token_file = str(token_file)
        self.on_failure = on_failure
        self.pause = pause
        self.description = self._describe()
        self.fingerprint = self.description.fingerprint
        if fingerprint and fingerprint != self.fingerprint:
            raise UsageError(
                f"{self.url} serves the reward {self.description.name!r} with the fingerprint {self.fingerprint}, not "
                f"{fingerprint}; serve the earlier one, or take the new fingerprint for a new run"
            )
        self.name = self.description.name if name is None else name
        self.needs = self.description.needs
        self.bounds = self.description.bounds
        self.part_names = self.description.part_names

    def score(self, **columns: Any) -> RewardOutput:
        """Ask the server; see `Reward.score`."""
        size = self.batch_size(columns)
        needed = {name: columns[name] for name in self.needs}
        step = max(size, 1) if "group" in self.needs else min(self.rows, self.description.rows)
        pieces = [range(start, min(start + step, size)) for start in range(0, size, step)]
        task = _Task(self._headers(), time.monotonic() + self.deadline)
        output = self._join(self._ask_all(task, pieces, needed, size), size)
        lost = [reason for reason in output.info["remote_error"] if reason]
        if lost:
            told = f"reward {self.name!r} at {self.url}: {len(lost)} of {size} rows have no score: {lost[0]}"
            if self.on_failure == "raise":
                raise GraderFailure(f"{told}. See whether the server is up, and resume the run")
            log.warning(told)
        return output

    def _ask_all(self, task: _Task, pieces: Sequence[range], columns: Mapping[str, Any], size: int) -> list[_Answer]:
        """An answer for every row, at the deadline at the latest."""
        if not pieces:
            return []
        pool = ThreadPoolExecutor(max_workers=min(self.concurrency, len(pieces)))
        try:
            waiting = {pool.submit(self._ask, task, piece, take_rows(columns, piece, size)): piece for piece in pieces}
            # The requests keep the deadline themselves, but for a name server that hangs or headers that drip.
            done, late = wait(waiting, task.left() + GRACE, FIRST_EXCEPTION)
            answers = [answer for future in done for answer in future.result()]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return answers + [_Answer(waiting[one], f"no answer within {self.deadline:g} s") for one in late]

    def _ask(self, task: _Task, piece: range, columns: Mapping[str, Any]) -> list[_Answer]:
        """What the server says of some rows; they go in halves where they are more than it takes at once."""
        body = json.dumps({"columns": encode(columns)}).encode("utf-8")
        if len(body) > self.description.bytes and len(piece) > 1 and "group" not in self.needs:
            half = len(piece) // 2
            first, second = range(half), range(half, len(piece))
            return self._ask(task, piece[:half], take_rows(columns, first, len(piece))) + self._ask(
                task, piece[half:], take_rows(columns, second, len(piece))
            )
        if len(body) > self.description.bytes:
            raise RewardError(
                f"reward {self.name!r}: {len(piece)} rows take {len(body)} bytes; the server takes "
                f"{self.description.bytes}. Send smaller pictures or shorter texts, or raise the server's limit"
            )
        try:
            reply = self._exchange(task, "/score", body)
            fingerprint = reply["fingerprint"] if isinstance(reply, dict) else ""
            if not isinstance(fingerprint, str):
                raise ValueError("its fingerprint is no text")
            output, wrong = from_answer(reply, len(piece), self.bounds)
        except _Failed as error:
            return [_Answer(piece, str(error))]
        except (KeyError, ValueError) as error:
            return [_Answer(piece, f"the answer cannot be used: {error}")]
        if fingerprint != self.fingerprint:
            raise RewardError(
                f"the reward {self.name!r} at {self.url} changed in the middle of the run, from {self.fingerprint} to "
                f"{fingerprint:.80}: scores before and after are not comparable. Serve the earlier one and "
                "resume, or begin a new run"
            )
        return [_Answer(piece, "", output, wrong)]

    def _exchange(self, task: _Task, path: str, body: bytes | None) -> Any:
        """The server's reply, tried again while there is time.

        Raises:
            _Failed: the server's fault, or the network's.
            RewardError: the caller's.
        """
        reason = "the server does not answer; not tried"
        for attempt in range(self.retries + 1):
            left = task.left()
            if task.health.down or left <= 0:
                break
            try:
                reply = web.ask(self.url + path, body, task.headers, min(self.timeout, left), LARGEST_ANSWER)
            except urllib.error.HTTPError as error:
                reason = web.refusal(error)
                passing = error.code in web.RETRIED or (error.code == ABSENT and body is not None)
                if 400 <= error.code < 500 and not passing:
                    raise RewardError(f"the reward server {self.url} refused the request: {reason}") from error
                if not passing:
                    break
            except web.TROUBLE as error:
                reason = f"{type(error).__name__}: {error}"
            except web.NO_JSON as error:
                reason = f"the reply is no JSON: {error}"
                break
            else:
                task.health.report(True)
                return reply
            if attempt < self.retries:
                time.sleep(max(0.0, min(self.pause * 2**attempt, task.left())))
        task.health.report(False)
        raise _Failed(reason)

    def _describe(self) -> Description:
        try:
            said = self._exchange(_Task(self._headers(), time.monotonic() + self.deadline), "/describe", None)
        except _Failed as error:
            raise UsageError(
                f"no reward server answers at {self.url} ({error}); start one with: python -m common.rewards serve "
                "FILE.yaml"
            ) from error
        except RewardError as error:
            raise UsageError(str(error)) from error
        try:
            return _description(said)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{self.url} is no reward server of protocol {PROTOCOL}: {error!r}") from error

    def _headers(self) -> dict[str, str]:
        return web.headers(self.token_file, "the reward server's token")

    def _join(self, answers: Sequence[_Answer], size: int) -> RewardOutput:
        """One output of all answers, whatever their order."""
        values = nan_like(size)
        parts = {name: nan_like(size) for name in self.part_names}
        texts = {name for answer in answers if answer.output for name in answer.output.info}
        info = {name: [""] * size for name in [*sorted(texts), "remote_error"]}
        for answer in answers:
            rows = slice(answer.rows.start, answer.rows.stop)
            info["remote_error"][rows] = [answer.wrong.get(row, answer.reason) for row in range(len(answer.rows))]
            if answer.output is not None:
                values[rows] = answer.output.values
                for name in self.part_names:
                    parts[name][rows] = answer.output.parts.get(name, nan_like(len(answer.rows)))
                for name, own in answer.output.info.items():
                    info[name][rows] = own
        return RewardOutput(values, parts, info)


class _Failed(Exception):
    """The server's fault, or the network's."""


class _Task:
    """One batch on its way: its headers, its deadline, and how the server does."""

    def __init__(self, headers: Mapping[str, str], deadline: float) -> None:
        self.headers = headers
        self.deadline = deadline
        self.health = web.Health(PATIENCE)

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


@dataclass(frozen=True)
class _Answer:
    """What was said of some rows: an output, or the reason why there is none; `wrong` by position in the answer."""

    rows: range
    reason: str
    output: RewardOutput | None = None
    wrong: Mapping[int, str] = field(default_factory=dict)


def _description(said: Mapping[str, Any]) -> Description:
    """What a server says of itself, checked."""
    if said["protocol"] != PROTOCOL:
        raise ValueError(f"it speaks protocol {reprlib.repr(said['protocol'])}; one side needs an update")
    low, high = (float(end) for end in said["bounds"])
    texts = [said["name"], said["version"], said["fingerprint"], *said["needs"], *said["part_names"]]
    if not all(isinstance(text, str) for text in texts) or not said["name"] or not said["fingerprint"]:
        raise ValueError("name, version, fingerprint, needs and part_names must be texts")
    if not low < high or not math.isfinite(high - low):
        raise ValueError(f"bounds {reprlib.repr(said['bounds'])}")
    limits = said["limits"]
    return Description(
        name=said["name"],
        bounds=(low, high),
        needs=tuple(said["needs"]),
        part_names=tuple(said["part_names"]),
        version=said["version"],
        fingerprint=said["fingerprint"],
        rows=max(1, int(limits["rows"])),
        bytes=max(1, int(limits["bytes"])),
    )
