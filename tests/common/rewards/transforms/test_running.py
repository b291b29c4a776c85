"""Running moments, counts: the same however the numbers were cut, and the same after a restart."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards.base import Reward
from common.rewards.compose import WeightedSum
from common.rewards.episodes import CountDecay
from common.rewards.state import with_state
from common.rewards.transforms.running import Moments, RunningNormalize
from tests.common.rewards.toy import Column, batch

NAN = math.nan


def score(reward: Reward, values: list[float], step: int | None = None) -> list[float]:
    columns: dict[str, Any] = batch(a=values)
    if step is not None:
        columns["step"] = step
    return reward(**columns).values.tolist()


class TestMoments:
    @given(
        st.lists(st.lists(st.floats(-1e3, 1e3), max_size=5), min_size=1, max_size=5).filter(
            lambda it: sum(map(len, it))
        ),
    )
    def test_however_they_are_cut(self, parts: list[list[float]]) -> None:
        whole = torch.tensor([one for part in parts for one in part], dtype=torch.float64)
        found = Moments()
        for part in parts:
            found = found.merge(Moments.of(torch.tensor(part, dtype=torch.float64)))
        backwards = Moments()
        for part in reversed(parts):
            backwards = Moments.of(torch.tensor(part, dtype=torch.float64)).merge(backwards)
        for one in (found, backwards):
            assert one.count == len(whole)
            assert one.mean == pytest.approx(float(whole.mean()), abs=1e-9)
            assert one.deviation == pytest.approx(float(whole.std(correction=0)), abs=1e-6)

    def test_a_small_spread_far_from_zero_survives(self) -> None:
        """The sum of squares less the square of the sum loses it."""
        found = Moments()
        for _ in range(100):
            found = found.merge(Moments.of(torch.tensor([1e8, 1e8 + 1, 1e8 + 2], dtype=torch.float64)))
        assert found.deviation == pytest.approx(math.sqrt(2 / 3), rel=1e-6)


class TestNormalize:
    def make(self, **settings: Any) -> RunningNormalize:
        return RunningNormalize(Column("a", bounds=(0, 4)), warmup=3, **settings)

    def test_truth_table(self) -> None:
        reward = self.make()
        assert score(reward, [0.0, 2.0, 4.0], 0) == [-1.0, 0.0, 1.0], "warming up: the bounds"
        # Mean 2, deviation sqrt(8/3).
        found = score(reward, [2.0, 4.0, NAN], 1)
        assert found == pytest.approx([0.0, 2 / math.sqrt(8 / 3), NAN], nan_ok=True)
        assert score(reward, [2.0, 4.0, NAN], 1) == pytest.approx(found, nan_ok=True), "a step does not feed on itself"

    def test_without_centring_nothing_stays_nothing(self) -> None:
        reward = self.make(centred=False)
        score(reward, [0.0, 2.0, 4.0], 0)
        assert score(reward, [0.0, 4.0], 1) == pytest.approx([0.0, 4 / math.sqrt(8 / 3)])

    def test_a_past_without_spread_does_not_blow_up_the_next_score(self) -> None:
        reward = self.make(noise=0.5)
        score(reward, [2.0] * 8, 0)
        assert score(reward, [2.0, 2.1], 1) == pytest.approx([0.0, 0.2])
        assert score(reward, [4.0], 1) == pytest.approx([4.0])
        sharp = self.make(limit=3.0)
        score(sharp, [2.0] * 8, 0)
        assert score(sharp, [2.1], 1) == [3.0]

    def test_an_evaluation_teaches_it_nothing(self) -> None:
        reward = self.make()
        score(reward, [0.0, 1.0, 2.0], 0)
        before = reward.state_dict()
        score(reward, [4.0] * 9)
        after = reward.state_dict()
        assert (before["moments"], before["pending"].tolist()) == (after["moments"], after["pending"].tolist())

    def test_resumed_equals_uninterrupted(self, tmp_path: Any) -> None:
        steps = [[0.5, 1.0, 3.0], [NAN, 2.0], [4.0, 0.0], [1.0, 2.0]]
        whole = self.make()
        expected = [score(whole, values, step) for step, values in enumerate(steps)]
        first = self.make()
        found = [score(first, values, step) for step, values in enumerate(steps[:2])]
        torch.save(first.state_dict(), tmp_path / "state.pt")
        second = self.make()
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        found += [score(second, values, step + 2) for step, values in enumerate(steps[2:])]
        assert [one for row in found for one in row] == pytest.approx(
            [one for row in expected for one in row], nan_ok=True
        )
        assert score(pickle.loads(pickle.dumps(second)), [0.3], 4) == score(whole, [0.3], 4)

    def test_processes_come_to_the_same_moments(self) -> None:
        ranks = [self.make(), self.make()]
        for reward, half in zip(ranks, ([0.0, 1.0], [3.0, 4.0, 2.0]), strict=True):
            score(reward, half, 0)
        pending = [reward.pending for reward in ranks]
        for reward in ranks:
            reward.synchronise(lambda _: pending)
        alone = self.make()
        score(alone, [0.0, 1.0, 3.0, 4.0, 2.0], 0)
        expected = score(alone, [0.5, 3.0], 1)
        assert [score(reward, [0.5, 3.0], 1) for reward in ranks] == [expected, expected]

    def test_a_trainer_finds_its_state_in_a_sum(self) -> None:
        reward = with_state(WeightedSum([(self.make(), 1.0), (Column("b"), 0.5)]))
        reward(**batch(a=[0.0, 1.0, 2.0], b=[0.1] * 3), step=0)
        reward(**batch(a=[0.0], b=[0.1]), step=1)
        state = reward.state_dict()  # type: ignore[attr-defined]
        assert state["a"]["moments"]["count"] == 3

    @pytest.mark.parametrize("settings", [{"noise": 0.0}, {"limit": 0.5}, {"warmup": 1}])
    def test_bad_settings_are_refused(self, settings: dict[str, Any]) -> None:
        with pytest.raises(RewardError, match="noise"):
            RunningNormalize(Column("a"), **settings)


class TestCountDecay:
    def rows(self, keys: list[Any], places: list[int], group: int = 0, step: int | None = None) -> dict[str, Any]:
        rest: dict[str, Any] = {} if step is None else {"step": step}
        where = {"group": torch.full((len(keys),), group), "state": {"step": torch.tensor(places)}}
        return {**batch(a=[1.0] * len(keys)), "event": keys, **where, **rest}

    @pytest.mark.parametrize(("beta", "expected"), [(1.0, [1, 1, 1 / 2, 1 / 3]), (0.5, [1, 1, 2**-0.5, 3**-0.5])])
    def test_truth_table(self, beta: float, expected: list[float]) -> None:
        output = CountDecay(Column("a"), beta=beta)(**self.rows(["x", "y", "x", "x"], [0, 1, 2, 3]))
        assert output.values.tolist() == pytest.approx(expected)
        assert output.parts["count"].tolist() == [1, 1, 2, 3]

    def test_pieces_of_an_episode_count_on(self) -> None:
        reward = CountDecay(Column("a"))
        reward(**self.rows(["x"], [0], step=0))
        assert reward(**self.rows(["x"], [1], step=1)).values.tolist() == [0.5]
        assert reward(**self.rows(["x"], [1], step=1)).values.tolist() == [0.5], "scored twice, counted once"
        assert reward(**self.rows(["x"], [0], group=1, step=1)).values.tolist() == [1.0], "another episode"
        assert reward(**self.rows(["x"], [9])).values.tolist() == [1.0], "an evaluation sees its own batch"
        again = CountDecay(Column("a"))
        again.load_state_dict(reward.state_dict())
        assert again(**self.rows(["x"], [2], step=2)).values.tolist() == pytest.approx([1 / 3])

    def test_vectors_are_told_apart_by_their_decimals(self) -> None:
        keys = torch.tensor([[0.501, -0.0], [0.499, 0.0], [0.51, 0.0]])
        found = CountDecay(Column("a"), decimals=2)(**self.rows(list(keys), [0, 1, 2]))
        assert found.values.tolist() == pytest.approx([1.0, 0.5, 1.0])
        coarse = CountDecay(Column("a"), decimals=1)(**self.rows(keys.tolist(), [0, 1, 2]))
        assert coarse.values.tolist() == pytest.approx([1.0, 0.5, 1 / 3])

    def test_an_observation_that_is_no_number_is_the_graders_fault(self) -> None:
        output = CountDecay(Column("a"))(**self.rows([[0.1], [NAN]], [0, 1]))
        assert output.values.tolist() == pytest.approx([1.0, NAN], nan_ok=True)
        assert output.info["reason"][1]

    def test_a_punishment_must_not_fade_by_repeating(self) -> None:
        with pytest.raises(RewardError, match="below 0"):
            CountDecay(Column("a", bounds=(-1, 1)))
        with pytest.raises(RewardError, match="row 0 is a NoneType"):
            CountDecay(Column("a"))(**self.rows([None], [0]))
