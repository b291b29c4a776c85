"""Verdicts from processes that can be killed: whatever a query does, the caller lives and the batch goes on."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import sys
import threading
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from apps.text2sql.execution.database import Execution, Limits
from apps.text2sql.execution.worker import read_message, unpack, unpack_execution, write_message
from apps.text2sql.verdicts.verdict import Judgement, Preset, Verdict, find_preset
from common.errors import RewardError, TouchstoneError

GRACE = 2.0  # seconds beyond the limit before a silent worker is killed
_STARTUP = 60.0
_TASK = 64  # predictions sent to a worker at a time: while it runs them it need not wait for a busy caller
_BOOT = (
    "import sys, json; a = json.loads(sys.argv[1]); sys.path[:] = a['path']; "
    "from apps.text2sql.execution.worker import main; main(a['limits'])"
)


class Died(Exception):
    """A worker ended or was killed; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Process:
    """One worker process and the thread that reads its answers."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        arguments = json.dumps({"path": [path or os.getcwd() for path in sys.path], "limits": astuple(limits)})
        self.process = subprocess.Popen(  # a fresh interpreter: nothing of the caller's torch or threads is inherited
            [sys.executable, "-c", _BOOT, arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the caller
        )
        self._tasks = cast(BinaryIO, self.process.stdin)
        self.answers: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(self.process.stdout, self.answers), daemon=True).start()
        self._finalizer = weakref.finalize(self, _end, self.process, os.getpid())
        self.fresh = True

    def ask(self, tasks: list[tuple[Any, ...]], answers: int) -> Iterator[tuple[Any, ...]]:
        """Send tasks and yield their answers, of which there are that many.

        Raises:
            Died: the worker ended, or was killed because it stayed silent beyond limit and grace.
        """
        try:
            write_message(self._tasks, tuple(tasks))
        except OSError as error:
            raise Died("worker_died") from error
        while answers:
            answer = self._next()
            if answer[0] != "beat":
                answers -= 1
                yield answer

    def _next(self) -> tuple[Any, ...]:
        patience = self.limits.seconds + GRACE + (_STARTUP if self.fresh else 0.0)
        try:
            answer = self.answers.get(timeout=patience)
        except queue.Empty as error:
            self.end()
            raise Died("timeout") from error
        if answer is None:
            self.end()
            raise Died("worker_died")
        self.fresh = False
        return answer

    def end(self) -> None:
        """Kill the process."""
        self._finalizer()


def _pump(stream: Any, answers: queue.SimpleQueue[tuple[Any, ...] | None]) -> None:
    with contextlib.suppress(OSError, ValueError, EOFError):
        while (message := read_message(stream)) is not None:
            answers.put(message)
    answers.put(None)


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked copy: the worker is its parent's
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@dataclass
class _Group:
    """Predictions of one gold on one database, each with the rows of the batch that hold it."""

    path: str
    dialect: str | None
    gold: str
    preds: dict[str, list[int]]


class Judge:
    """Judges batches of predictions in worker processes.

    Golds are run once and kept while their database file does not change; equal predictions of a gold (also those that
    differ in blanks, comments or case) are run once per call; connections stay open. Every different prediction is
    run, also where its text is the gold's. A worker that stays silent beyond the time limit is killed and replaced,
    and only the query it was running is blamed.

    Workers start with the first call. A pickled or forked copy starts its own. Use it as a context manager or call
    `close`; it also ends with its last reference.

    Args:
        workers: processes.
        limits: of each query.
        preset: how results are compared.
        keep_rows: rows of gold and predicted results to bring back with each judgement.
    """

    def __init__(
        self, workers: int = 2, limits: Limits | None = None, preset: str | Preset = "strict", keep_rows: int = 0
    ) -> None:
        if workers < 1:
            raise TouchstoneError(f"workers must be at least 1, not {workers}")
        self.workers = workers
        self.limits = limits or Limits()
        self.preset = find_preset(preset).name
        self.keep_rows = keep_rows
        self._reset()

    def _reset(self) -> None:
        self._processes: list[Process | None] = [None] * self.workers
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self.restarts = 0

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("workers", "limits", "preset", "keep_rows")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; the next call starts new ones."""
        for index, process in enumerate(self._processes):
            if process is not None and self._owner == os.getpid():
                process.end()
            self._processes[index] = None

    def __call__(
        self,
        databases: Sequence[str | Path],
        golds: Sequence[str],
        preds: Sequence[str],
        dialects: Sequence[str | None] | None = None,
        seen: Callable[[int, Judgement], None] | None = None,
    ) -> list[Judgement]:
        """Judge a batch; the order is kept.

        Args:
            databases: `(B,)` paths or URLs.
            golds: `(B,)` gold queries.
            preds: `(B,)` predicted queries.
            dialects: `(B,)` dialects of the texts; each database's own if not given.
            seen: told each row and its judgement as soon as it is known, in any order, from any thread.

        Raises:
            RewardError: the columns differ in length.
        """
        dialects = dialects if dialects is not None else [None] * len(preds)
        lengths = {len(databases), len(golds), len(preds), len(dialects)}
        if len(lengths) > 1:
            raise RewardError(f"columns differ in length: {sorted(lengths)}")
        groups: dict[tuple[str, str | None, str], _Group] = {}
        for row, (database, dialect, gold, pred) in enumerate(zip(databases, dialects, golds, preds, strict=True)):
            key = (_absolute(database), dialect, gold)
            groups.setdefault(key, _Group(*key, {})).preds.setdefault(pred, []).append(row)
        results: list[Judgement | None] = [None] * len(preds)

        def work(index: int, groups: list[_Group]) -> None:
            asked = chain.from_iterable(group.preds.values() for group in groups)
            for rows, judgement in zip(asked, self._judge(index, groups), strict=True):
                for row in rows:
                    results[row] = judgement
                    if seen is not None:
                        seen(row, judgement)

        self._spread(list(_split(groups.values())), work)
        return [_present(result) for result in results]

    def execute(self, database: str | Path, sqls: Sequence[str], dialect: str | None = None) -> list[Execution]:
        """Run queries on one database and bring back their rows; the order is kept.

        Values that are no text, number, bytes or NULL come back as text.
        """
        path = _absolute(database)
        groups = [_Group(path, dialect, "", {sql: [] for sql in part}) for part in _parts(list(dict.fromkeys(sqls)))]
        found: dict[str, Execution] = {}

        def work(index: int, groups: list[_Group]) -> None:
            asked = chain.from_iterable(group.preds for group in groups)
            found.update(zip(asked, self._execute(index, groups), strict=True))

        self._spread(groups, work)
        return [found[sql] for sql in sqls]

    def _spread(self, groups: list[_Group], work: Any) -> None:
        """Run the groups on the workers: each gold on the worker that knows it, unless another one idles."""
        if self._owner != os.getpid():
            self._reset()
        queues: list[deque[_Group]] = [deque() for _ in range(self.workers)]
        for group in groups:
            queues[zlib.crc32(f"{group.path}\0{group.gold}".encode("utf-8", "replace")) % self.workers].append(group)

        share = min(_TASK, math.ceil(sum(len(group.preds) for group in groups) / (4 * self.workers)))

        def drain(index: int) -> None:
            while True:
                taken: list[_Group] = []
                with contextlib.suppress(IndexError):
                    while sum(len(group.preds) for group in taken) < share:
                        taken.append(queues[index].popleft())
                if not taken:
                    try:
                        taken.append(max(queues, key=len).pop())
                    except IndexError:
                        return
                work(index, taken)

        with self._lock:
            try:
                if self.workers == 1 or len(groups) == 1:
                    busy = next((index for index in range(self.workers) if queues[index]), 0)
                    drain(busy)
                    return
                with ThreadPoolExecutor(self.workers) as pool:
                    for future in [pool.submit(drain, index) for index in range(self.workers)]:
                        future.result()
            except BaseException:
                self.close()  # half-read answers must not reach the next call
                raise

    def _process(self, index: int) -> Process:
        process = self._processes[index]
        if process is None:
            process = self._processes[index] = Process(self.limits)
        return process

    def _answers(self, index: int, kind: str, groups: list[_Group]) -> Iterator[Any]:
        """One packed answer for each prediction, or why there is none: `Died`, and whether the gold did it."""
        rest = deque((group, deque(group.preds)) for group in groups)
        while rest:
            process = self._process(index)
            fresh = process.fresh
            gold_done = False
            try:
                tasks = [self._task(kind, group, list(preds)) for group, preds in rest]
                for answer in process.ask(tasks, sum(1 + len(preds) for _, preds in rest)):
                    if answer[0] == "gold":
                        if gold_done:
                            rest.popleft()
                        gold_done = True
                    else:
                        rest[0][1].popleft()
                        yield answer[1]
                return
            except Died as death:
                process.end()
                self._processes[index] = None
                self.restarts += 1
                if gold_done and not rest[0][1]:
                    rest.popleft()
                    gold_done = False
                # A worker that was already dead when asked (killed from outside) says nothing about this query.
                innocent = death.code == "worker_died" and not fresh
                if not rest or innocent:
                    continue
                preds = rest[0][1]
                if gold_done:
                    preds.popleft()
                    yield death, False
                else:
                    rest.popleft()
                    yield from ((death, True) for _ in preds)

    def _task(self, kind: str, group: _Group, preds: list[str]) -> tuple[Any, ...]:
        if kind == "judge":
            return kind, group.path, group.dialect, self.preset, group.gold, preds, self.keep_rows
        return kind, group.path, group.dialect, preds

    def _judge(self, index: int, groups: list[_Group]) -> Iterator[Judgement]:
        for answer in self._answers(index, "judge", groups):
            if isinstance(answer[0], Died):
                yield _blame(*answer)
            else:
                yield unpack(answer)

    def _execute(self, index: int, groups: list[_Group]) -> Iterator[Execution]:
        for answer in self._answers(index, "execute", groups):
            if isinstance(answer[0], Died):
                yield _stopped(answer[0])
            else:
                execution = unpack_execution(answer)
                assert execution is not None
                yield execution


def _stopped(death: Died) -> Execution:
    if death.code == "timeout":
        return Execution("timeout", code="timeout", reason="one step ran beyond the time limit; its worker was killed")
    return Execution("limit", code=death.code, reason="the query ended its worker process")


def _blame(death: Died, gold: bool) -> Judgement:
    execution = _stopped(death)
    if gold:
        return Judgement(Verdict.GOLD_ERROR, execution.code, f"gold: {execution.reason}", gold=execution)
    return Judgement(Verdict(execution.status), execution.code, execution.reason, pred=execution)


def _present(judgement: Judgement | None) -> Judgement:
    if judgement is None:
        raise TouchstoneError("a worker left a row without an answer")
    return judgement


def _split(groups: Iterable[_Group]) -> Iterator[_Group]:
    for group in groups:
        for part in _parts(list(group.preds)):
            yield _Group(group.path, group.dialect, group.gold, {pred: group.preds[pred] for pred in part})


def _parts(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _TASK):
        yield items[start : start + _TASK]


def _absolute(database: str | Path) -> str:
    text = str(database)
    return text if "://" in text else os.path.abspath(text)
