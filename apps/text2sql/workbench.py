"""What the demo does, without a browser: databases, questions, edited queries and their rewards."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.text2sql.assistant import SHOWN_ROWS, Answer, Assistant, inspect_database
from apps.text2sql.data import LANGUAGES, Example
from apps.text2sql.execution.sql_words import quoted_always
from common.errors import DataError, UsageError
from common.uploads import check_size, discard, inside

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Execution, Schema
    from apps.text2sql.execution.workers import Judge
    from common.rewards.base import Reward

LARGEST_UPLOAD = 50_000_000  # bytes
#: Characters.
LONGEST_QUESTION, LONGEST_QUERY = 2_000, 20_000
SAMPLE_ROWS = 5
MAGIC = b"SQLite format 3\0"
LANGUAGE_NAMES = dict(
    zip(LANGUAGES, ("English", "Deutsch", "français", "español", "日本語", "中文", "tiếng Việt"), strict=True)
)


@dataclass(frozen=True)
class Assay:
    """A query held against a reference.

    Attributes:
        verdict: value of a `Verdict`.
        reason: why, for people.
        reward: what the recipe pays; NaN where it must abstain.
        parts: the recipe's parts by name; NaN where one was not asked or could not say.
        bounds: the lowest and the highest reward.
        execution: what came of running the query.
    """

    verdict: str
    reason: str
    reward: float
    parts: Mapping[str, float]
    bounds: tuple[float, float]
    execution: Execution


class Workbench:
    """Answers questions about known and uploaded databases, and assays queries.

    Args:
        assistant: answers the questions.
        judge: runs and compares queries in worker processes.
        reward: the configured recipe.
        databases: file by the name shown.
        examples: questions to try, with their golds.
    """

    def __init__(
        self,
        assistant: Assistant,
        judge: Judge,
        reward: Reward,
        databases: Mapping[str, Path],
        examples: Sequence[Example] = (),
    ) -> None:
        self.assistant = assistant
        self.judge = judge
        self.reward = reward
        self.databases = {name: Path(path) for name, path in databases.items()}
        self._questions: dict[str, list[tuple[str, str]]] = {}
        self._golds: dict[tuple[str, str], str] = {}
        for example in examples:
            shown = (LANGUAGE_NAMES.get(example.language, example.language), example.question)
            self._questions.setdefault(example.database, []).append(shown)
            self._golds[example.database, example.question] = example.sql
        # Browsers ask at the same time; the worker pool and the reward's memory serve one at a time.
        self._lock = threading.Lock()

    def resolve(self, name: str, uploaded: str | None) -> str:
        """The file behind a name in the list: a known database, or the one this visitor uploaded.

        Raises:
            UsageError: neither; a name never becomes a path by itself.
        """
        if name in self.databases:
            return str(self.databases[name])
        if uploaded is not None and name == upload_name(uploaded):
            return uploaded
        raise UsageError("choose a database first")

    def schema(self, database: str) -> Schema:
        """The database's tables."""
        return inspect_database(database)

    def rows_of(self, database: str, table: str) -> Execution:
        """The first rows of a table, read in a worker."""
        query = f"SELECT * FROM {quoted_always(table, self.schema(database).dialect)} LIMIT {SAMPLE_ROWS}"
        with self._lock:
            return self.judge.execute(database, [query])[0]

    def questions(self, name: str) -> list[tuple[str, str]]:
        """Language and question of the examples for a known database."""
        return self._questions.get(name, [])

    def gold(self, name: str, question: str) -> str:
        """The gold query of an example question; empty for any other."""
        return self._golds.get((name, question.strip()), "")

    def ask(self, question: str, database: str) -> Answer:
        """Let the assistant answer.

        Raises:
            UsageError: the question is empty or too long.
        """
        if not question.strip():
            raise UsageError("type a question first")
        _check_length(question, "question", LONGEST_QUESTION)
        with self._lock:
            return self.assistant.ask(question, database)

    def assay(self, query: str, reference: str, question: str, database: str) -> Assay:
        """Hold a query against a reference query and pay it as training would.

        Raises:
            UsageError: one of the two is empty or too long.
        """
        if not query.strip() or not reference.strip():
            raise UsageError("both your query and the reference must hold a query")
        _check_length(query, "query", LONGEST_QUERY)
        _check_length(reference, "reference", LONGEST_QUERY)
        from apps.text2sql.execution.database import cut

        with self._lock:
            judged = self.judge([database], [reference], [query])[0]
            execution = cut(self.judge.execute(database, [query])[0], SHOWN_ROWS)
            output = self.reward(
                completion=[query],
                question=[question],
                language=[""],
                database=[database],
                gold=[reference],
                dialect=["sqlite"],
                prompt=[question],
            )
        parts = {name: float(values[0]) for name, values in output.parts.items()}
        reward = float(output.values[0])
        return Assay(judged.verdict.value, judged.reason, reward, parts, self.reward.bounds, execution)


def accept_upload(path: str, folder: str | Path) -> str:
    """Check that an uploaded file may be asked about; returns its path. It is removed with the folder of uploads;
    one that is refused, at once.

    Args:
        path: the file.
        folder: where uploads lie; nothing outside it is read.

    Raises:
        UsageError: the file lies elsewhere.
        DataError: too large, not SQLite by its first bytes, damaged, or without a table. The message names the file as
            the visitor does, not where it lies here.
    """
    file, name = inside(path, folder), upload_name(path)
    try:
        _check_database(file, name)
    except DataError:
        discard(file, folder)
        raise
    return str(file)


def _check_database(file: Path, name: str) -> None:
    check_size(file, LARGEST_UPLOAD)
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise DataError("this is not an SQLite database", path=name)
    try:
        inspect_database(str(file))
    except DataError as error:
        raise DataError(str(error).removeprefix(f"{file}: "), path=name) from error


def _check_length(text: str, what: str, longest: int) -> None:
    if len(text) > longest:
        raise UsageError(f"the {what} has {len(text):,} characters; at most {longest:,} are read")


def upload_name(path: str) -> str:
    """How an uploaded file is listed."""
    return f"{Path(path).name} (uploaded)"


def one_of_each_language(examples: Sequence[Example], longest: int = 58) -> list[Example]:
    """For each database one question a language: different ones and not longer than the list shows, where possible."""
    chosen: dict[tuple[str, str], Example] = {}
    used: set[tuple[str, str]] = set()
    for fits, is_new in ((True, True), (False, True), (False, False)):
        for example in examples:
            place, meaning = (example.database, example.language), (example.database, example.sql)
            if place in chosen or (is_new and meaning in used) or (fits and len(example.question) > longest):
                continue
            chosen[place] = example
            used.add(meaning)
    order = {language: number for number, language in enumerate(LANGUAGES)}
    return sorted(chosen.values(), key=lambda example: (example.database, order.get(example.language, len(order))))
