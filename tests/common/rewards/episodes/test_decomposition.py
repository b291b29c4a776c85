"""Return decomposition: an unbiased loss that never divides by nothing, and a dense reward that sums to the return."""

from __future__ import annotations

import itertools
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput, take_rows
from common.rewards.check import check_reward
from common.rewards.episodes.decomposition import ReturnDecomposition, rrd_loss

WEIGHTS = torch.tensor([0.5, -1.0, 0.25])


class Sparse(Reward):
    """The column `r`."""

    name = "sparse"
    needs = ("r",)
    bounds = (-30.0, 30.0)

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(columns["r"])


def factors(state: dict[str, Tensor]) -> Tensor:
    return torch.stack([state["a"], state["b"], state["c"]], 1)


def episode(number: int, length: int) -> dict[str, Any]:
    """An episode whose return, a weighted sum of its factors, comes with its last step."""
    rows = torch.rand(length, 3, generator=torch.Generator().manual_seed(number))
    paid = torch.zeros(length)
    paid[-1] = (rows @ WEIGHTS).sum()
    ends = torch.zeros(length)
    ends[-1] = 1
    state = {"a": rows[:, 0], "b": rows[:, 1], "c": rows[:, 2], "step": torch.arange(1.0, length + 1)}
    state |= {"terminated": ends, "truncated": torch.zeros(length)}
    return {"r": paid, "state": state, "group": torch.full((length,), number)}


def learner(**settings: Any) -> ReturnDecomposition:
    given = {"draws": 8, "episodes": 16, "hidden": 0, "learning_rate": 0.02, "warmup": 4, **settings}
    return ReturnDecomposition(Sparse(), factors, 3, **given)


def trained(rounds: int = 24, **settings: Any) -> ReturnDecomposition:
    reward = learner(**settings)
    for step in range(rounds):
        reward(**episode(step, 10 + 3 * (step % 4)), step=step)
    return reward


class TestLoss:
    @pytest.mark.parametrize("draws", [2, 3, 4])
    def test_it_is_unbiased(self, draws: int) -> None:
        values, total = torch.tensor([0.3, -1.0, 2.0, 0.1, 0.7]), 4.0
        exact = (total / 5 - values.mean()) ** 2
        known, lengths = torch.ones(1, draws, dtype=torch.bool), torch.tensor([5.0])
        losses = {
            unbiased: torch.stack(
                [
                    rrd_loss(values[list(picks)][None], known, torch.tensor([total]), lengths, unbiased)
                    for picks in itertools.combinations(range(5), draws)
                ]
            ).mean()
            for unbiased in (True, False)
        }
        assert losses[True].item() == pytest.approx(exact.item(), abs=1e-6)
        assert losses[False].item() > exact.item() + 0.01

    def test_more_draws_than_steps_and_a_single_step(self) -> None:
        drawn = torch.tensor([[0.5, 9.0, 9.0], [1.0, 3.0, 9.0]], requires_grad=True)
        known = torch.tensor([[True, False, False], [True, True, False]])
        loss = rrd_loss(drawn, known, torch.tensor([0.5, 5.0]), torch.tensor([1.0, 2.0]))
        # R / T − f is 0 for the first and 2.5 − 2 for the second, whose steps were all drawn.
        assert loss.item() == pytest.approx(0.125)
        loss.backward()
        assert drawn.grad is not None
        assert drawn.grad.isfinite().all()


class TestLearning:
    @pytest.mark.parametrize("settings", [{}, {"draws": 64}, {"draws": 4}], ids=["some", "all", "few"])
    def test_an_episodes_sum_is_near_its_return(self, settings: dict[str, Any]) -> None:
        reward = trained(**settings)
        for number, length in ((100, 16), (101, 25), (102, 7)):
            columns = episode(number, length)
            values = reward(**columns).values
            assert values.sum().item() == pytest.approx(columns["r"].sum().item(), abs=0.05 * length)
            # Dense: not all in the last step.
            assert values[:-1].abs().max() > 0.1

    def test_the_network_learns_too(self) -> None:
        reward = trained(hidden=16, learning_rate=5e-3)
        columns = episode(100, 20)
        assert reward(**columns).values.sum().item() == pytest.approx(columns["r"].sum().item(), abs=2.0)

    def test_until_enough_is_known_the_reward_is_the_inner_one(self) -> None:
        reward = learner()
        for step in range(4):
            columns = episode(step, 5)
            assert torch.equal(reward(**columns, step=step).values, columns["r"])
        assert not reward.ready
        reward(**episode(4, 5), step=4)
        assert reward.ready

    def test_pieces_order_and_repetition_change_nothing(self) -> None:
        whole, pieces = trained(8), learner()
        for step in range(8):
            columns = episode(step, 10 + 3 * (step % 4))
            size = len(columns["r"])
            order = torch.randperm(size - 1, generator=torch.Generator().manual_seed(step)).tolist()
            for rows in (order[:4], order[4:], order[:2], [size - 1], [size - 1]):
                pieces(**take_rows(columns, rows, size), step=step)
        columns = episode(50, 9)
        torch.testing.assert_close(pieces(**columns).values, whole(**columns).values)

    def test_a_step_is_scored_alike_however_often(self) -> None:
        reward, columns = trained(8), episode(60, 9)
        one = reward(**columns, step=8).values
        assert torch.equal(reward(**columns, step=8).values, one)
        assert torch.equal(reward(**columns).values, one)
        # The next step has learnt from it.
        assert not torch.equal(reward(**columns, step=9).values, one)

    def test_single_steps_and_returns_of_nothing(self) -> None:
        reward = learner()
        for step in range(8):
            columns = episode(step, 1)
            columns["r"] = torch.zeros(1)
            reward(**columns, step=step)
        assert reward.ready
        assert reward(**episode(9, 3)).values.isfinite().all()

    def test_the_limit(self) -> None:
        reward = trained(limit=0.1)
        values = reward(**episode(100, 20)).values
        assert values.abs().max().item() == pytest.approx(0.1)
        assert reward.bounds == (-30.0, 30.0)


class TestFaults:
    def test_what_is_not_whole_is_not_learnt_from(self) -> None:
        reward = learner(warmup=1)
        headless = take_rows(episode(0, 6), range(2, 6), 6)
        reward(**headless, step=0)
        gap = take_rows(episode(1, 6), [0, 1, 4, 5], 6)
        reward(**gap, step=1)
        broken = episode(2, 6)
        broken["state"]["a"][3] = math.nan
        reward(**broken, step=2)
        reward(**episode(3, 6), step=3)
        assert reward.skipped == 3
        assert not reward.ready
        reward(**episode(4, 6), step=4)
        assert reward.ready

    def test_broken_factors_are_nan(self) -> None:
        columns = episode(100, 5)
        columns["state"]["b"][1] = math.nan
        output = trained(8)(**columns)
        assert output.values.isnan().tolist() == [False, True, False, False, False]
        assert output.info["factors"][1] == output.info["reason"][1] == "the factors are no number"

    def test_factors_of_another_shape_are_the_callers_fault(self) -> None:
        with pytest.raises(RewardError, match="shape"):
            ReturnDecomposition(Sparse(), factors, 4)(**episode(0, 3))

    @pytest.mark.parametrize("options", [{"draws": 1}, {"warmup": 600}, {"limit": 0.0}, {"updates": 0}])
    def test_settings_that_cannot_be(self, options: dict[str, Any]) -> None:
        with pytest.raises(RewardError):
            learner(**options)


def test_a_resumed_run_goes_on_as_if_nothing_had_been() -> None:
    def go(reward: ReturnDecomposition, pieces: range) -> list[float]:
        values = []
        for piece in pieces:
            # Two pieces an episode: the checkpoint comes in the middle of one.
            columns, half = episode(piece // 2, 12), range(6) if piece % 2 == 0 else range(6, 12)
            values += reward(**take_rows(columns, list(half), 12), step=piece).values.tolist()
        return values

    straight = learner()
    expected = go(straight, range(21))[13 * 6 :]
    cut = learner()
    go(cut, range(13))
    resumed = learner()
    resumed.load_state_dict(pickle.loads(pickle.dumps(cut.state_dict())))
    assert go(resumed, range(13, 21)) == expected
    assert go(pickle.loads(pickle.dumps(cut)), range(13, 21)) == expected


def test_the_checker_passes() -> None:
    check_reward(learner(), episode(0, 6))
    check_reward(trained(8), episode(100, 6))
