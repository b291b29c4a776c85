from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards.text.ranking import Ndcg, RecallAtK, ndcg, read_ranking, recall_at_k

GRADES = {"a": 3.0, "b": 1.0, "c": 0.0}
ITEMS = st.lists(st.sampled_from("abcdx"), max_size=8)
RELEVANCE = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3).map(float), min_size=1)


@pytest.mark.parametrize(
    ("ranking", "k", "value"),
    [
        (["a", "b", "c"], None, 1.0),
        (["b", "a"], None, (1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3))),
        (["c", "c", "c", "a"], None, (7 / math.log2(3)) / (7 + 1 / math.log2(3))),  # a repeated item takes no place
        (["b", "a"], 1, 1 / 7),
        (["x"], None, 0.0),
    ],
)
def test_ndcg(ranking: list[str], k: int | None, value: float) -> None:
    assert ndcg(ranking, GRADES, k) == pytest.approx(value)


def test_the_ideal_order_is_the_best_of_all() -> None:
    scores = {order: ndcg(order, GRADES) for order in itertools.permutations("abc")}
    assert max(scores, key=scores.__getitem__) == ("a", "b", "c")


@settings(max_examples=80, deadline=None)
@given(ITEMS, RELEVANCE, st.integers(1, 4))
def test_range_and_failure(ranking: list[str], grades: dict[str, float], k: int) -> None:
    for value in (ndcg(ranking, grades, k), recall_at_k(ranking, grades, k)):
        assert math.isnan(value) == (not any(grades.values()))
        assert math.isnan(value) or 0.0 <= value <= 1.0 + 1e-9
    assert ndcg([*ranking, *ranking], grades, k) == pytest.approx(ndcg(ranking, grades, k), nan_ok=True)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("the best are [3] > [1]", ["3", "1"]),
        ("3 > 1,2", ["3", "1", "2"]),
        ("p1\np2\n", ["p1", "p2"]),
        ("", []),
        ([3, "x"], ["3", "x"]),
    ],
)
def test_a_ranking_is_read(text: str, items: list[str]) -> None:
    assert read_ranking(text) == items


def test_rows_fail_by_whose_fault_it_is() -> None:
    rows = {
        "completion": ["[1]", "", None, "[1]", "[1]", "[1]", "[2] > [1]"],
        "relevance": [["1"], ["1"], ["1"], [], {"1": "x"}, None, {1: 1.0}],
    }
    nan = math.nan
    assert Ndcg()(**rows).values.tolist() == pytest.approx(
        [1.0, 0.0, 0.0, nan, nan, nan, 1 / math.log2(3)], nan_ok=True
    )
    assert RecallAtK(1)(**rows).values.tolist() == pytest.approx([1.0, 0.0, 0.0, nan, nan, nan, 0.0], nan_ok=True)


def test_recall_counts_the_first_k() -> None:
    assert recall_at_k(["a", "x", "b"], GRADES, 2) == 0.5
    assert recall_at_k(["a", "a", "b"], GRADES, 2) == 1.0
    with pytest.raises(RewardError, match="k is 1"):
        RecallAtK(0)
