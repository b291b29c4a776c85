from __future__ import annotations

import math
import pickle

import pytest
import torch

from common.errors import RewardError
from common.rewards.transforms import Affine, Cached, Clip, Rescale
from tests.common.rewards.toy import Column, Differentiable, batch

NAN = math.nan


def test_affine_moves_values_and_bounds() -> None:
    reward = Affine(Column("a"), -2.0, 1.0)
    assert reward.bounds == (-1.0, 1.0)
    output = reward(**batch(a=[0, 0.25, NAN]))
    assert output.values[:2].tolist() == [1.0, 0.5]
    assert output.values[2].isnan()


def test_clip_keeps_nan_and_narrows_bounds() -> None:
    reward = Clip(Column("a", bounds=(-5, 5)), -1, 10)
    assert reward.bounds == (-1, 5)
    output = reward(**batch(a=[-3, 4, NAN]))
    assert output.values[:2].tolist() == [-1, 4]
    assert output.values[2].isnan()
    with pytest.raises(RewardError):
        Clip(Column("a"), 1, 0)


def test_rescale_spreads_a_narrow_band() -> None:
    reward = Rescale(Column("a", bounds=(-1, 1)), 0.75, 0.95)
    assert reward(**batch(a=[0.7, 0.75, 0.85, 0.95, 1.0])).values.tolist() == pytest.approx(
        [0, 0, 0.5, 1, 1], abs=1e-6
    )
    with pytest.raises(RewardError):
        Rescale(Column("a"), 0.5, 0.5)


class TestCached:
    def test_rows_seen_before_and_twins_are_not_scored_again(self) -> None:
        inner = Column("a", texts=True, detail=True)
        reward = Cached(inner)
        first = reward(completion=["x", "x", "y"], a=[0.5, 0.5, 0.25])
        assert inner.calls == [2]
        second = reward(completion=["y", "x", "z"], a=[0.25, 0.5, 1.0])
        assert inner.calls == [2, 1]
        assert first.values.tolist() == [0.5, 0.5, 0.25]
        assert second.values.tolist() == [0.25, 0.5, 1.0]
        assert second.parts["half"].tolist() == [0.125, 0.25, 0.5]
        assert list(second.info["reason"]) == ["", "", ""]

    def test_nan_is_asked_again(self) -> None:
        inner = Column("a", texts=True)
        reward = Cached(inner)
        assert reward(completion=["x"], a=[NAN]).values.isnan().all()
        assert reward(completion=["x"], a=[NAN]).info["reason"] == ["no grade"]
        assert inner.calls == [1, 1]

    def test_it_forgets_the_oldest_and_pickles_empty(self) -> None:
        inner = Column("a")
        reward = Cached(inner, size=2)
        for text in "xyzx":
            reward(completion=[text], a=[1.0])
        assert inner.calls == [1, 1, 1, 1]
        twin = pickle.loads(pickle.dumps(reward))
        twin(completion=["z"], a=[1.0])
        assert twin.inner.calls[-1] == 1
        assert len(twin.inner.calls) == 5

    def test_it_refuses_what_it_cannot_look_up(self) -> None:
        with pytest.raises(RewardError, match="differentiable"):
            Cached(Differentiable())
        with pytest.raises(RewardError, match="cannot be cached"):
            Cached(Column("a"))(completion=["x"], a=torch.zeros(1, 2))

    def test_a_list_of_references_is_a_key(self) -> None:
        from common.rewards.text import TokenF1

        reward = Cached(TokenF1())
        columns = {"completion": ["a b", "a b"], "reference": [["a b", "c"], ["c"]]}
        assert reward(**columns).values.tolist() == reward(**columns).values.tolist() == [1.0, 0.0]
