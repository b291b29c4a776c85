"""What compares rows of a group."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import MissingColumn, RewardError
from common.rewards.base import Reward
from common.rewards.transforms import GroupLengthPenalty, GroupMinMax, GroupNormalize, GroupRank
from common.rewards.transforms import functional as transform_functional
from tests.common.rewards.toy import Column, batch

NAN = math.nan


def score(reward: Reward, values: list[float], group: list[int] | None = None, texts: list[str] | None = None):  # type: ignore[no-untyped-def]
    columns = batch(a=values)
    if texts is not None:
        columns["completion"] = texts
    return reward(**columns, group=torch.tensor(group or [0] * len(values))).values.tolist()


class TestNormalize:
    def test_truth_table(self) -> None:
        found = score(GroupNormalize(Column("a")), [0.0, 1.0, NAN, 0.2, 0.2, 0.7], [0, 0, 0, 1, 1, 2])
        assert found == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5), NAN, 0.0, 0.0, 0.0], nan_ok=True)

    def test_noise_is_not_blown_up_to_full_advantages(self) -> None:
        """Cosines of .860 to .863 become ±1.1 under a plain group z-score (rewards.md, [X])."""
        cosines = [0.860, 0.861, 0.862, 0.863]
        plain = score(GroupNormalize(Column("a")), cosines)
        assert max(map(abs, plain)) > 1.0
        calm = score(GroupNormalize(Column("a"), noise=0.05), cosines)
        assert max(map(abs, calm)) < 0.04
        # A real difference keeps its size.
        wide = [0.1, 0.9, 0.4, 0.6]
        assert score(GroupNormalize(Column("a"), noise=0.05), wide) == score(GroupNormalize(Column("a")), wide)

    def test_it_is_cut_at_the_limit(self) -> None:
        found = score(GroupNormalize(Column("a"), limit=2.0), [1.0] + [0.0] * 15)
        assert found[0] == 2.0

    @given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8), st.floats(0.5, 4), st.floats(-3, 3))
    def test_a_shift_or_scale_before_it_is_nothing(self, values: list[float], scale: float, shift: float) -> None:
        given_ = torch.tensor(values, dtype=torch.float64)
        if float(given_.max() - given_.min()) < 1e-3:
            return
        one, two = (transform_functional.z_scores(it) for it in (given_, scale * given_ + shift))
        assert torch.allclose(one, two, atol=1e-6)


class TestRank:
    def test_truth_table(self) -> None:
        found = score(GroupRank(Column("a")), [0.3, 0.9, 0.3, NAN, 0.1, 0.5], [0, 0, 0, 0, 0, 7])
        assert found == pytest.approx([0.5, 1.0, 0.5, NAN, 0.0, 0.5], nan_ok=True)

    def test_a_group_within_the_noise_is_flat(self) -> None:
        assert score(GroupRank(Column("a"), noise=0.01), [0.860, 0.862, 0.868]) == [0.5] * 3
        assert score(GroupRank(Column("a"), noise=0.001), [0.860, 0.862, 0.868]) == [0.0, 0.5, 1.0]


class TestLength:
    def make(self, **settings: float) -> GroupLengthPenalty:
        return GroupLengthPenalty(Column("a"), most=0.4, tolerance=1.0, **settings)  # type: ignore[arg-type]

    def test_only_long_correct_rows_pay(self) -> None:
        texts = ["one", "one two three", "one two three four five six seven eight", "one two"]
        # Correct rows have 1 and 3 words, 2 on average: the second is half a mean too long. The wrong one may be long.
        found = score(self.make(), [1.0, 1.0, 0.0, NAN], texts=texts)
        assert found == pytest.approx([0.0, -0.2, 0.0, NAN], nan_ok=True)

    def test_without_a_correct_row_length_is_nothing(self) -> None:
        assert score(self.make(), [0.0, 0.2], texts=["a", "a b c d e f"]) == [0.0, 0.0]

    def test_empty_correct_rows_do_not_divide_by_nothing(self) -> None:
        assert score(self.make(), [1.0, 1.0], texts=["", ""]) == [0.0, 0.0]

    def test_the_penalty_is_whole_from_the_tolerance_on(self) -> None:
        words = ["a"] * 3 + [" ".join("a" * 100)]
        assert score(self.make(), [1.0] * 4, texts=words)[-1] == pytest.approx(-0.4)

    def test_unequal_settings_are_refused(self) -> None:
        with pytest.raises(RewardError, match="above 0"):
            GroupLengthPenalty(Column("a"), most=0.0)


@pytest.mark.parametrize("kind", [GroupNormalize, GroupRank, GroupMinMax, GroupLengthPenalty])
class TestStraddling:
    """In trl a group may lie in two processes; half a group has another mean, another best and other ranks."""

    def test_half_a_group_is_noticed_where_the_size_is_known(self, kind: type[GroupRank]) -> None:
        reward = kind(Column("a"), size=2)
        assert len(score(reward, [0.1, 0.5, 0.5, 0.1], [3, 3, 8, 8])) == 4
        with pytest.raises(RewardError, match=r"group 8 has 1 rows, not 2.*num_generations"):
            score(reward, [0.1, 0.5, 0.5], [3, 3, 8])

    def test_a_group_need_not_lie_together(self, kind: type[GroupRank]) -> None:
        apart = score(kind(Column("a"), size=2), [0.1, 0.9, 0.5, 0.2], [3, 8, 3, 8])
        together = score(kind(Column("a"), size=2), [0.1, 0.5, 0.9, 0.2], [3, 3, 8, 8])
        assert [apart[row] for row in (0, 2, 1, 3)] == together

    def test_groups_must_be_said(self, kind: type[GroupRank]) -> None:
        with pytest.raises(MissingColumn, match="group"):
            kind(Column("a"))(**batch(a=[0.1]))
