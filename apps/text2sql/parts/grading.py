"""Runs a batch of predictions once for every part of a recipe, and remembers what it saw."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql.execution.statement import extract_sql
from apps.text2sql.execution.workers import Judge
from apps.text2sql.verdicts.verdict import Judgement, Verdict

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

#: The grader cannot say: no reward is given, whatever the recipe.
NO_VERDICT = frozenset({Verdict.GOLD_ERROR, Verdict.AMBIGUOUS, Verdict.CORRECT_EMPTY})
#: The prediction is one query that ran to its end.
EXECUTABLE = frozenset({Verdict.CORRECT, Verdict.CORRECT_EMPTY, Verdict.WRONG, Verdict.AMBIGUOUS})

#: What an outcome is known by: database, its time of change, gold, query, dialect.
Key = tuple[str, int, str, str, str]

_SOLUTION = re.compile(r"<solution>(.*?)</solution>", re.DOTALL | re.IGNORECASE)
_MEMORY = 16384


@dataclass(frozen=True)
class Graded:
    """One row's outcome.

    Attributes:
        sql: the query found in the completion; empty where there is none.
        judgement: verdict and reason.
    """

    sql: str
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """Short for `judgement.verdict`."""
        return self.judgement.verdict


class Grader:
    """Extracts, executes and compares; shared by the parts of a recipe so that each row is executed once.

    Outcomes are kept by database (with its time of change), gold and query, so that the repeats of a GRPO group and of
    later steps cost nothing. Pickles without workers and memory.

    Args:
        workers: processes that execute queries.
        preset: how results are compared.
        tag: name of the tag that holds the answer, where it is not the usual one ("solution").
    """

    def __init__(self, workers: int = 1, preset: str = "strict", tag: str = "") -> None:
        self.workers = workers
        self.preset = preset
        self.tag = tag
        self._judge: Judge | None = None
        self._memory: OrderedDict[Key, Graded] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_judge": None, "_memory": OrderedDict()}

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes; the next call starts new ones."""
        if self._judge is not None:
            self._judge.close()
            self._judge = None

    def sql(self, completion: str) -> str:
        """The query in a completion; empty where there is none. Never raises."""
        return _extracted(completion, self.tag)

    def __call__(
        self, columns: Mapping[str, Sequence[Any]], seen: Callable[[Key, Graded], None] | None = None
    ) -> list[Graded]:
        """Grade rows with the columns `completion`, `database`, `gold` and, if present, `dialect`.

        Args:
            columns: the batch.
            seen: told each different outcome as soon as it is known, in any order, from any thread.
        """
        states = states_of(columns)
        keys = [
            (str(database), states[database], gold, self.sql(completion), dialect)
            for completion, database, gold, dialect in zip(
                columns["completion"], columns["database"], columns["gold"], dialects(columns), strict=True
            )
        ]
        # The rows of this call stay at hand whatever the memory drops meanwhile.
        found = {key: self._memory[key] for key in keys if key in self._memory}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if seen is not None:
            for key, graded in found.items():
                seen(key, graded)

        def note(row: int, judged: Judgement) -> None:
            found[missing[row]] = graded = Graded(missing[row][3], judged)
            if seen is not None:
                seen(missing[row], graded)

        if missing:
            judge = self._judge = self._judge or Judge(workers=self.workers, preset=self.preset)
            databases, _, golds, preds, spoken = zip(*missing, strict=True)
            judge(databases, golds, preds, dialects=spoken, seen=note)
        self._remember(found)
        return [found[key] for key in keys]

    def _remember(self, found: Mapping[Key, Graded]) -> None:
        for key, graded in found.items():
            # A time limit is hit or missed by the load of the machine: not a fact to keep.
            if graded.judgement.code != "timeout":  # the gold's too
                self._memory[key] = graded
                self._memory.move_to_end(key)
        while len(self._memory) > _MEMORY:
            self._memory.popitem(last=False)


@lru_cache(maxsize=8192)
def _extracted(completion: str, tag: str) -> str:
    if tag == "solution":
        found = _SOLUTION.findall(completion)
        completion = found[-1] if found else completion
    return extract_sql(completion) or ""


def dialects(columns: Mapping[str, Sequence[Any]]) -> Sequence[str]:
    """The `dialect` column, or SQLite for every row."""
    return columns["dialect"] if "dialect" in columns else ["sqlite"] * len(columns["completion"])


def states_of(columns: Mapping[str, Sequence[Any]]) -> dict[Any, int]:
    """`modified` of every database of a batch, each looked at once."""
    return {database: modified(str(database)) for database in set(columns["database"])}


def modified(path: str) -> int:
    """When a database file last changed, in nanoseconds; 0 for a server's address."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def schema_of(path: str | Path, state: int | None = None) -> Schema:
    """A database's schema, read again only where its file changed; `state`: what `modified` has just said of it."""
    return _schema(str(path), modified(str(path)) if state is None else state)


@lru_cache(maxsize=512)
def _schema(path: str, _modified: int) -> Schema:
    from apps.text2sql.execution.database import open_database

    database = open_database(path)
    try:
        return database.schema()
    finally:
        database.close()
