"""What every reader hands on: rows, what was left out and why, and how rows become examples."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from apps.medvqa.data import Example

#: Problems that leave a row in; all others leave it out.
KEPT = frozenset(["renamed", "without_picture", "answer_differs"])


@dataclass(frozen=True)
class Problem:
    """Why a row was left out, or what to know about one that was kept.

    Attributes:
        id: of the example; empty where the row has none.
        kind: left out are `malformed`, `no_question`, `no_answer`, `bad_choice`, `duplicate`, `missing_picture`,
            `unreadable_picture` and `leak`; kept are `renamed` (its id stood for another question too),
            `without_picture` and `answer_differs` (from the choice that its letter names).
        reason: in words.
        where: file and row.
    """

    id: str
    kind: str
    reason: str
    where: str

    @property
    def kept(self) -> bool:
        """Whether the row is still there."""
        return self.kind in KEPT


@dataclass(frozen=True)
class Row:
    """One question of a data set before its pictures are looked for.

    Attributes:
        example: without pictures, but for those that the table itself holds.
        names: of its pictures, as the data set writes them.
        where: file and row, for messages.
    """

    example: Example
    names: tuple[str, ...]
    where: str


class Pictured(NamedTuple):
    """A cell of a table that stands for a picture: what it is called, which file to look for, or its content."""

    name: str
    names: tuple[str, ...]
    contents: tuple[bytes, ...]


@dataclass
class Reading:
    """All that a reader found.

    Attributes:
        root: folder to look for pictures in.
        rows: questions in the order of the files.
        problems: of rows left out and of some that were kept.
        read: rows in the files.
        passed_over: rows that the settings do not ask for, by reason.
        contents: pictures that the tables themselves hold, each once, by their digest.
    """

    root: Path
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    read: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    contents: dict[str, bytes] = field(default_factory=dict)

    def add(self, example: Example, names: tuple[str, ...], where: str) -> None:
        """A question; left out where it is empty."""
        if example.question:
            self.rows.append(Row(example, names, where))
        else:
            self.problems.append(Problem(example.id, "no_question", "the question is empty", where))

    def picture(self, cell: Any) -> Pictured:
        """What a table's cell says of a picture: a name, or the content itself (the hub's `{bytes, path}`)."""
        name, content = "", cell
        if isinstance(cell, Mapping):
            name, content = cell.get("path") or "", cell.get("bytes")
        if isinstance(content, bytes) and content:
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
            return Pictured(name or digest, (), (self.contents.setdefault(digest, content),))
        name = (content if isinstance(content, str) else str(name)).strip()
        return Pictured(name, (name,) if name else (), ())

    def note(self, id: str, kind: str, reason: str, where: str) -> None:
        """A row that is left out, or what to know of one that is kept (see `Problem`)."""
        self.problems.append(Problem(id, kind, reason, where))

    def finish(self) -> Reading:
        """Leave out rows without an answer and rows that come twice, and give each its own id.

        A split without any answer is one that hides them, and is kept.
        """
        answered = {row.example.split for row in self.rows if row.example.answer}
        rows, self.rows = self.rows, []
        first: dict[str, Row] = {}
        taken = {row.example.id for row in rows}
        for row in rows:
            own = row.example
            if not own.answer and own.split in answered:
                self.note(own.id, "no_answer", f"the answer to {own.question!r} is empty", row.where)
                continue
            earlier = first.setdefault(own.id, row)
            if earlier is row:
                self.rows.append(row)
            elif (earlier.example, earlier.names) == (own, row.names):
                self.note(own.id, "duplicate", f"the same as {earlier.where}", row.where)
            else:
                number = next(number for number in range(2, len(rows) + 2) if f"{own.id}-{number}" not in taken)
                renamed = replace(own, id=f"{own.id}-{number}")
                taken.add(renamed.id)
                reason = f"the id {own.id!r} stands for another question in {earlier.where}"
                self.problems.append(Problem(renamed.id, "renamed", reason, row.where))
                self.rows.append(replace(row, example=renamed))
        return self


def plain(value: Any) -> str:
    """A value of a table as one line of text: numbers as people write them, nothing for null."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(plain, value)))
    return " ".join(str(value).replace("\ufeff", " ").split())


class Fields(Mapping[str, Any]):
    """A row's fields by names of which only letters and digits count, lower case: `Choice A` is `choicea`."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = {"".join(filter(str.isalnum, str(name))).lower(): value for name, value in row.items()}

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def text(self, *names: str) -> str:
        """The first of these fields that is not empty, as text."""
        return next(filter(None, (plain(self._row.get(name)) for name in names)), "")
