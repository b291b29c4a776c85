"""Draws the questions of each split and makes examples of them.

Training and held-out questions never share a pair of database and SQL:

* `demonstrations` is what the supervised pocket model is made from: questions about hundreds of recombined databases
  (`recombine.py`);
* `train` asks about the named databases, which no demonstration is about: there reinforcement learns from results;
* `heldout_compositions` asks, about the same databases, for pairs of features that neither of the two above ever shows
  together (`HELD_OUT_PAIRS`);
* `heldout_databases` asks about databases that none of the others is about;
* `dev` takes, from the databases of `train`, the queries whose hash falls into a reserved bucket.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.text2sql.data import LANGUAGES, Example
from apps.text2sql.pocket.databases import database_files
from apps.text2sql.pocket.facts import facts
from apps.text2sql.pocket.fairness import is_fair
from apps.text2sql.pocket.grammar import FAMILIES
from apps.text2sql.pocket.hardness import hardness
from apps.text2sql.pocket.languages import say
from apps.text2sql.pocket.meaning import Query
from apps.text2sql.pocket.recombine import RECOMBINED, find_database
from apps.text2sql.pocket.sql import to_sql
from apps.text2sql.pocket.world import (
    HELD_OUT_DATABASES,
    TRAINING_DATABASES,
)
from common.errors import UsageError

SPLITS = ("demonstrations", "train", "dev", "heldout_compositions", "heldout_databases", "heldout")

# Questions a split has in each language when no limit is given.
SIZES = {"demonstrations": 8000, "train": 8000, "dev": 300, "heldout_compositions": 300, "heldout_databases": 300}
_DEV_PERCENT = 6
_DATABASES = {
    "demonstrations": RECOMBINED,
    "train": TRAINING_DATABASES,
    "dev": TRAINING_DATABASES,
    "heldout_compositions": TRAINING_DATABASES,
    "heldout_databases": HELD_OUT_DATABASES,
}
# Splits to train on, with a mixture of families of their own.
_MIXED = ("demonstrations", "train")
_TRIES, _PATIENCE = 100, 4

# Pairs of features never seen together in training; every feature of a pair is seen there without the other.
HELD_OUT_PAIRS: tuple[tuple[str, str], ...] = (
    ("aggregate:max", "join"),
    ("aggregate:sum", "op:like"),
    ("frame:count", "op:between"),
    ("frame:count", "op:!="),
    ("frame:sort", "op:like"),
    ("frame:sort", "kind:date"),
    ("frame:distinct", "op:>="),
    ("frame:top", "op:<"),
    ("frame:group_aggregate", "aggregate:min"),
    ("frame:parent_group", "aggregate:avg"),
    ("frame:join_list", "op:<="),
    ("family:join_filter", "op:between"),
    ("family:join_two_hops", "op:<"),
    ("family:nested_in", "op:<="),
    ("family:nested_not_in", "op:>"),
    ("family:extreme", "kind:year"),
    ("family:filter_or", "op:like"),
    ("family:filter_and", "op:>="),
    ("family:child_most", "table:author"),
    ("family:child_count", "table:team"),
    ("family:having", "table:car"),
    ("family:group_top", "table:animal"),
    ("family:count_known", "table:player"),
    ("family:nested_average", "table:animal"),
)

# Families with few different questions would be repeated too often at equal weight, and vice versa.
_WEIGHTS = {
    "select": 0.5,
    "select_two": 0.7,
    "filter_and": 1.3,
    "count": 1.5,
    "aggregate": 1.5,
    "child_count": 0.6,
    "child_most": 0.6,
    "union": 0.5,
    "intersect": 0.5,
    "count_known": 0.6,
}


@dataclass(frozen=True)
class Question:
    """A question before it is said in any language."""

    database: str
    query: Query
    sql: str


def features(query: Query, database: str) -> tuple[str, ...]:
    """What a question is made of: its family first, then frame, table, aggregates, operators and clauses, sorted."""
    schema = find_database(database)
    population, found = query.population, {f"frame:{query.frame}", f"table:{query.population.table}"}
    found |= {f"aggregate:{a}" for a in query.aggregates}
    for part in (population, *([query.other] if query.other else [])):
        table = schema[part.path[-1] if part.path else part.child or part.table]
        for condition in part.where:
            found |= {f"op:{condition.op}", f"kind:{table.concept(condition.column).kind}"}
    if query.column:
        found.add(f"kind:{schema[population.table].concept(query.column).kind}")
    if population.path or query.linked or population.at_least:
        found.add("join")
    if query.group or query.frame == "parent_group" or population.at_least:
        found.add("group" if query.frame != "combine" else "set")
    if population.child and not population.at_least:
        found.add("nested")
    if query.frame in ("top", "sort"):
        found.add("order")
    return (query.family, *sorted(found))


def is_held_out(query: Query, database: str) -> bool:
    """The question shows a pair of features that is kept from training."""
    found = {*features(query, database), f"family:{query.family}"}
    return any(first in found and second in found for first, second in HELD_OUT_PAIRS)


def _bucket(database: str, sql: str) -> int:
    return hashlib.blake2b(f"{database}\t{sql}".encode(), digest_size=4).digest()[0] * 100 // 256


def questions(split: str, count: int, seed: int = 0) -> Iterator[Question]:
    """Up to `count` different questions of one of the basic splits, in a random order that `seed` fixes."""
    rng = random.Random(f"pocket/{split}/{seed}")
    names = _DATABASES[split]
    # Training has its own mixture; the other splits go round the families, so that each counts alike.
    weights = {family: _WEIGHTS.get(family, 1.0) for family in FAMILIES}
    deck: list[str] = []
    failures = dict.fromkeys(FAMILIES, 0)
    seen: set[tuple[str, str]] = set()
    while weights and len(seen) < count:
        if not deck:
            names_left, shares = list(weights), list(weights.values())
            deck = (
                rng.choices(names_left, shares, k=64) if split in _MIXED else rng.sample(names_left, len(names_left))
            )
        family = deck.pop()
        if family not in weights:
            continue
        question = _draw_new(rng, family, names, split, seen)
        if question:
            failures[family] = 0
            seen.add((question.database, question.sql))
            yield question
            continue
        failures[family] += 1
        if failures[family] == _PATIENCE:  # every question of this family has been asked
            del weights[family]


def _draw_new(
    rng: random.Random, family: str, names: Sequence[str], split: str, seen: set[tuple[str, str]]
) -> Question | None:
    for _ in range(_TRIES):
        question = _draw(rng, family, rng.choice(names), split)
        if question and (question.database, question.sql) not in seen:
            return question
    return None


def _draw(rng: random.Random, family: str, name: str, split: str) -> Question | None:
    known = facts(name)
    query = FAMILIES[family](rng, known)
    if query is None or is_held_out(query, name) != (split == "heldout_compositions"):
        return None
    sql = to_sql(query, known.database)
    if split in (*_MIXED, "dev") and (_bucket(name, sql) < _DEV_PERCENT) != (split == "dev"):
        return None
    return Question(name, query, sql) if is_fair(query, known) else None


def load_pocket(
    split: str,
    languages: Sequence[str] = LANGUAGES,
    limit: int | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> list[Example]:
    """Examples of the pocket world: every question in every language asked for, with the same SQL.

    Args:
        split: one of `SPLITS`; `heldout` is half `heldout_compositions`, half `heldout_databases`.
        languages: codes of `LANGUAGES`.
        limit: at most so many examples, all languages together; `limit // len(languages)` questions (at least one)
            are taken, each in all languages. None takes `SIZES` questions.
        seed: other questions for other seeds; same seed, same examples, also in another process.
        folder: where the database files are (built if missing); None as in `databases.database_files`.

    Returns:
        Examples, the translations of a question one after another. A shorter list is a prefix of a longer one.

    Raises:
        UsageError: an unknown split or language.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown pocket split {split!r}; the splits are: {', '.join(SPLITS)}")
    unknown = [code for code in languages if code not in LANGUAGES]
    if unknown or not languages:
        raise UsageError(
            f"unknown language {', '.join(map(repr, unknown)) or '(none)'}; known: {', '.join(LANGUAGES)}"
        )
    wanted = None if limit is None else max(1, limit // len(languages))
    examples: list[Example] = []
    drawn = list(_numbered(split, wanted, seed))
    paths = database_files({question.database for _, _, question in drawn}, folder)
    for part, number, question in drawn:
        examples += _examples(question, f"pocket-{part}-{seed}-{number}", languages, paths[question.database])
    return examples


def _numbered(split: str, count: int | None, seed: int) -> Iterator[tuple[str, int, Question]]:
    if split != "heldout":
        stream = questions(split, SIZES[split] if count is None else count, seed)
        yield from ((split, number, question) for number, question in enumerate(stream))
        return
    parts = ("heldout_compositions", "heldout_databases")
    total = sum(SIZES[part] for part in parts) if count is None else count
    streams = [questions(part, (total + 1 - place) // 2, seed) for place, part in enumerate(parts)]
    for number in range(total):
        question = next(streams[number % 2], None)
        if question is not None:
            yield parts[number % 2], number // 2, question


def _examples(question: Question, parallel: str, languages: Sequence[str], path: Path) -> Iterator[Example]:
    database = find_database(question.database)
    level, tags = hardness(question.sql), features(question.query, question.database)
    for language in languages:
        rng = random.Random(f"{parallel}/{language}")
        yield Example(
            id=f"{parallel}-{language}",
            question=say(question.query, database, language, rng),
            language=language,
            database=question.database,
            path=path,
            sql=question.sql,
            hardness=level,
            tags=tags,
            parallel=parallel,
        )
