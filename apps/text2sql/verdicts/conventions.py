"""How other evaluations compare two results, so that numbers can be set beside theirs.

Only the comparison is reproduced, with its quirks. What runs at all is decided before, the same for everybody.
Each function takes the gold's and the prediction's execution and the gold text, and says whether they match.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from apps.text2sql.execution.database import Execution
from apps.text2sql.execution.values import Row
from apps.text2sql.verdicts.compare import same


def bird(gold: Execution, pred: Execution, _text: str) -> bool:
    """BIRD's EX: equal sets of rows; order, duplicates and the width of empty results do not count."""
    return set(gold.rows) == set(pred.rows)


def spider_testsuite(gold: Execution, pred: Execution, text: str) -> bool:
    """Spider's test-suite: bags under a permutation of columns; order counts where the text has "order by" anywhere.

    Both executions are of the texts without DISTINCT. Cells are exact.
    """
    if not gold.rows and not pred.rows:
        return True
    if len(gold.rows) != len(pred.rows) or len(gold.rows[0]) != len(pred.rows[0]):
        return False
    ordered = "order by" in text.lower()
    # Its quick rejection sorts each row's cells by text and type, which tells some equal rows apart (1 beside 1.0).
    first, second = [_by_text(row) for row in gold.rows], [_by_text(row) for row in pred.rows]
    if (first != second) if ordered else (set(first) != set(second)):
        return False
    labels = range(len(gold.rows)) if ordered else None
    return same(gold.rows, pred.rows, labels, labels, contains=_equal_bags)


def _by_text(row: Row) -> Row:
    return tuple(sorted(row, key=lambda value: str(value) + str(type(value))))


def _equal_bags(inner: Sequence[Row], outer: Sequence[Row], _whole: bool) -> bool:
    return Counter(inner) == Counter(outer)


def spider2(gold: Execution, pred: Execution, text: str) -> bool:
    """Spider 2.0: each gold column must equal some predicted column within 1e-2, NULL counting as 0.

    Extra columns are allowed and one column may serve several times. Where the text has no ORDER BY, each column is
    sorted by its text on its own, so wrong associations between columns pass.
    """
    ignore_order = "order by" not in text.lower()
    gold_columns, pred_columns = _frame(gold), _frame(pred)
    return all(
        any(_vectors_match(column, other, ignore_order) for other in pred_columns) for column in gold_columns
    ) and bool(pred_columns)


def _vectors_match(gold: list[Any], pred: list[Any], ignore_order: bool) -> bool:
    if len(gold) != len(pred):
        return False
    gold, pred = [_zero(value) for value in gold], [_zero(value) for value in pred]
    if ignore_order:
        gold, pred = (sorted(column, key=lambda v: (str(v), isinstance(v, int | float))) for column in (gold, pred))
    return all(map(_near, gold, pred))


def _zero(value: Any) -> Any:
    return 0 if value is None or value != value else value


def _near(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(_as_float(a), _as_float(b), abs_tol=1e-2)
    return bool(a == b)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _frame(result: Execution) -> list[list[Any]]:
    """Columns as pandas holds them: integers beside a NULL or a float in the same column become floats."""
    columns = [list(column) for column in zip(*result.rows, strict=True)] or [[] for _ in result.columns]
    return [_floats(column) if _is_float_column(column) else column for column in columns]


def _is_float_column(column: Sequence[Any]) -> bool:
    present = [value for value in column if value is not None]
    return (
        bool(present)
        and all(isinstance(value, int | float) for value in present)
        and (len(present) < len(column) or any(isinstance(value, float) for value in present))
    )


def _floats(column: Sequence[Any]) -> list[Any]:
    return [None if value is None else _as_float(value) for value in column]


def defog(gold: Execution, pred: Execution, _text: str) -> bool:
    """Defog's sql-eval headline number: exact or subset match of two data frames; row order never counts.

    Exact: equal as they stand, or equal after duplicate rows are dropped and columns sorted by name. Subset: gold
    columns found by value among the predicted ones (relative 1e-5, absolute 1e-8), then whole rows compared. Shapes
    are compared before values, so that array broadcasting decides nothing, except that two empty results match where
    it would let them.
    """
    if not gold.rows and not pred.rows:
        widths = {len(gold.columns), len(pred.columns)}
        return len(widths) == 1 or 1 in widths
    return _defog_exact(gold, pred) or _defog_subset(gold, pred)


def _defog_exact(gold: Execution, pred: Execution) -> bool:
    left, right = _frame(gold), _frame(pred)
    if len(left) != len(right):
        return False
    left_rows, right_rows = _common_rows(left, right)
    if left_rows == right_rows:
        return True
    # Duplicate names cannot be sorted; they keep their order here.
    left_rows, right_rows = _common_rows(
        *([columns[i] for i in sorted(range(len(columns)), key=result.columns.__getitem__)]
          for columns, result in ((left, gold), (right, pred)))
    )  # fmt: skip
    # NULL is filled with a number that a NULL of the other side shares.
    return {_filled(row) for row in left_rows} == {_filled(row) for row in right_rows}


def _filled(row: Row) -> Row:
    return tuple(-99999 if value is None else value for value in row)


def _common_rows(left: list[list[Any]], right: list[list[Any]]) -> tuple[list[Row], list[Row]]:
    """Rows of both; all-numeric frames are compared as one array type, so a float makes every integer a float."""
    everything = [*left, *right]
    numeric = all(isinstance(v, int | float) or (v is None and _is_float_column(c)) for c in everything for v in c)
    if numeric and any(isinstance(value, float) for column in everything for value in column):
        left, right = [_floats(column) for column in left], [_floats(column) for column in right]
    return list(zip(*left, strict=True)), list(zip(*right, strict=True))


def _defog_subset(gold: Execution, pred: Execution) -> bool:
    if not gold.rows or len(gold.rows) != len(pred.rows):
        return False
    gold_columns, free = _frame(gold), list(enumerate(_frame(pred)))
    matched: list[list[Any]] = []
    for column in gold_columns:
        target = _sorted_column(column)
        for position, (_, other) in enumerate(free):
            if all(map(_pandas_close, target, _sorted_column(other))):
                matched.append(other)
                del free[position]
                break
        else:
            return False
    names = sorted(range(len(gold_columns)), key=gold.columns.__getitem__)
    left = _unique_sorted([gold_columns[i] for i in names])
    right = _unique_sorted([matched[i] for i in names])
    return len(left) == len(right) and all(all(map(_pandas_close, a, b)) for a, b in zip(left, right, strict=True))


def _sorted_column(column: list[Any]) -> list[Any]:
    return sorted(column, key=_order)


def _unique_sorted(columns: list[list[Any]]) -> list[Row]:
    return sorted(dict.fromkeys(zip(*columns, strict=True)), key=lambda row: tuple(map(_order, row)))


def _order(value: Any) -> tuple[Any, ...]:
    """Numbers, then the other types by name, then NULL: pandas' order where it has one, an order where it fails."""
    if value is None:
        return (2, "", 0)
    if isinstance(value, int | float):
        return (0, "", value)
    return (1, type(value).__name__, value if isinstance(value, str | bytes) else repr(value))


def _pandas_close(a: Any, b: Any) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if isinstance(a, int | float) and isinstance(b, int | float):
        first, second = _as_float(a), _as_float(b)
        return first == second or (
            math.isfinite(first) and math.isfinite(second) and abs(first - second) <= 1e-8 + 1e-5 * abs(second)
        )
    return bool(a == b)
