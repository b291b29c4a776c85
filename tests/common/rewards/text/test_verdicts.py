"""The reward of a verifier in training (Search-Gen-V)."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards import check_reward
from common.rewards.text.verdicts import LABELS, VerdictMatch, macro_f1

RIGHT = ["support", "partial_support", "not_support", "support"]


def score(text: str, right: object = RIGHT) -> float:
    return VerdictMatch()(completion=[text], labels=[right]).values.item()


def said(labels: object, reasoning: str = "the second is vaguer") -> str:
    return f"<reasoning>{reasoning}</reasoning><answer>{json.dumps(labels)}</answer>"


def test_truth() -> None:
    assert score(said(RIGHT)) == pytest.approx(1.0)
    # support: 2 of 2 and 3 named; partial: missed; not: right.
    assert score(said(["support", "support", "not_support", "support"])) == pytest.approx(
        0.35 * (4 / 5 + 0 + 1) / 3 + 0.3
    )
    assert score(said(RIGHT, reasoning=" ")) == pytest.approx(0.8), "an empty reasoning is none"
    assert score(f"<answer>{json.dumps(RIGHT)}</answer><reasoning>late</reasoning>") == pytest.approx(0.8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "support, partial_support, not_support, support",
        said(RIGHT[:3]),
        said([*RIGHT, "support"]),
        said(["yes"] * 4),
        said([["support"]] * 4),
        said({"support": 4}),
        said(["not_support", "support", "support", "not_support"]),
        "<reasoning>r</reasoning><answer>['support', 'partial_support', 'not_support', 'support']</answer>",
        "<answer>__import__('os')</answer>",
        "<answer>" + "[" * 100_000 + "</answer>",
        said(RIGHT) + said(["support"] * 4),
    ],
)
def test_form_alone_is_never_paid(text: str) -> None:
    assert score(text) == 0.0


@pytest.mark.parametrize("right", [[], None, "support", ["supported"], {"support": 1}])
def test_broken_labels_are_the_datas_fault(right: object) -> None:
    assert math.isnan(score(said(RIGHT), right))


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=8))
def test_macro_f1_is_1_where_all_is_right_and_below_elsewhere(pairs: list[tuple[str, str]]) -> None:
    one, other = zip(*pairs, strict=True)
    assert 0 <= macro_f1(one, other) <= 1
    assert (macro_f1(one, other) == 1) == (one == other)
    assert macro_f1(one, other) == pytest.approx(macro_f1(other, one))


def test_it_keeps_the_contract() -> None:
    check_reward(VerdictMatch(), {"completion": [said(RIGHT), "", said(RIGHT[:2])], "labels": [RIGHT, RIGHT, []]})
    with pytest.raises(RewardError, match="two labels apart"):
        VerdictMatch(known=["support"])
