"""What a prediction is worth against a gold query on one database: a verdict, not a bool."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from apps.text2sql.execution.database import Database, Execution, refusal
from apps.text2sql.execution.statement import Refused, Statement, parse_query, strip_distinct, translate
from apps.text2sql.verdicts import conventions
from apps.text2sql.verdicts.compare import FULL, Overlap, overlap, same
from apps.text2sql.verdicts.inner_ties import inner_choices
from apps.text2sql.verdicts.ties import Legal, is_cut, is_ordered, legal_rows
from common.errors import UsageError


class Verdict(str, Enum):
    """How a prediction ended.

    `correct`, `correct_empty`, `wrong` and `ambiguous` come from a comparison; the others are nobody's convention.
    """

    CORRECT = "correct"
    CORRECT_EMPTY = "correct_empty"
    WRONG = "wrong"
    INVALID = "invalid"
    REJECTED = "rejected"
    PRED_ERROR = "pred_error"
    GOLD_ERROR = "gold_error"
    TIMEOUT = "timeout"
    LIMIT = "limit"
    AMBIGUOUS = "ambiguous"


_FAILURES = {
    "invalid": Verdict.INVALID,
    "rejected": Verdict.REJECTED,
    "error": Verdict.PRED_ERROR,
    "timeout": Verdict.TIMEOUT,
    "limit": Verdict.LIMIT,
}


@dataclass(frozen=True)
class Preset:
    """A convention for comparing two results that both ran.

    Attributes:
        name: as on the command line.
        summary: one line.
        matches: gold execution, predicted execution and gold text to a match; None for our own rules.
        strip_distinct: compare the queries without their DISTINCT keywords.
    """

    name: str
    summary: str
    matches: Callable[[Execution, Execution, str], bool] | None = None
    strip_distinct: bool = False


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("strict", "bags, outermost ORDER BY, ties, exact integers, floats within 1e-6"),
        Preset("bird", "sets of rows", conventions.bird),
        Preset("spider_testsuite", "bags, columns permuted, DISTINCT stripped", conventions.spider_testsuite, True),
        Preset("spider2", "columns within 1e-2, NULL is 0, extra columns allowed", conventions.spider2),
        Preset("defog", "data frames, exact or subset", conventions.defog),
    )
}


def find_preset(preset: str | Preset) -> Preset:
    """The preset of that name.

    Raises:
        UsageError: there is none.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[preset]


@dataclass(frozen=True)
class Judgement:
    """The outcome of one prediction.

    Attributes:
        verdict: see `Verdict`.
        code: why, for machines: `columns`, `row_count`, `order`, `values` for wrong results, else the execution's.
        reason: why, for people; one line.
        flags: of the prediction: `no_table` (a constant that is right on this database only), `nondeterministic`,
            `double_quoted_literal` (SQLite read a name in double quotes as text); `gold_nondeterministic`.
        gold: its execution; rows only where they were asked for.
        pred: likewise; None where the gold already failed.
        overlap: how much of the result is right; None where there is nothing to compare.
    """

    verdict: Verdict
    code: str = ""
    reason: str = ""
    flags: frozenset[str] = frozenset()
    gold: Execution | None = None
    pred: Execution | None = None
    overlap: Overlap | None = None


class Reference:
    """A gold query on one database: run once, however many predictions it is held against.

    Args:
        database: where both run.
        sql: the gold text, or a query made from it.
        dialect: the text's dialect; the database's own if not given.
    """

    def __init__(self, database: Database, sql: str | Statement, dialect: str | None = None) -> None:
        self.database = database
        self.text = sql if isinstance(sql, str) else sql.sql
        self.statement: Statement | None = None
        try:
            parsed = parse_query(sql, dialect or database.dialect) if isinstance(sql, str) else sql
            self.statement = translate(parsed, database.dialect)
            self.execution = database.run(self.statement)
        except Refused as refused:
            self.execution = refusal(refused)
        self._stripped: Execution | None = None
        self._legal: Legal | None = None
        self._legal_known = False
        self._others: list[Reference] | None = None
        self._complete = True

    @property
    def ordered(self) -> bool:
        """Whether the gold fixes the order of its rows."""
        return self.statement is not None and is_ordered(self.statement.tree)

    def stripped(self) -> Execution:
        """The execution without DISTINCT, or as it is where that does not run."""
        if self._stripped is None:
            self._stripped = without_distinct(self.database, self.statement, self.execution)
        return self._stripped

    def legal(self) -> Legal | None:
        """The rows the result was chosen from; None where that cannot be had."""
        if not self._legal_known and self.statement is not None:
            self._legal = legal_rows(self.database, self.statement, self.execution)
            self._legal_known = True
        return self._legal

    def others(self) -> tuple[list[Reference], bool]:
        """Other legal readings of the gold whose result differs, and whether these are all.

        From every way to settle the LIMITs inside it and, in SQLite, from visiting rows in reverse, which shows
        whatever else the text leaves open (columns outside GROUP BY, the order of group_concat).
        """
        if self._others is None and self.statement is not None:
            variants = inner_choices(self.database, self.statement)
            self._complete = variants.complete
            found = []
            start = time.monotonic()
            for variant in variants.statements:
                found.append(Reference(self.database, variant))
                if time.monotonic() - start > self.database.limits.seconds:
                    self._complete = False
                    break
            backwards = self.database.reversed()
            if backwards is not None:
                found.append(Reference(backwards, self.statement))
            self._others = [
                other for other in found if other.execution.ok and other.execution.rows != self.execution.rows
            ]
        return self._others or [], self._complete


def without_distinct(database: Database, statement: Statement | None, execution: Execution) -> Execution:
    """Run a query again without DISTINCT; the execution it had where there is none or that fails."""
    if statement is None or "distinct" not in statement.flags:
        return execution
    again = database.run(strip_distinct(statement))
    return again if again.ok else execution


def judge(
    database: Database, gold: str, pred: str, preset: str | Preset = "strict", dialect: str | None = None
) -> Judgement:
    """Run both queries on `database` and compare the results.

    Neither run can change the database or the other run. Whatever is wrong with either text comes back as a verdict.

    Args:
        database: open database.
        gold: the query taken as right.
        pred: the query to judge.
        preset: how results are compared; what runs at all is the same for every preset.
        dialect: of both texts; the database's own if not given. Other dialects are translated by sqlglot.

    Raises:
        UsageError: unknown preset.
    """
    return judge_against(Reference(database, gold, dialect), pred, preset, dialect)


def judge_against(
    reference: Reference, pred: str, preset: str | Preset = "strict", dialect: str | None = None
) -> Judgement:
    """Like `judge`, for a gold that has already run."""
    preset = find_preset(preset)
    gold = reference.execution
    if not gold.ok:
        return Judgement(Verdict.GOLD_ERROR, gold.code, f"gold: {gold.reason}", gold=gold)
    database = reference.database
    try:
        statement = translate(parse_query(pred, dialect or database.dialect), database.dialect)
    except Refused as refused:
        execution = refusal(refused)
        return Judgement(_FAILURES[execution.status], execution.code, execution.reason, gold=gold, pred=execution)
    execution = database.run(statement)
    flags = _flags(reference, statement, database)
    if not execution.ok:
        verdict = _FAILURES[execution.status]
        return Judgement(verdict, execution.code, execution.reason, flags, gold, execution)
    verdict, code, reason = _compare(reference, statement, execution, preset)
    if verdict in (Verdict.CORRECT, Verdict.CORRECT_EMPTY):
        shared = FULL
    else:
        shared = overlap(gold.rows, execution.rows, reference.ordered)
    return Judgement(verdict, code, reason, flags, gold, execution, shared)


def _flags(reference: Reference, statement: Statement, database: Database) -> frozenset[str]:
    flags = set(statement.flags & {"no_table", "nondeterministic"})
    if not all(map(database.knows, statement.quoted)):
        flags.add("double_quoted_literal")
    if reference.statement is not None and "nondeterministic" in reference.statement.flags:
        flags.add("gold_nondeterministic")
    return frozenset(flags)


Outcome = tuple[Verdict, str, str]
_WRONG_ORDER: Outcome = (Verdict.WRONG, "order", "the right rows in the wrong order")


def _compare(reference: Reference, statement: Statement, pred: Execution, preset: Preset) -> Outcome:
    gold = reference.execution
    if preset.matches is None:
        return _strict(reference, statement, pred)
    if preset.strip_distinct:
        gold = reference.stripped()
        pred = without_distinct(reference.database, statement, pred)
    if preset.matches(gold, pred, reference.text):
        empty = not gold.rows and not pred.rows
        return (Verdict.CORRECT_EMPTY, "empty", "both results are empty") if empty else (Verdict.CORRECT, "", "")
    return Verdict.WRONG, *_difference(gold, pred)


def _difference(gold: Execution, pred: Execution) -> tuple[str, str]:
    if len(gold.columns) != len(pred.columns):
        return "columns", f"{len(pred.columns)} columns, the gold has {len(gold.columns)}"
    if len(gold.rows) != len(pred.rows):
        return "row_count", f"{len(pred.rows)} rows, the gold has {len(gold.rows)}"
    return "values", "the values differ"


def _strict(reference: Reference, statement: Statement, pred: Execution) -> Outcome:
    """Bags of rows; ordered groups of equal key under an outermost ORDER BY; `ambiguous` for other legal results."""
    gold = reference.execution
    gold_flags = reference.statement.flags if reference.statement is not None else frozenset()
    if len(gold.columns) != len(pred.columns):
        return Verdict.WRONG, *_difference(gold, pred)
    random_gold = "nondeterministic" in gold_flags and "clock" not in gold_flags
    if random_gold:
        return _against_random(reference, pred)
    match = agrees(reference, pred)
    if match == "equal":
        if "nondeterministic" in statement.flags and not _is_stable(reference, statement):
            return Verdict.WRONG, "nondeterministic", "right by luck: run again, it gives something else"
        empty = not gold.rows
        return (Verdict.CORRECT_EMPTY, "empty", "both results are empty") if empty else (Verdict.CORRECT, "", "")
    if match == "legal":
        return Verdict.AMBIGUOUS, "tie", "another legal choice among rows that tie in the gold"
    if match == "unknown":
        return Verdict.AMBIGUOUS, "tie_unproven", "the gold leaves rows or their order open and ties cannot be settled"
    if "clock" in gold_flags:
        return Verdict.AMBIGUOUS, "clock", "the gold depends on the time it is run"
    others, complete = reference.others()
    for other in others:
        if agrees(other, pred) in ("equal", "legal"):
            return Verdict.AMBIGUOUS, "inner_tie", "equal to another legal result of the gold"
    if others and not complete:
        return Verdict.AMBIGUOUS, "inner_tie_unproven", "a LIMIT inside the gold cuts through a tie"
    if match == "order":
        return _WRONG_ORDER
    return Verdict.WRONG, *_difference(gold, pred)


def agrees(reference: Reference, pred: Execution) -> str:
    """How a result relates to the gold's choices at its outermost level.

    Returns:
        `equal` (to the gold's own result, up to the order it leaves open), `legal` (another result it may give),
        `unknown` (may be either, or wrong), `order` (its rows in an order it does not allow), or `different`.
    """
    gold, statement = reference.execution, reference.statement
    if statement is None or len(gold.columns) != len(pred.columns) or len(gold.rows) != len(pred.rows):
        return "different"
    if gold.rows == pred.rows:
        return "equal"
    places = range(len(gold.rows))
    ordered, limited = is_ordered(statement.tree), is_cut(statement.tree)
    if same(gold.rows, pred.rows, places, places) if ordered else same(gold.rows, pred.rows):
        return "equal"
    as_bags = ordered and same(gold.rows, pred.rows)
    if not (as_bags or limited):
        return "different"
    legal = reference.legal()
    labels = legal.labels(len(gold.rows)) if legal is not None else None
    if legal is None or labels is None:
        return "unknown" if as_bags or _is_part(reference, pred) else "different"
    if same(gold.rows, pred.rows, labels, labels):
        return "equal"
    if same(legal.rows, pred.rows, legal.ranks, labels, whole=False):
        return "legal"
    return "order" if as_bags else "different"


def _is_part(reference: Reference, pred: Execution) -> bool:
    """Whether the predicted rows are among those of the gold without its LIMIT; True where that cannot be known."""
    if reference.statement is None:
        return False
    tree = reference.statement.tree.copy()
    for part in ("order", "limit", "offset"):
        tree.set(part, None)
    everything = reference.database.run(tree.sql(dialect=reference.statement.dialect))
    return not everything.ok or same(everything.rows, pred.rows, whole=False)


def _against_random(reference: Reference, pred: Execution) -> Outcome:
    """A gold with random numbers: right only where they do not matter, ambiguous where the prediction may be legal."""
    gold, statement = reference.execution, reference.statement
    assert statement is not None
    if is_cut(statement.tree):
        legal = reference.legal()
        if legal is not None and not legal.choice(len(gold.rows)) and agrees(reference, pred) == "equal":
            return Verdict.CORRECT if gold.rows else Verdict.CORRECT_EMPTY, "", ""
        if agrees(reference, pred) == "different":
            return Verdict.WRONG, *_difference(gold, pred)
    elif _is_stable(reference, statement):
        match = agrees(reference, pred)
        if match == "equal":
            return Verdict.CORRECT if gold.rows else Verdict.CORRECT_EMPTY, "", ""
        if match == "order":
            return _WRONG_ORDER
        return Verdict.WRONG, *_difference(gold, pred)
    return Verdict.AMBIGUOUS, "nondeterministic", "the gold draws random numbers"


def _is_stable(reference: Reference, statement: Statement) -> bool:
    """Whether a query with random numbers keeps giving the gold's result."""
    return all(agrees(reference, reference.database.run(statement)) == "equal" for _ in range(3))
