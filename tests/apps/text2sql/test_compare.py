"""Comparing results: bags, permutations, tolerance, and the overlap of wrong results."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.text2sql.verdicts.compare import FULL, close, embeds, overlap, same

cells = st.none() | st.integers(-2, 3) | st.sampled_from(["a", "b", b"a", "", 0.5, 0.5 + 1e-9, 1.0, -0.0, math.inf])
tables = st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), max_size=6))


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, True),
        (True, 1, True),
        (0.3, 0.1 + 0.2, True),
        (1_000_000.0, 1_000_000.9, True),
        (1_000_000.0, 1_000_003.0, False),
        (0.0, 1e-10, True),
        (0.0, 1e-8, False),
        (2**53 + 1, 2**53, False),
        (2**53 + 1, float(2**53), True),
        (math.inf, math.inf, True),
        (math.inf, 1e308, False),
        (math.inf, -math.inf, False),
        (None, None, True),
        (None, 0, False),
        (None, "", False),
        ("1", 1, False),
        ("a", b"a", False),
        (-0.0, 0, True),
    ],
)
def test_cells(a: object, b: object, equal: bool) -> None:
    assert close(a, b) is close(b, a) is equal
    assert same([(a,)], [(b,)]) is equal


def brute(gold: list[tuple], pred: list[tuple]) -> bool:
    """The definition, tried in every way."""
    if len(gold) != len(pred):
        return False
    if not gold:
        return True
    if len(gold[0]) != len(pred[0]):
        return False
    return any(
        all(all(map(close, a, (b[i] for i in columns))) for a, b in zip(gold, rows, strict=True))
        for columns in itertools.permutations(range(len(gold[0])))
        for rows in itertools.permutations(pred)
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3).flatmap(lambda w: st.tuples(*[st.lists(st.tuples(*[cells] * w), max_size=4)] * 2)))
def test_same_is_its_definition(pair: tuple[list, list]) -> None:
    assert same(*pair) is brute(*pair)


@settings(max_examples=150, deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_any_shuffle_of_rows_and_columns_is_the_same(table: list[tuple], rng: random.Random) -> None:
    columns = list(range(len(table[0]) if table else 1))
    rng.shuffle(columns)
    shuffled = [tuple(row[i] for i in columns) for row in table]
    rng.shuffle(shuffled)
    assert same(table, shuffled)
    assert overlap(table, shuffled) == overlap(table, sorted(shuffled, key=repr))
    if table:
        assert not same(table, shuffled[1:])
        assert same(table, shuffled[1:], whole=False)


def test_labels_fix_the_order_of_groups() -> None:
    gold = [("a",), ("b",), ("c",)]
    assert same(gold, [("b",), ("a",), ("c",)], [1, 1, 3], [1, 1, 3])
    assert not same(gold, [("a",), ("c",), ("b",)], [1, 1, 3], [1, 1, 3])
    assert not same(gold, [("b",), ("a",), ("c",)], range(3), range(3))


def test_float_noise_is_resolved_by_a_matching() -> None:
    near = [1.0, 1.0 + 9e-7, 1.0 + 1.8e-6]
    assert embeds([(near[1],), (near[2],)], [(near[0],), (near[1],)])
    assert not embeds([(near[2],), (near[2],)], [(near[0],), (near[1],)])


@pytest.mark.parametrize("equal", [True, False])
def test_many_alike_columns_take_milliseconds(equal: bool) -> None:
    rng = random.Random(0)
    gold = [tuple(rng.randrange(2) for _ in range(14)) for _ in range(60)]
    columns = list(range(14))
    rng.shuffle(columns)
    pred = [tuple(row[i] for i in columns) for row in gold]
    if not equal:
        pred[0], pred[1] = pred[1][:7] + pred[0][7:], pred[0][:7] + pred[1][7:]
    start = time.monotonic()
    assert same(gold, pred) is equal or not equal
    assert same([(1,) * 9] * 50, [(1,) * 9] * 50)
    assert not same([(1,) * 9] * 49 + [(2,) * 9], [(1,) * 9] * 50)
    assert time.monotonic() - start < 2.0


@given(tables, tables)
def test_overlap_is_bounded_and_full_for_equals(gold: list[tuple], pred: list[tuple]) -> None:
    measured = overlap(gold, pred)
    values = [measured.cell_precision, measured.cell_recall, measured.tuple_cardinality, measured.soft_f1]
    assert all(0.0 <= value <= 1.0 for value in values)
    assert overlap(gold, gold) == FULL
    if gold and pred:
        rows = [Counter(map(repr, gold)), Counter(map(repr, pred))]
        assert rows[0] != rows[1] or measured == FULL


def test_overlap_counts_what_the_papers_count() -> None:
    gold = [(1, "a"), (2, "b"), (3, "c")]
    measured = overlap(gold, [(1, "a"), (2, "x")])
    assert measured.cell_precision == 3 / 4
    assert measured.cell_recall == 3 / 6
    assert measured.tuple_cardinality == 2 / 3
    assert measured.soft_f1 == pytest.approx(2 * 3 / (4 + 6))
    # Reversed rows: BIRD's Soft-F1 gives 0. A repeated cell: BIRD's gives 0.8 to a perfect answer.
    assert overlap(gold, gold[::-1]).soft_f1 == 1.0
    assert overlap([(1, 1)], [(1, 1)]).soft_f1 == 1.0
    assert overlap(gold, gold[::-1], ordered=True).soft_f1 < 1.0
    assert overlap([], [(1,)]).soft_f1 == overlap([(1,)], []).soft_f1 == 0.0
