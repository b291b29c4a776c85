from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.rewards.text.structured import Call, StructuredMatch, equal, jaccard, read_calls, structured_match

BERN = Call("weather", {"city": "Bern", "unit": "C"})
CALLS = st.lists(
    st.builds(Call, st.sampled_from("fg"), st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=3)),
    max_size=4,
)


@pytest.mark.parametrize(
    ("predicted", "total"),
    [
        ([BERN], 1.0),
        ([Call("weather", {"unit": "C", "city": "Bern"})], 1.0),
        ([Call("weather", {"city": "Basel", "unit": "C"})], 3 / 4),
        ([Call("weather", {"city": "Bern"})], (1 + 0.5 + 1) / 4),
        ([Call("weather", {})], 1 / 4),
        ([Call("news", {"city": "Bern", "unit": "C"})], 0.0),
        ([], 0.0),
        ([BERN, BERN], (0.5 + 3) / 4),  # one too many costs by the names
        ([Call("weather", {}), BERN], (0.5 + 3) / 4),  # the better match is taken
    ],
)
def test_structured_match(predicted: list[Call], total: float) -> None:
    assert structured_match(predicted, [BERN]).total == pytest.approx(total)


def test_where_no_call_is_right() -> None:
    assert structured_match([], []).total == 1.0
    assert structured_match([BERN], []).total == 0.0


@settings(max_examples=100, deadline=None)
@given(CALLS, CALLS, st.randoms(use_true_random=False))
def test_range_identity_and_order(predicted: list[Call], reference: list[Call], rng: random.Random) -> None:
    score = structured_match(predicted, reference)
    assert all(0.0 <= one <= 1.0 for one in score)
    assert structured_match(reference, reference) == (1.0, 1.0, 1.0)
    shuffled = rng.sample(predicted, len(predicted))
    assert structured_match(shuffled, reference).names == score.names


def test_multisets() -> None:
    assert jaccard("aab", "abb") == pytest.approx(2 / 4)
    assert jaccard("", "") == 1.0
    assert jaccard({"x": 5}, {"x": 7}) == 1.0, "keys count, whatever their values"


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [(1, 1.0, True), (1, True, False), (False, 0, False), ([1, {"a": True}], [1, {"a": 1}], False), ("1", 1, False)],
)
def test_json_values_are_compared(left: object, right: object, same: bool) -> None:
    assert equal(left, right) is same


ONE = '{"name": "f", "parameters": {"x": 1}}'


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"<c>{ONE}</c>", 1),
        (f"<c>{ONE}\n{ONE}</c>", 2),
        (f"<c>[{ONE}, {ONE}]</c> and <c>{ONE}</c>", 3),
        ("<c></c>", 0),
        (ONE, 0),
        ("<c>f(x=1)</c>", None),
        ('<c>{"name": 3}</c>', None),
        ('<c>{"name": "f", "parameters": [1]}</c>', None),
        ("<c>" + "[" * 100_000 + "</c>", None),
        ("<c>3</c>", None),
    ],
)
def test_calls_are_read(text: str, count: int | None) -> None:
    found = read_calls(text, "c")
    assert (None if found is None else len(found)) == count


def test_rows_fail_by_whose_fault_it_is() -> None:
    right = [{"name": "f", "parameters": {"x": 1}}]
    output = StructuredMatch(tag="c")(
        completion=[f"<c>{ONE}</c>", "<c>f(1)</c>", "", "", f"<c>{ONE}</c>", f"<c>{ONE}</c>"],
        reference=[right, right, right, [], "f(1)", json.dumps(right)],
    )
    assert output.values.tolist() == pytest.approx([1.0, 0.0, 0.0, 1.0, math.nan, 1.0], nan_ok=True)
    assert output.parts["names"].tolist() == pytest.approx([1.0, 0.0, 0.0, 1.0, math.nan, 1.0], nan_ok=True)
    assert "cannot be read" in output.info["reason"][1]
