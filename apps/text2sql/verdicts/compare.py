"""Comparing two results: bags of rows under one permutation of columns, and how much two results share.

Equality of cells (`close`): integers are exact, a float and a number agree within a relative 1e-6 (absolute 1e-9),
text and bytes are exact, NULL equals NULL and nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.text2sql.execution.values import Row

RELATIVE, ABSOLUTE = 1e-6, 1e-9
_MAX_NODES = 4_000  # column assignments tried before giving up
_MAX_WORK = 4_000_000  # rows looked at while trying
_MAX_MATCHING = 400  # rows on either side for which float noise is resolved by an exact matching
_NUMBER = object()


def close(a: Any, b: Any) -> bool:
    """Whether two cells are equal as the module says."""
    if a == b:
        return _is_number(a) == _is_number(b)
    if a is b:
        return True
    if isinstance(a, int) and isinstance(b, int):
        return False
    if not (_is_number(a) and _is_number(b)):
        return False
    if any(isinstance(value, float) and not math.isfinite(value) for value in (a, b)):
        return False
    return bool(abs(a - b) <= max(RELATIVE * max(abs(a), abs(b)), ABSOLUTE))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def embeds(inner: Sequence[Row], outer: Sequence[Row], whole: bool = True) -> bool:
    """Whether the rows of `inner` can be paired with different equal rows of `outer`.

    Args:
        inner: rows.
        outer: rows of the same width.
        whole: no row of `outer` may be left over, so the two are equal as bags.
    """
    if len(inner) > len(outer) or (whole and len(inner) != len(outer)):
        return False
    have, want = Counter(outer), Counter(inner)
    missing = want - have
    if not missing:
        return True
    spare = have - want
    if not (_has_float(missing) or _has_float(spare)):
        return False
    if _embeds_nearly(missing, spare):
        return True
    # A row paired with its exact twin may be needed by a near one.
    return len(outer) <= _MAX_MATCHING and _embeds_nearly(want, have)


def _has_float(rows: Counter[Row]) -> bool:
    return any(isinstance(value, float) for row in rows for value in row)


def _embeds_nearly(missing: Counter[Row], spare: Counter[Row]) -> bool:
    """The same for rows without an exact partner: bucketed by what is no number, then paired by their numbers."""
    buckets: dict[Row, tuple[list[Row], list[Row]]] = {}
    for side, rows in enumerate((missing, spare)):
        for row, count in rows.items():
            key = tuple(_NUMBER if _is_number(value) else value for value in row)
            numbers = tuple(value for value in row if _is_number(value))
            buckets.setdefault(key, ([], []))[side].extend([numbers] * count)
    for needed, offered in buckets.values():
        if len(needed) > len(offered) or not _pair(sorted(needed), sorted(offered)):
            return False
    return True


def _pair(needed: list[Row], offered: list[Row]) -> bool:
    if len(needed) == len(offered) and all(map(_row_close, needed, offered)):
        return True
    if len(needed) > _MAX_MATCHING or len(offered) > _MAX_MATCHING:
        # Sorted, the next partner is at or after the last one: exact for one number a row.
        start = 0
        for row in needed:
            while start < len(offered) and not _row_close(row, offered[start]):
                start += 1
            if start == len(offered):
                return False
            start += 1
        return True
    return _matching(needed, offered)


def _matching(needed: list[Row], offered: list[Row]) -> bool:
    """Bipartite matching by augmenting paths (Kuhn)."""
    near = [[index for index, row in enumerate(offered) if _row_close(one, row)] for one in needed]
    taken: dict[int, int] = {}

    def place(one: int, seen: set[int]) -> bool:
        for index in near[one]:
            if index not in seen:
                seen.add(index)
                if index not in taken or place(taken[index], seen):
                    taken[index] = one
                    return True
        return False

    return all(place(one, set()) for one in range(len(needed)))


def _row_close(a: Row, b: Row) -> bool:
    return all(map(close, a, b))


Contains = Callable[[Sequence[Row], Sequence[Row], bool], bool]


def same(
    gold: Sequence[Row],
    pred: Sequence[Row],
    gold_labels: Sequence[Hashable] | None = None,
    pred_labels: Sequence[Hashable] | None = None,
    whole: bool = True,
    contains: Contains = embeds,
) -> bool:
    """Whether one permutation of `pred`'s columns makes its rows those of `gold`.

    Args:
        gold: rows.
        pred: rows.
        gold_labels: one for each gold row; a row may only be paired with a row of the same label. Row numbers as
            labels compare sequences, group numbers compare ordered groups.
        pred_labels: likewise.
        whole: every gold row must be paired; otherwise `pred` may be a part of `gold`.
        contains: how rows are paired (inner, outer, whole).
    """
    if len(pred) > len(gold) or (whole and len(pred) != len(gold)):
        return False
    if not pred:
        return True
    width = len(gold[0])
    if len(pred[0]) != width:
        return False
    left = [(label,) for label in gold_labels] if gold_labels is not None else [()] * len(gold)
    right = [(label,) for label in pred_labels] if pred_labels is not None else [()] * len(pred)
    if contains(
        [(*label, *row) for label, row in zip(right, pred, strict=True)],
        [(*label, *row) for label, row in zip(left, gold, strict=True)],
        whole,
    ):
        return True
    if width == 1:
        return False
    return _permuted(left, right, list(zip(*gold, strict=True)), list(zip(*pred, strict=True)), whole, contains)


def _permuted(
    left: list[Row], right: list[Row], gold: list[Row], pred: list[Row], whole: bool, contains: Contains
) -> bool:
    """Search for the permutation, column by column, checking all chosen columns together at each step."""
    width = len(gold)
    prints = [_print(column) for column in gold], [_print(column) for column in pred]
    candidates: list[list[int]] = []
    budget = _Budget()
    for i in range(width):
        fits = [
            j
            for j in range(width)
            if (not whole or prints[0][i].may_equal(prints[1][j]))
            and budget.pay(len(right))
            and contains(_rows(right, [pred[j]]), _rows(left, [gold[i]]), whole)
        ]
        if not fits:
            return False
        candidates.append(fits)
    order = sorted(range(width), key=lambda i: len(candidates[i]))

    def extend(chosen: list[int]) -> bool:
        step = len(chosen)
        if step == width:
            return True
        tried: set[Row] = set()
        for j in candidates[order[step]]:
            # Equal columns are interchangeable: one of them is enough.
            if j in chosen or pred[j] in tried:
                continue
            tried.add(pred[j])
            if not budget.pay(len(right) * (step + 1)):
                return False
            trial = [*chosen, j]
            inner = _rows(right, [pred[index] for index in trial])
            outer = _rows(left, [gold[index] for index in order[: step + 1]])
            if contains(inner, outer, whole) and extend(trial):
                return True
        return False

    return extend([])


class _Budget:
    """Bounds the search: what is not found within it counts as different."""

    def __init__(self) -> None:
        self.steps, self.work = _MAX_NODES, _MAX_WORK

    def pay(self, rows: int) -> bool:
        self.steps -= 1
        self.work -= rows
        return self.steps >= 0 and self.work >= 0


@dataclass(frozen=True)
class _Print:
    """What a column must share with another to equal it as a bag, cheap to compare."""

    exact: int
    has_float: bool
    other: int
    bounds: Row

    def may_equal(self, other: _Print) -> bool:
        if self.exact == other.exact:
            return True
        if not (self.has_float or other.has_float):
            return False
        return (
            self.other == other.other
            and len(self.bounds) == len(other.bounds)
            and all(map(close, self.bounds, other.bounds))
        )


def _print(column: Row) -> _Print:
    numbers = [value for value in column if _is_number(value)]
    rest = [value for value in column if not _is_number(value)] if len(numbers) < len(column) else []
    return _Print(
        exact=_hash(column),
        has_float=any(isinstance(value, float) for value in numbers),
        other=_hash(rest),
        bounds=(min(numbers), max(numbers)) if numbers else (),
    )


def _hash(values: Sequence[Any]) -> int:
    return hash(frozenset(Counter(values).items()))


def _rows(labels: list[Row], columns: list[Row]) -> list[Row]:
    return [(*label, *cells) for label, cells in zip(labels, zip(*columns, strict=True), strict=True)]


@dataclass(frozen=True)
class Overlap:
    """How much of a wrong result is right; each value in [0, 1].

    Attributes:
        cell_precision: share of the prediction's cells that occur in the gold result (QATCH, Papicchio et al. 2023).
        cell_recall: share of the gold's cells that occur in the prediction.
        tuple_cardinality: smaller number of rows over larger.
        soft_f1: cells shared by paired rows, as F1 over all cells (BIRD's Soft-F1). Unlike BIRD's, rows are paired by
            what they share unless the gold asks for an order, and a repeated cell counts once for each time.
    """

    cell_precision: float
    cell_recall: float
    tuple_cardinality: float
    soft_f1: float


FULL = Overlap(1.0, 1.0, 1.0, 1.0)
_MAX_CELLS = 200_000
_MAX_PAIRING = 150


def overlap(gold: Sequence[Row], pred: Sequence[Row], ordered: bool = False) -> Overlap:
    """Measure the overlap of two results; only the first rows of very large ones are read for the cells.

    Args:
        gold: rows.
        pred: rows.
        ordered: the gold fixes the row order, so rows pair by position.
    """
    if not gold and not pred:
        return FULL
    if not gold or not pred:
        return Overlap(0.0, 0.0, 0.0, 0.0)
    cardinality = min(len(gold), len(pred)) / max(len(gold), len(pred))
    keep = max(1, _MAX_CELLS // max(len(gold[0]), len(pred[0])))
    gold = [tuple(map(_coarse, row)) for row in gold[:keep]]
    pred = [tuple(map(_coarse, row)) for row in pred[:keep]]
    gold_cells = {cell for row in gold for cell in row}
    pred_cells = {cell for row in pred for cell in row}
    in_pred = sum(cell in gold_cells for row in pred for cell in row)
    in_gold = sum(cell in pred_cells for row in gold for cell in row)
    size_pred, size_gold = len(pred) * len(pred[0]), len(gold) * len(gold[0])
    if not in_pred:
        return Overlap(0.0, 0.0, cardinality, 0.0)
    shared = sum(_shared(a, b) for a, b in zip(gold, pred, strict=False)) if ordered else _paired(gold, pred)
    return Overlap(in_pred / size_pred, in_gold / size_gold, cardinality, 2 * shared / (size_pred + size_gold))


def _coarse(value: Any) -> Any:
    """Floats to six digits, so that equality and hash agree."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _shared(a: Row, b: Row) -> int:
    """Cells two rows share, each counted as often as both hold it."""
    if a == b:
        return len(a)
    rest = list(b)
    shared = 0
    for cell in a:
        if cell in rest:
            rest.remove(cell)
            shared += 1
    return shared


def _paired(gold: list[Row], pred: list[Row]) -> int:
    """Cells shared when equal rows are paired first and the rest greedily by what they share."""
    have, want = Counter(gold), Counter(pred)
    shared = sum(len(row) * count for row, count in (have & want).items())
    # Sorted, so that the order the rows came in does not matter.
    left, right = sorted((have - want).elements(), key=repr), sorted((want - have).elements(), key=repr)
    if len(left) > _MAX_PAIRING or len(right) > _MAX_PAIRING:
        return shared + sum(_shared(a, b) for a, b in zip(left, right, strict=False))
    holders: dict[Any, set[int]] = {}
    for j, row in enumerate(right):
        for cell in row:
            holders.setdefault(cell, set()).add(j)
    nothing: set[int] = set()
    pairs = [
        (-_shared(row, right[j]), i, j)
        for i, row in enumerate(left)
        for j in nothing.union(*(holders.get(cell, nothing) for cell in row))
    ]
    used: tuple[set[int], set[int]] = (set(), set())
    for gain, i, j in sorted(pairs):
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            shared -= gain
    return shared
