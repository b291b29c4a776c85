"""The process that runs model-written SQL: reads tasks from standard input, writes outcomes to standard output.

Started and watched by `apps.text2sql.execution.workers`. Each message is its length (8 bytes) and a marshalled tuple
of plain values. Between the queries of a long task beats are written, so that the parent can tell it from a stuck
query.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import sqlite3
import struct
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, BinaryIO

from apps.text2sql.execution.database import Database, Execution, Limits, Schema, cut, fingerprint, open_database
from apps.text2sql.execution.statement import Refused, Statement, parse_query
from apps.text2sql.verdicts.compare import Overlap
from apps.text2sql.verdicts.verdict import Judgement, Reference, Verdict, judge_against
from common.errors import TouchstoneError

BEAT = 0.2  # seconds between two beats
_DATABASES = 64
_GOLDS = 2048
_GOLD_ROWS = 400_000  # rows of golds kept, all together


def write_message(stream: BinaryIO, message: tuple[Any, ...]) -> None:
    """Write one message and flush."""
    data = marshal.dumps(message)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[Any, ...] | None:
    """The next message; None at the end of the stream."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    size = struct.unpack("<Q", head)[0]
    data = stream.read(size)
    return marshal.loads(data) if len(data) == size else None


def pack_execution(execution: Execution | None, rows: int) -> tuple[Any, ...] | None:
    """Plain values of an execution with at most `rows` rows."""
    if execution is None:
        return None
    kept = [tuple(map(_portable, row)) for row in cut(execution, rows).rows] if rows else []
    e = execution
    return e.status, e.columns, kept, e.seconds, e.code, e.reason, e.count


def _portable(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bytes) else str(value)


def unpack_execution(packed: tuple[Any, ...] | None) -> Execution | None:
    """Undo `pack_execution`."""
    return Execution(*packed) if packed is not None else None


def pack(judgement: Judgement, rows: int) -> tuple[Any, ...]:
    """Plain values of a judgement."""
    shared = judgement.overlap
    return (
        judgement.verdict.value,
        judgement.code,
        judgement.reason,
        tuple(judgement.flags),
        pack_execution(judgement.gold, rows),
        pack_execution(judgement.pred, rows),
        (shared.cell_precision, shared.cell_recall, shared.tuple_cardinality, shared.soft_f1) if shared else None,
    )


def unpack(packed: tuple[Any, ...]) -> Judgement:
    """Undo `pack`."""
    verdict, code, reason, flags, gold, pred, shared = packed
    return Judgement(
        Verdict(verdict),
        code,
        reason,
        frozenset(flags),
        unpack_execution(gold),
        unpack_execution(pred),
        Overlap(*shared) if shared is not None else None,
    )


class _Beating:
    """A database that beats before each query."""

    def __init__(self, inner: Database, output: BinaryIO) -> None:
        self.inner, self.output = inner, output
        self.dialect, self.limits = inner.dialect, inner.limits
        self.last = 0.0

    def run(self, sql: str | Statement) -> Execution:
        now = time.monotonic()
        if now - self.last > BEAT:
            write_message(self.output, ("beat",))
            self.last = now
        return self.inner.run(sql)

    def schema(self) -> Schema:
        return self.inner.schema()

    def close(self) -> None:
        self.inner.close()

    def reversed(self) -> Database | None:
        backwards = self.inner.reversed()
        return _Beating(backwards, self.output) if backwards is not None else None

    def knows(self, name: str) -> bool:
        return self.inner.knows(name)


class Worker:
    """Keeps connections and golds, and answers tasks."""

    def __init__(self, limits: Limits, output: BinaryIO) -> None:
        self.limits, self.output = limits, output
        self.databases: OrderedDict[str, tuple[tuple[Any, ...], Database]] = OrderedDict()
        self.golds: OrderedDict[tuple[str, str, str | None], Reference] = OrderedDict()
        self.kept = 0

    def database(self, path: str) -> Database:
        """The connection to `path`, opened anew where its files changed."""
        mark = fingerprint(path)
        if path in self.databases:
            known, database = self.databases[path]
            if known == mark:
                self.databases.move_to_end(path)
                return database
            self.drop(path)
        database = _Beating(open_database(path, self.limits), self.output)
        self.databases[path] = (mark, database)
        while len(self.databases) > _DATABASES:
            self.drop(next(iter(self.databases)))
        return database

    def drop(self, path: str) -> None:
        """Forget a database and the golds that ran on it."""
        self.databases.pop(path)[1].close()
        for key in [key for key in self.golds if key[0] == path]:
            self.kept -= self.golds.pop(key).execution.count

    def reference(self, path: str, gold: str, dialect: str | None) -> Reference:
        """The gold, run before or now."""
        database = self.database(path)
        key = (path, gold, dialect)
        if key in self.golds:
            self.golds.move_to_end(key)
            return self.golds[key]
        reference = Reference(database, gold, dialect)
        changing = reference.statement is not None and "nondeterministic" in reference.statement.flags
        # A time limit is hit or missed by the load of the machine, and a server may change: not facts to keep.
        if not changing and reference.execution.status != "timeout" and "://" not in path:
            self.golds[key] = reference
            self.kept += reference.execution.count
            while len(self.golds) > _GOLDS or (self.kept > _GOLD_ROWS and len(self.golds) > 1):
                self.kept -= self.golds.popitem(last=False)[1].execution.count
        return reference

    def judge(
        self, path: str, dialect: str | None, preset: str, gold: str, preds: list[str], rows: int
    ) -> Iterator[tuple[Any, ...]]:
        """Answers `("gold",)` and then one `("item", packed judgement)` for each prediction."""
        try:
            reference = self.reference(path, gold, dialect)
        except TouchstoneError as error:
            yield ("gold",)
            failed = Judgement(Verdict.GOLD_ERROR, "database", str(error))
            yield from (("item", pack(failed, rows)) for _ in preds)
            return
        yield ("gold",)
        known: dict[str, tuple[Any, ...]] = {}
        for pred in preds:
            # defog looks at column names, which follow the spelling.
            key = pred if preset == "defog" else _spelling(pred, dialect or reference.database.dialect)
            if key not in known:
                try:
                    known[key] = pack(judge_against(reference, pred, preset, dialect), rows)
                except MemoryError:
                    known.clear()
                    known[key] = pack(Judgement(Verdict.LIMIT, "memory", "out of memory"), rows)
                except Exception as error:  # our fault, so the prediction is not judged
                    traceback.print_exc()
                    failed = Judgement(Verdict.GOLD_ERROR, "internal", f"{type(error).__name__}: {error}")
                    known[key] = pack(failed, rows)
            yield ("item", known[key])

    def execute(self, path: str, dialect: str | None, sqls: list[str]) -> Iterator[tuple[Any, ...]]:
        """Answers `("gold",)` and then one `("item", packed execution)` for each text."""
        yield ("gold",)
        for sql in sqls:
            try:
                database = self.database(path)
                execution = database.run(parse_query(sql, dialect or database.dialect))
            except Refused as refused:
                execution = Execution(refused.kind, code=refused.code, reason=str(refused))
            except TouchstoneError as error:
                execution = Execution("error", code="database", reason=str(error))
            yield ("item", pack_execution(execution, self.limits.rows))

    def serve(self, tasks: BinaryIO) -> None:
        """Answer tasks until the stream ends."""
        while (message := read_message(tasks)) is not None:
            for kind, *arguments in message:
                answers = self.judge(*arguments) if kind == "judge" else self.execute(*arguments)
                for answer in answers:
                    write_message(self.output, answer)


def _spelling(sql: str, dialect: str) -> str:
    try:
        return parse_query(sql, dialect).key
    except Refused:
        return "\0" + sql  # no key holds a NUL


def limit_memory(limits: Limits) -> None:
    """Bound this process: SQLite's heap, and the address space where the system can."""
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(":memory:")
        connection.execute(f"PRAGMA hard_heap_limit = {limits.memory_bytes}")
        connection.close()
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, ValueError):
        # Twice the heap and what libraries map: the last line before the machine itself suffers.
        resource.setrlimit(resource.RLIMIT_AS, (2 * limits.memory_bytes + 2_000_000_000,) * 2)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(limits: list[Any]) -> None:
    """Serve tasks; whatever else prints goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    bounds = Limits(*limits)
    limit_memory(bounds)
    # Parsed queries are many small objects that live on; collecting them again and again costs a quarter of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        Worker(bounds, output).serve(sys.stdin.buffer)
