"""Finds values of a database that a question mentions, so that a prompt can show how they are spelled and where.

Every distinct text value is indexed by its character trigrams, which needs no knowledge of the language and forgives
endings and typing errors. A value's score is the share of its trigrams, weighted by rarity as in BM25's idf, that the
question holds. Codes and numbers count only as whole words.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql.execution.sql_words import quoted_always

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Column, Database, Schema

#: Caps, so that a large database costs seconds and megabytes, not minutes and gigabytes.
PER_COLUMN = 5_000
TOTAL = 100_000
LONGEST = 80
#: Below this share of its trigrams a value is not shown.
THRESHOLD = 0.6
#: Up to this many capitals are a code, which counts only as a whole word in the database's own spelling.
SHORT = 3

_WORD = re.compile(r"\w+")
_DECIMAL = re.compile(r"\b\d+(?:\.\d+)+\b")
#: Scripts written without spaces have no whole words to compare.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class Hit:
    """A value that the question seems to mention.

    Attributes:
        table: as the schema spells it.
        column: as the schema spells it.
        value: as the database spells it.
        score: share of the value found in the question, in [0, 1].
    """

    table: str
    column: str
    value: str
    score: float


class ValueIndex:
    """An index over (table, column, value) triples.

    Args:
        values: the triples; values longer than `LONGEST` characters are left out.
    """

    def __init__(self, values: Iterable[tuple[str, str, str]]) -> None:
        places: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for table, column, value in values:
            plain = fold(value)
            if plain and len(plain) <= LONGEST:
                places[plain].append((table, column, value))
        self._texts = list(places)
        self._places = list(places.values())
        self._grams = [trigrams(text) for text in self._texts]
        counts = Counter(gram for grams in self._grams for gram in grams)
        size = len(self._texts)
        self._idf = {gram: math.log(1 + (size - count + 0.5) / (count + 0.5)) for gram, count in counts.items()}
        self._weights = [sum(self._idf[gram] for gram in grams) for grams in self._grams]
        self._postings: dict[str, list[int]] = defaultdict(list)
        for number, grams in enumerate(self._grams):
            for gram in grams:
                self._postings[gram].append(number)

    def __len__(self) -> int:
        return len(self._texts)

    def search(self, question: str, limit: int = 8) -> list[Hit]:
        """The values that the question mentions; those of which it holds most and rarest trigrams come first."""
        text = fold(question)
        found: dict[int, float] = defaultdict(float)
        for gram in trigrams(text):
            for number in self._postings.get(gram, ()):
                found[number] += self._idf[gram]
        words, spelled = set(_WORD.findall(text)) | set(_DECIMAL.findall(text)), set(_WORD.findall(question))
        ranked = []
        for number, weight in found.items():
            share = weight / self._weights[number]
            value = self._texts[number]
            if self._is_code(number):
                # AND and ARE are countries only where they are spelled so.
                share = float(any(place[2] in spelled for place in self._places[number]))
            elif value.replace(".", "").isdigit():
                share = float(value in words)
            if share >= THRESHOLD:
                ranked.append((-weight, number, share))
        hits: list[Hit] = []
        for _, number, share in sorted(ranked):
            hits += [Hit(table, column, value, min(1.0, share)) for table, column, value in self._places[number]]
            if len(hits) >= limit:
                break
        return hits[:limit]

    def _is_code(self, number: int) -> bool:
        text = self._texts[number]
        capitals = all(place[2].isupper() for place in self._places[number])
        return len(text) <= SHORT and (capitals or len(text) < SHORT) and not _UNSPACED.search(text)


def fold(text: str) -> str:
    """Lower case without accents and in one width, for comparison only."""
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).casefold().split())


def trigrams(text: str) -> set[str]:
    """Trigrams of each word, its ends marked; of a script without spaces, its single characters and pairs."""
    grams: set[str] = set()
    for word in _WORD.findall(text):
        if _UNSPACED.search(word):
            grams.update(word)
            grams.update(word[start : start + 2] for start in range(len(word) - 1))
            continue
        padded = f" {word} "
        grams.update(padded[start : start + 3] for start in range(len(padded) - 2))
    return grams


def value_index(path: Path | str) -> ValueIndex:
    """The index of a database file, built once for each state of the file."""
    from apps.text2sql.execution.database import fingerprint

    return _value_index(str(path), fingerprint(str(path)))


@lru_cache(maxsize=64)
def _value_index(path: str, _fingerprint: tuple[Any, ...]) -> ValueIndex:
    from apps.text2sql.execution.database import open_database

    database = open_database(path)
    try:
        return ValueIndex(text_values(database, database.schema()))
    finally:
        database.close()


def text_values(database: Database, schema: Schema) -> Iterable[tuple[str, str, str]]:
    """Distinct values of the text columns, at most `PER_COLUMN` of each and `TOTAL` in all."""
    left = TOTAL
    for table in schema.tables:
        for column in table.columns:
            if left <= 0 or not may_hold_text(column):
                continue
            for value in distinct_values(database, table.name, column.name, min(PER_COLUMN, left)):
                if isinstance(value, str):
                    left -= 1
                    yield table.name, column.name, value


def may_hold_text(column: Column) -> bool:
    """Whether a column's declared type lets it hold words; SQLite takes any name for a type, and none at all."""
    kind = column.type.lower()
    return not kind or any(name in kind for name in ("char", "text", "clob", "string", "enum", "json", "uuid"))


def distinct_values(database: Database, table: str, column: str, limit: int) -> Sequence[object]:
    """Up to `limit` distinct values in the table's order; of the first rows only, where the whole takes too long."""
    name, source = (quoted_always(word, database.dialect) for word in (column, table))
    whole = f"SELECT DISTINCT {name} FROM {source} WHERE {name} IS NOT NULL LIMIT {limit}"
    part = (
        f"SELECT DISTINCT {name} FROM (SELECT {name} FROM {source} LIMIT {4 * limit}) AS part WHERE {name} IS NOT NULL"
    )
    for sql in (whole, part):
        execution = database.run(sql)
        if execution.status == "ok":
            return [row[0] for row in execution.rows]
    return []
