"""What the audit of the SQL reward measures: controls must lose, mutants must be seen, languages must agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from apps.text2sql.execution.sql_words import quoted_always
from apps.text2sql.execution.statement import Refused
from apps.text2sql.meaning.mutations import Values, mutate
from apps.text2sql.parts.components import ContrastiveSemantic, Execution, Ngram, PartialResult, SchemaLinking
from apps.text2sql.parts.contrastive import Pool
from apps.text2sql.parts.grading import NO_VERDICT, Grader, modified, schema_of
from apps.text2sql.reward_config import RewardConfig
from apps.text2sql.verdicts.verdict import Verdict
from common.rewards.base import Reward
from common.stats import Interval, bootstrap, wilson

if TYPE_CHECKING:
    from apps.text2sql.data import Example

Columns = dict[str, Any]

#: A score this far below the gold's counts as lower.
TIE = 1e-4
MUTANTS = 10


def columns_of(examples: Sequence[Example], style: str) -> Columns:
    """Reward columns with the gold as the completion."""
    return {
        "completion": [spoken(example.sql, style) for example in examples],
        "question": [example.question for example in examples],
        "language": [example.language for example in examples],
        "database": [str(example.path) for example in examples],
        "gold": [example.sql for example in examples],
        "dialect": [example.dialect for example in examples],
    }


def spoken(sql: str, style: str) -> str:
    """A query as a completion of the given style."""
    return sql if style == "pocket" else f"<think>So.</think>\n<answer>\n```sql\n{sql}\n```\n</answer>"


def controls(style: str) -> dict[str, Callable[[Mapping[str, Any]], Columns]]:
    """Completions that a lazy, a broken and a hostile policy would write; every one must score below the gold."""

    def said(write: Callable[[str, str], str]) -> Callable[[Mapping[str, Any]], Columns]:
        def change(columns: Mapping[str, Any]) -> Columns:
            rows = zip(columns["question"], columns["database"], strict=True)
            texts = [spoken(write(question, _first_table(database)), style) for question, database in rows]
            return {**columns, "completion": texts}

        return change

    return {
        "select_1": said(lambda question, table: "SELECT 1"),
        "whole_table": said(lambda question, table: f'SELECT * FROM "{table}"'),
        "question_in_comment": said(lambda question, table: f'SELECT -1 FROM "{table}" -- {_line(question)}'),
        "question_as_text": said(lambda question, table: f"SELECT {_text(question)}"),
        "question_as_name": said(lambda question, table: f'SELECT 1 AS {_name(question)} FROM "{table}"'),
        "delete": said(lambda question, table: f'DELETE FROM "{table}"'),
        "broken": said(lambda question, table: f'SELECT FROM WHERE "{table}"'),
    }


def padded(columns: Mapping[str, Any]) -> Columns:
    """The same queries with comments around them."""
    return {**columns, "completion": [f"-- so it is\n{text} -- and so on" for text in columns["completion"]]}


def _line(text: str) -> str:
    return " ".join(text.split())


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return quoted_always(_line(text))


def _first_table(database: str) -> str:
    tables = schema_of(database).tables
    return tables[0].name if tables else "t"


@dataclass(frozen=True)
class TriedMutant:
    """One mutant of one gold.

    Attributes:
        row: row of its gold.
        operator: what was changed.
        sql: the mutant.
        verdict: what execution says of it.
    """

    row: int
    operator: str
    sql: str
    verdict: Verdict


def try_mutants(grader: Grader, columns: Columns, rows: Sequence[int], seed: int = 0) -> list[TriedMutant]:
    """Mutate the golds of the given rows, literals into other values of the same column, and execute them all."""
    found: list[tuple[int, str, str]] = []
    for row in rows:
        database, gold, dialect = columns["database"][row], columns["gold"][row], columns["dialect"][row]
        try:
            mutations = mutate(gold, schema_of(database), seed, dialect, column_values(database), MUTANTS)
        except Refused:
            continue
        found += [(row, mutation.operator, mutation.sql) for mutation in mutations]
    places = [row for row, _, _ in found]
    graded = grader(
        {
            "completion": [sql for _, _, sql in found],
            **{name: [columns[name][row] for row in places] for name in ("database", "gold", "dialect")},
        }
    )
    return [TriedMutant(*one, outcome.verdict) for one, outcome in zip(found, graded, strict=True)]


def column_values(database: str, most: int = 20) -> Values:
    """Some different texts of each text column, for realistic wrong literals."""
    return _values(database, modified(database), most)


@lru_cache(maxsize=64)
def _values(path: str, _modified: int, most: int) -> Values:
    from apps.text2sql.execution.database import open_database

    database = open_database(path)
    try:
        found: dict[tuple[str, str], list[str]] = {}
        for table in database.schema().tables:
            for column in table.columns:
                name, source = (quoted_always(word, database.dialect) for word in (column.name, table.name))
                result = database.run(f"SELECT DISTINCT {name} FROM {source} LIMIT {most}")
                texts = [row[0] for row in result.rows if isinstance(row[0], str) and len(row[0]) <= 60]
                if texts:
                    found[(table.name.lower(), column.name.lower())] = texts
        return found
    finally:
        database.close()


@dataclass(frozen=True)
class OperatorStrength:
    """What execution and the parts make of one operator's mutants.

    Attributes:
        operator: what was changed.
        tried: mutants.
        equivalent: those with the gold's result on this data: no test of the reward.
        unjudged: those execution cannot judge (empty, ambiguous, gold fails).
        execution: share killed by execution, of those it judged.
        parts: by part, the share of the killed that it scores below the gold.
    """

    operator: str
    tried: int
    equivalent: int
    unjudged: int
    execution: Interval
    parts: Mapping[str, Interval]


def strengths(
    mutants: Sequence[TriedMutant], columns: Columns, parts: Mapping[str, Reward], style: str
) -> list[OperatorStrength]:
    """Kill rates by operator; the row `all` comes last."""
    scores = {name: mutant_drops(part, mutants, columns, style) for name, part in parts.items()}
    operators = sorted({mutant.operator for mutant in mutants})
    groups = {operator: [at for at, m in enumerate(mutants) if m.operator == operator] for operator in operators}
    groups["all"] = list(range(len(mutants)))
    return [_strength(operator, places, mutants, scores) for operator, places in groups.items()]


def _strength(
    operator: str, places: Sequence[int], mutants: Sequence[TriedMutant], drops: Mapping[str, Sequence[float]]
) -> OperatorStrength:
    unjudged = [at for at in places if mutants[at].verdict in NO_VERDICT]
    equivalent = [at for at in places if mutants[at].verdict is Verdict.CORRECT]
    killed = [
        at for at in places if mutants[at].verdict not in NO_VERDICT and mutants[at].verdict is not Verdict.CORRECT
    ]
    seen = {name: [values[at] > TIE for at in killed if not math.isnan(values[at])] for name, values in drops.items()}
    return OperatorStrength(
        operator,
        len(places),
        len(equivalent),
        len(unjudged),
        wilson(len(killed), len(killed) + len(equivalent)),
        {name: wilson(sum(values), len(values)) for name, values in seen.items()},
    )


def mutant_drops(reward: Reward, mutants: Sequence[TriedMutant], columns: Columns, style: str) -> list[float]:
    """How far each mutant scores below its gold; NaN where one of them could not be scored."""
    rows = sorted({mutant.row for mutant in mutants})
    golds = dict(zip(rows, reward(**_rows(columns, rows)).values.tolist(), strict=True)) if rows else {}
    placed = _rows(columns, [mutant.row for mutant in mutants])
    placed["completion"] = [spoken(mutant.sql, style) for mutant in mutants]
    values = reward(**placed).values.tolist() if mutants else []
    return [golds[mutant.row] - value for mutant, value in zip(mutants, values, strict=True)]


def _rows(columns: Columns, rows: Sequence[int]) -> Columns:
    return {name: [values[row] for row in rows] for name, values in columns.items()}


def part_rewards(config: RewardConfig, pool: Pool) -> dict[str, Reward]:
    """The parts on their own, whatever the recipe: what each of them sees."""
    grader = Grader(config.workers, config.preset)
    return {
        "contrastive": ContrastiveSemantic(grader, config.encoder, pool, device=config.device),
        "linking": SchemaLinking(grader),
        "ngram": Ngram(grader),
        "partial": PartialResult(grader),
        "execution": Execution(grader),
    }


@dataclass(frozen=True)
class LanguageSpread:
    """How far apart one query scores when the same question is asked in several languages.

    Attributes:
        mean: mean over queries of highest − lowest score among the languages.
        largest: the greatest such distance.
        by_language: mean score in each language.
        queries: queries compared.
    """

    mean: Interval
    largest: float
    by_language: Mapping[str, Interval]
    queries: int


def language_spread(
    reward: Reward, examples: Sequence[Example], mutants: Sequence[TriedMutant], style: str, each: int = 3
) -> LanguageSpread | None:
    """Score each gold and up to `each` of its wrong mutants under every translation of its question.

    Returns:
        None where no question comes in two languages.
    """
    groups: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        if example.parallel:
            groups.setdefault(example.parallel, []).append(row)
    wrong: dict[str, list[str]] = {}
    for mutant in mutants:
        if mutant.verdict is Verdict.WRONG:
            wrong.setdefault(examples[mutant.row].parallel, []).append(mutant.sql)
    asked: list[tuple[int, str, tuple[str, int]]] = []
    for group, rows in groups.items():
        if len({examples[row].language for row in rows}) > 1:
            candidates = [examples[rows[0]].sql, *wrong.get(group, [])[:each]]
            asked += [(row, sql, (group, number)) for number, sql in enumerate(candidates) for row in rows]
    if not asked:
        return None
    placed = _rows(columns_of(examples, style), [row for row, _, _ in asked])
    placed["completion"] = [spoken(sql, style) for _, sql, _ in asked]
    values = reward(**placed).values.tolist()
    by_query: dict[tuple[str, int], list[float]] = {}
    by_language: dict[str, list[float]] = {}
    for (row, _, query), value in zip(asked, values, strict=True):
        if not math.isnan(value):
            by_query.setdefault(query, []).append(value)
            by_language.setdefault(examples[row].language, []).append(value)
    spreads = {query: max(found) - min(found) for query, found in by_query.items() if len(found) > 1}
    return LanguageSpread(
        bootstrap(list(spreads.values()), groups=[group for group, _ in spreads]),
        max(spreads.values(), default=math.nan),
        {language: bootstrap(by_language[language]) for language in sorted(by_language)},
        len(spreads),
    )
