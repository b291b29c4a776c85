"""Truth tables of the small transforms and of the factors for length and repetition; percentiles from an audit."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import DataError, RewardError
from common.rewards.audit import audit
from common.rewards.compose import Product, WeightedSum
from common.rewards.text import LengthIncentive, RepetitionPenalty, TokenF1
from common.rewards.transforms import Above, DeadBand, PercentileRescale
from tests.common.rewards.toy import Column, batch

NAN = math.nan


def score(reward: Any, values: list[float]) -> list[float]:
    return reward(**batch(a=values)).values.tolist()


def test_above_pays_nothing_for_noise() -> None:
    signed = Column("a", bounds=(-1, 1))
    found = score(Above(signed, 0.3), [-0.5, 0.2, 0.3, 0.4, NAN])
    assert found == pytest.approx([0, 0, 0, 0.4, NAN], nan_ok=True)
    assert Above(signed, 0.3).bounds == (0.0, 1.0)
    assert score(Above(signed, -0.5), [-0.6, -0.4]) == pytest.approx([0.0, -0.4])
    assert Above(signed, -0.5).bounds == (-0.5, 1.0)
    with pytest.raises(RewardError):
        Above(signed, NAN)


def test_a_dead_band_is_flat_and_does_not_jump() -> None:
    reward = DeadBand(Column("a"), 0.1, at=0.5)
    assert score(reward, [0.45, 0.5, 0.6, 0.61, 0.3, 1.0, NAN]) == pytest.approx(
        [0.5, 0.5, 0.5, 0.51, 0.4, 0.9, NAN], nan_ok=True
    )
    assert reward.bounds == pytest.approx((0.1, 0.9))
    with pytest.raises(RewardError, match="band"):
        DeadBand(Column("a"), -0.1)


class TestLengthIncentive:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [("", 0.0), ("  \n", 0.0), ("one", 0.25), ("a b c d", 1.0), ("a " * 99, 1.5), ("東京", 0.5)],
    )
    def test_truth_table(self, text: str, expected: float) -> None:
        assert LengthIncentive(4, cap=1.5)(completion=[text]).values.tolist() == [expected]

    def test_without_a_cap_the_longest_row_decides_what_the_others_are_worth(self) -> None:
        """R3's LI is unbounded: over a batch that is normalised, one row of ten thousand words flattens all others."""
        texts = ["a " * 50, "a " * 100, "a " * 10_000]
        capped = LengthIncentive(100, cap=1.0)(completion=texts).values
        assert capped.tolist() == [0.5, 1.0, 1.0]
        raw = LengthIncentive(100, cap=1e9)(completion=texts).values
        assert float((raw[1] - raw[0]) / (raw.max() - raw.min())) < 0.01 < float(capped[1] - capped[0])


class TestRepetitionPenalty:
    @pytest.mark.parametrize(
        ("ids", "expected"),
        [([1, 2, 3, 4], 1.0), ([1, 1, 1, 1, 1], 1 / 4), ([1, 2, 1, 2, 1], 2 / 4), ([7], 1.0), ([], 0.0)],
    )
    def test_truth_table(self, ids: list[int], expected: float) -> None:
        for column in ([ids], [torch.tensor(ids)]):
            assert RepetitionPenalty(2)(completion_ids=column).values.tolist() == pytest.approx([expected])

    def test_each_factor_guards_against_the_others_hack(self) -> None:
        """R3: relevance alone is hacked by copying and length alone by repeating; the product pays neither in full."""
        reward = Product([Column("a", name="relevance"), LengthIncentive(4), RepetitionPenalty(1)])
        texts = ["red", "red red red red", "a red bus stops"]
        ids = [[1], [1, 1, 1, 1], [2, 1, 3, 4]]
        found = reward(completion=texts, completion_ids=ids, a=[1.0, 1.0, 1.0]).values.tolist()
        assert found == pytest.approx([0.25, 0.25, 1.0])

    def test_an_n_gram_has_an_id(self) -> None:
        with pytest.raises(RewardError, match="n-gram"):
            RepetitionPenalty(0)


class TestPercentiles:
    def write(self, path: Path, content: Any) -> Path:
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    @pytest.mark.parametrize("wrap", [lambda it: it, lambda it: {"general": it}])
    def test_the_band_of_the_audit_is_the_scale(self, tmp_path: Path, wrap: Any) -> None:
        path = self.write(tmp_path / "audit.json", wrap({"band": [0.6, 0.8], "bounds": [0.0, 1.0]}))
        reward = PercentileRescale(Column("a"), path)
        path.unlink()
        twin = pickle.loads(pickle.dumps(reward))
        assert score(twin, [0.5, 0.7, 0.9, NAN]) == pytest.approx([0.0, 0.5, 1.0, NAN], nan_ok=True)

    def test_what_an_audit_writes_is_what_it_reads(self, tmp_path: Path) -> None:
        texts = ["red bus", "blue bus", "tall ship", "old tall tower", "red tower"]
        reward = TokenF1()
        report = audit(reward, {"completion": texts, "reference": texts})
        found = PercentileRescale(reward, self.write(tmp_path / "audit.json", report.to_json()))
        assert (found.low, found.high) == pytest.approx(report.band)
        assert found(completion=["red bus"], reference=["red bus"]).values.tolist() == [1.0]

    def test_one_of_several_rewards(self, tmp_path: Path) -> None:
        content = {"rewards": {"cosine": {"general": {"band": [0.2, 0.4], "bounds": [0.0, 1.0]}}}}
        path = self.write(tmp_path / "audit.json", content)
        assert score(PercentileRescale(Column("a"), path, of="cosine"), [0.3]) == pytest.approx([0.5])
        with pytest.raises(DataError, match=r"band.*'other'"):
            PercentileRescale(Column("a"), path, of="other")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({}, "no `band`"),
            ([1, 2], "no `band`"),
            ({"band": [0.1, None]}, "no `band`"),
            ({"band": [0.1]}, "tell them apart"),
            ({"band": [0.7, 0.6]}, "tell them apart"),
            ({"band": [0.1, 0.5], "bounds": [-1.0, 1.0]}, "audit this one"),
        ],
    )
    def test_a_file_that_is_no_audit_of_it_is_refused(self, tmp_path: Path, content: Any, message: str) -> None:
        path = self.write(tmp_path / "audit.json", content)
        with pytest.raises(DataError, match=message) as caught:
            PercentileRescale(Column("a"), path)
        assert str(path) in str(caught.value)

    def test_a_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="write it with"):
            PercentileRescale(Column("a"), tmp_path / "none.json")


class TestDefectsOfOthers:
    """What published reward code gets wrong, and this one does not (shared/reference/rewards.md)."""

    def test_a_missing_part_is_no_zero(self) -> None:
        """trl's `nansum` scores a right answer whose second grader is down like one that it found worthless."""
        right_but_unseen, right_and_worthless = WeightedSum([(Column("a"), 1.0), (Column("b"), 1.0)])(
            **batch(a=[1.0, 1.0], b=[NAN, 0.0])
        ).values.tolist()
        raw = torch.tensor([[1.0, NAN], [1.0, 0.0]]).nansum(1).tolist()
        assert raw[0] == raw[1]
        assert right_but_unseen > right_and_worthless

    def test_a_negative_factor_would_turn_the_incentive_round(self) -> None:
        length, relevance = torch.tensor([0.5, 1.0]), -0.1
        assert (relevance * length)[1] < (relevance * length)[0], "longer is punished"
        with pytest.raises(RewardError, match="below 0"):
            Product([Column("a", bounds=(-1, 1)), LengthIncentive(4)])
