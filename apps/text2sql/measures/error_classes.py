"""In what respect a wrong query differs from the gold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.text2sql.execution.statement import Refused
from apps.text2sql.measures.clauses import read_clauses
from apps.text2sql.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema
    from apps.text2sql.verdicts.verdict import Judgement

#: First those that stop a query from running, then the respects in which two queries can differ.
CLASSES = (
    "syntax",
    "refused",
    "limits",
    "runtime",
    "schema",
    "join",
    "nesting",
    "aggregate",
    "filter",
    "order_limit",
    "distinct",
    "value",
    "other",
)

_STOPPED = {
    Verdict.INVALID: "syntax",
    Verdict.REJECTED: "refused",
    Verdict.TIMEOUT: "limits",
    Verdict.LIMIT: "limits",
}
#: How SQLite, DuckDB, PostgreSQL and MySQL say that a name does not exist or is not unique.
_NAME_ERRORS = ("no such column", "no such table", "ambiguous column", "does not exist", "not found", "unknown column")


def error_classes(
    judgement: Judgement, pred: str, gold: str, schema: Schema, dialect: str = "sqlite"
) -> tuple[str, ...]:
    """The classes of one failure, in the order of `CLASSES`; empty where the prediction is not wrong."""
    if judgement.verdict in _STOPPED:
        return (_STOPPED[judgement.verdict],)
    if judgement.verdict is Verdict.PRED_ERROR:
        names = any(error in judgement.reason.lower() for error in _NAME_ERRORS)
        return ("schema",) if names else ("runtime",)
    return differences(pred, gold, schema, dialect) if judgement.verdict is Verdict.WRONG else ()


def differences(pred: str, gold: str, schema: Schema, dialect: str = "sqlite") -> tuple[str, ...]:
    """The respects in which two queries differ, by their clauses; `other` where none is found.

    `schema`: other columns in the select list. `join`: other tables or join conditions. `nesting`: another number of
    nested or combined queries, or a difference inside one that nothing else names. `aggregate`: other aggregate
    functions or groups. `filter`: other conditions. `value`: the same conditions with other values. `order_limit`,
    `distinct`: as they say.
    """
    try:
        ours, theirs = (read_clauses(sql, schema, dialect) for sql in (pred, gold))
        exact = tuple(read_clauses(sql, schema, dialect, values=True) for sql in (pred, gold))
    except Refused:
        return ("other",)
    found = {
        "schema": ours.columns != theirs.columns,
        "join": ours.tables != theirs.tables or ours.on != theirs.on,
        "nesting": ours.nested != theirs.nested or ours.combined[::3] != theirs.combined[::3],
        "aggregate": (ours.aggregates, ours.group) != (theirs.aggregates, theirs.group),
        "filter": (ours.where, ours.having, ours.alternatives) != (theirs.where, theirs.having, theirs.alternatives),
        "order_limit": (ours.order, exact[0].limit) != (theirs.order, exact[1].limit),
        "distinct": ours.distinct != theirs.distinct,
    }
    conditions = [(one.where, one.having, one.combined) for one in exact]
    found["value"] = not found["filter"] and ours.combined == theirs.combined and conditions[0] != conditions[1]
    named = tuple(name for name in CLASSES if found.get(name))
    # What is left can only lie in the queries inside, whose joins and DISTINCT are not compared.
    return named or (("nesting",) if ours.nested else ("other",))
