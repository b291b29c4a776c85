from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards.max_over import MaxOver
from common.rewards.text import TokenF1
from common.rewards.transforms import GroupMinMax
from tests.common.rewards.toy import Column

NAN = math.nan


class Score(Column):
    """A candidate is its own score."""

    def __init__(self) -> None:
        super().__init__("completion", name="score")
        self.needs = ("completion",)


@pytest.mark.parametrize(
    ("candidates", "value"),
    [
        ([0.2, 0.7, 0.1], 0.7),
        ([0.5], 0.5),
        ([], 0.0),
        (None, 0.0),
        ([0.2, NAN], NAN),  # the one that failed might have been the best
        ([NAN, 1.0], 1.0),  # nothing could be better
        ([NAN], NAN),
    ],
)
def test_the_best_candidate_counts(candidates: list[float] | None, value: float) -> None:
    output = MaxOver(Score(), "queries")(queries=[[0.3], candidates])
    assert output.values.tolist() == pytest.approx([0.3, value], nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "a b", "b", "c"]), max_size=4), min_size=1, max_size=4))
def test_it_is_the_maximum_of_the_inner_reward(several: list[list[str]]) -> None:
    output = MaxOver(TokenF1(), "queries")(queries=several, reference=["a b"] * len(several))
    for value, texts in zip(output.values.tolist(), several, strict=True):
        alone = TokenF1()(completion=texts, reference=["a b"] * len(texts)).values.tolist()
        assert value == pytest.approx(max(alone, default=0.0))


def test_candidates_inside_tags() -> None:
    reward = MaxOver(TokenF1(), tag="search")
    text = "<search>x</search> found nothing <search> a b </search>"
    output = pickle.loads(pickle.dumps(reward))(completion=[text, "a b"], reference=["a b", "a b"])
    assert output.values.tolist() == [1.0, 0.0]
    assert output.info["reason"][0] == "best of 2: a b"


def test_only_the_first_candidates_count() -> None:
    inner = Score()
    output = MaxOver(inner, "queries", most=2)(queries=[[0.1, 0.2, 0.9], [0.3]])
    assert output.values.tolist() == pytest.approx([0.2, 0.3])
    assert inner.calls == [3], "one batch"


@pytest.mark.parametrize(
    ("inner", "settings_", "message"),
    [
        (GroupMinMax(TokenF1()), {}, "no group"),
        (Score(), {"into": "query"}, "must read 'query'"),
        (Score(), {"most": 0}, "most 0"),
    ],
)
def test_what_cannot_be(inner: Any, settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(RewardError, match=message):
        MaxOver(inner, **settings_)
