"""Answers one question: writes several queries, runs them, and says whether they agree (self-consistency).

Agreement is by result, not by text (Wang et al. 2022, arXiv 2203.11171, with execution as the vote).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.data import Example
from apps.text2sql.execution.statement import extract_sql
from common.errors import DataError, UsageError

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Execution, Schema
    from apps.text2sql.execution.workers import Judge

SHOWN_ROWS = 200
SAME = ("correct", "correct_empty")


@dataclass(frozen=True)
class Candidate:
    """One of the different results that the samples gave.

    Attributes:
        sql: the query; of several with this result the one that came first.
        execution: what came of it; at most `SHOWN_ROWS` rows.
        votes: samples with this result.
    """

    sql: str
    execution: Execution
    votes: int


@dataclass(frozen=True)
class Answer:
    """What the model makes of a question.

    Attributes:
        question: as it was asked.
        candidates: best first: by votes, then in the order of the samples; empty where no sample held a query.
        samples: how many answers were drawn.
        completion: the model's first answer, as it said it.
    """

    question: str
    candidates: tuple[Candidate, ...]
    samples: int
    completion: str = ""

    @property
    def best(self) -> Candidate | None:
        """The answer to show."""
        return self.candidates[0] if self.candidates else None

    @property
    def agrees(self) -> bool:
        """Whether all samples gave the same result."""
        return self.best is not None and self.best.votes == self.samples

    @property
    def warning(self) -> str:
        """A sentence where the samples disagree, or where only one was drawn; else empty."""
        if self.best is None or self.agrees:
            return ""
        others = len(self.candidates) - 1
        silent = self.samples - sum(candidate.votes for candidate in self.candidates)
        found = [f"{others} other result{'s' if others > 1 else ''}"] if others else []
        found += [f"{silent} without a query"] if silent else []
        return (
            f"the samples disagree: only {self.best.votes} of {self.samples} have this result "
            f"({' and '.join(found)}); check the query before you rely on it"
        )


class Assistant(Protocol):
    """Something that answers questions about a database."""

    def ask(self, question: str, database: str) -> Answer:
        """Answer `question` about the database file or URL."""
        ...


class ModelAssistant:
    """Asks the configured language model; the model is loaded at the first question.

    The first sample is greedy, the others are drawn at `evaluate.temperature`.

    Args:
        config: model, prompt and sampling settings.
        judge: executes and compares.
        samples: answers to compare.

    Raises:
        UsageError: fewer than one sample.
    """

    def __init__(self, config: Text2SqlConfig, judge: Judge, samples: int = 5) -> None:
        if samples < 1:
            raise UsageError(f"samples must be 1 or more, not {samples}")
        self.config = config
        self.judge = judge
        self.samples = samples
        self._model: Any = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model now rather than at the first question."""
        from common.models.language import load_language_model

        if self._model is None:
            self._model = load_language_model(self.config.model, training=False)

    def ask(self, question: str, database: str) -> Answer:
        """Answer a question.

        Raises:
            UsageError: the question is empty, or the database cannot be read.
        """
        question = question.strip()
        if not question:
            raise UsageError("the question is empty")
        dialect = inspect_database(database).dialect
        with self._lock:
            self.load()
            completions = self._completions(question, database, dialect)
            candidates = vote(self.judge, database, [extract_sql(completion) or "" for completion in completions])
        return Answer(question, candidates, len(completions), completions[0])

    def _completions(self, question: str, database: str, dialect: str) -> list[str]:
        import torch

        from apps.text2sql.prompts import messages
        from common.models.language import generate

        model, tokenizer = self._model
        # A server's address is no path: Path would swallow one of its slashes.
        path: Any = database if "://" in database else Path(database)
        example = Example("", question, "", Path(database).stem, path, "", dialect=dialect)
        prompt = messages(example, self.config.prompt)
        settings = self.config.evaluate
        greedy = generate(model, tokenizer, [prompt], settings.max_new_tokens)[0]
        if self.samples == 1:
            return greedy
        # The same question to the same model gets the same answer.
        torch.manual_seed(self.config.seed)
        drawn = generate(model, tokenizer, [prompt], settings.max_new_tokens, settings.temperature, n=self.samples - 1)
        return greedy + drawn[0]


def inspect_database(database: str) -> Schema:
    """The schema of a database that can be asked about.

    Raises:
        UsageError: no such file, no database, damaged, not readable, or without a table.
    """
    from apps.text2sql.execution.database import open_database

    try:
        opened = open_database(database)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=database) from error
    try:
        schema = opened.schema()
    finally:
        opened.close()
    if not schema.tables:
        raise DataError("the database holds no table", path=database)
    return schema


def vote(judge: Judge, database: str, queries: Sequence[str]) -> tuple[Candidate, ...]:
    """Group queries by result; empty ones have none, and those that fail the same way are one group.

    Queries that run rank before those that do not, then votes count, then order.
    """
    from apps.text2sql.execution.database import cut

    distinct = [query for query in dict.fromkeys(queries) if query]
    if not distinct:
        return ()
    executions = [cut(execution, SHOWN_ROWS) for execution in judge.execute(database, distinct)]
    groups = _same_results(judge, database, distinct, executions)
    counts = [sum(queries.count(distinct[member]) for member in group) for group in groups]
    candidates = [
        Candidate(distinct[group[0]], executions[group[0]], count) for group, count in zip(groups, counts, strict=True)
    ]
    # sorted() is stable: among equals the one that came first stays first.
    return tuple(sorted(candidates, key=lambda candidate: (not candidate.execution.ok, -candidate.votes)))


def _same_results(
    judge: Judge, database: str, queries: Sequence[str], executions: Sequence[Execution]
) -> list[list[int]]:
    """Positions of queries, those with the same result together."""
    ran = [place for place, execution in enumerate(executions) if execution.ok]
    pairs = [(first, second) for at, first in enumerate(ran) for second in ran[at + 1 :]]
    same: set[tuple[int, int]] = set()
    if pairs:
        judged = judge([database] * len(pairs), [queries[a] for a, _ in pairs], [queries[b] for _, b in pairs])
        same = {pair for pair, judgement in zip(pairs, judged, strict=True) if judgement.verdict.value in SAME}
    groups: list[list[int]] = []
    for place, execution in enumerate(executions):
        for group in groups:
            other = executions[group[0]]
            failed_alike = not execution.ok and (execution.status, execution.code) == (other.status, other.code)
            if (group[0], place) in same or failed_alike:
                group.append(place)
                break
        else:
            groups.append([place])
    return groups
