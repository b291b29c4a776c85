from __future__ import annotations

import math
import pickle
from difflib import SequenceMatcher

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards.text.edits import (
    Anls,
    ChartMatch,
    DiffSimilarity,
    anls,
    code_edits,
    diff_similarity,
    edit_distance,
)

SHORT = st.text("abc東", max_size=7)


def slow_distance(first: str, second: str) -> int:
    """By the definition."""
    if not first or not second:
        return len(first) + len(second)
    same = slow_distance(first[1:], second[1:]) + (first[0] != second[0])
    return (
        same
        if first[0] == second[0]
        else min(same, 1 + slow_distance(first[1:], second), 1 + slow_distance(first, second[1:]))
    )


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("東京", "京都", 2), ("ab", "ba", 2)],
)
def test_edit_distance(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance


@settings(max_examples=60, deadline=None)
@given(SHORT, SHORT, SHORT)
def test_edit_distance_is_a_distance_and_the_defined_one(one: str, two: str, three: str) -> None:
    assert edit_distance(one, two) == slow_distance(one, two) == edit_distance(two, one)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("effusion", "Effusion.", 1.0),
        ("efusion", "effusion", 7 / 8),
        ("abcd", "abxy", 0.0),  # NLD is the threshold itself
        ("abcde", "abcxy", 0.6),
        ("x" * 100_000, "effusion", 0.0),
    ],
)
def test_anls(prediction: str, reference: str, value: float) -> None:
    assert anls(prediction, reference) == pytest.approx(value)


def test_anls_fails_as_texts_do_and_takes_the_best_reference() -> None:
    output = pickle.loads(pickle.dumps(Anls()))(
        completion=["abc", "", "abc", "abc"], reference=[["xyz", "abd"], "abc", "", None]
    )
    assert output.values.tolist() == pytest.approx([2 / 3, 0.0, math.nan, math.nan], nan_ok=True)
    assert "completion is empty" in output.info["reason"][1]
    for threshold in (0.0, 1.1):
        with pytest.raises(RewardError, match=r"\(0, 1\]"):
            Anls(threshold)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_anls_stays_in_its_range_and_is_1_for_itself(one: str, two: str) -> None:
    assert 0.0 <= anls(one, two) <= 1.0
    assert anls(one, one) == 1.0


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("104", "100", 1.0),
        ("106", "100", 0.0),
        ("10 or 100", "100", 0.0),
        ("Bangladsh", "Bangladesh", 0.9),
        ("100", "Bangladesh", 0.0),
    ],
)
def test_chart_match(prediction: str, reference: str, value: float) -> None:
    assert ChartMatch()(completion=[prediction], reference=[reference]).values.item() == pytest.approx(value)


SOURCE = "int f(int n) {\n  if (n <= size)\n    copy(n);\n  return 0;\n}"
FIXED = SOURCE.replace("<=", "<")


class TestDiffSimilarity:
    def row(self, completion: str, reference: str = FIXED) -> float:
        return DiffSimilarity()(completion=[completion], source=[SOURCE], reference=[reference]).values.item()

    def test_edits_are_signed_tokens_on_lines(self) -> None:
        assert code_edits("a\nb c", "a\nb d") == {("-", 1, "c"): 1, ("+", 1, "d"): 1}
        assert code_edits("a b", "a   b\n") == {}

    def test_truth(self) -> None:
        assert self.row(FIXED) == 1.0
        assert self.row(FIXED.replace("    copy", "\tcopy")) == 1.0, "white space is no edit"
        assert self.row(SOURCE) == 0.0, "nothing changed"
        assert self.row("") == 0.0
        assert 0 < self.row(FIXED.replace("return 0", "return 1")) < 1, "the fix and something else"
        assert self.row(SOURCE.replace("return 0", "return < 0").replace("int n", "int = n")) == 0.0, "wrong lines"
        assert math.isnan(self.row(FIXED, SOURCE))
        assert math.isnan(self.row(FIXED, ""))

    def test_unchanged_lines_do_not_pay_as_they_do_for_whole_programs(self) -> None:
        assert SequenceMatcher(None, SOURCE, FIXED).ratio() > 0.95
        assert self.row(SOURCE) == 0.0

    def test_an_endless_completion_is_not_compared(self) -> None:
        output = DiffSimilarity()(completion=["x " * 10_000], source=[SOURCE], reference=[FIXED])
        assert output.values.item() == 0.0
        assert "far longer" in output.info["reason"][0]

    @settings(max_examples=60, deadline=None)
    @given(*[st.text("ab()\n ", max_size=12)] * 3)
    def test_range_and_the_reference_itself(self, source: str, changed: str, reference: str) -> None:
        value = diff_similarity(source, changed, reference)
        assert math.isnan(value) or 0.0 <= value <= 1.0
        best = diff_similarity(source, reference, reference)
        assert math.isnan(best) or best == 1.0
