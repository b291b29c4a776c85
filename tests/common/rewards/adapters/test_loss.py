"""A differentiable reward as a loss: the gradient, rows without a score, weights that change, and refusals."""

from __future__ import annotations

import pytest
import torch

from common.errors import GraderFailure, MissingColumn, RewardError, UsageError
from common.rewards.adapters.loss import PATIENCE, to_loss
from common.rewards.base import Reward, RewardOutput
from common.rewards.text import ExactMatch
from common.schedule import Schedule


class Root(Reward):
    """sqrt(x): below 0 it is NaN, and so is the gradient there."""

    name, needs, differentiable = "root", ("x",), True

    def score(self, **columns):
        reasons = ["" if value >= 0 else "below 0" for value in columns["x"].tolist()]
        return RewardOutput(columns["x"].sqrt(), info={"reason": reasons})


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def gradient(weight: object, *values: float, **more: int) -> list[float]:
    x = column(*values)
    to_loss(Root(), weight)(x=x, **more).value.backward()
    return x.grad.tolist()


def test_the_gradient_is_that_of_minus_weight_times_the_mean():
    x = column(0.25, 1.0, 4.0)
    (-3.0 * x.sqrt().mean()).backward()
    assert gradient(3.0, 0.25, 1.0, 4.0) == pytest.approx(x.grad.tolist())
    found = to_loss(Root(), 3.0)(x=column(0.25, 1.0, 4.0))
    assert (found.value.item(), found.reward, found.unscored) == (pytest.approx(-3.5), pytest.approx(3.5 / 3), 0)


def test_a_row_without_a_score_has_no_influence_and_is_counted():
    assert gradient(1.0, 0.25, -1.0, 4.0) == [gradient(1.0, 0.25, 4.0)[0], 0.0, gradient(1.0, 0.25, 4.0)[1]]
    found = to_loss(Root())(x=column(0.25, -1.0, 4.0))
    assert (found.unscored, found.reward) == (1, pytest.approx(1.25))


def test_where_no_row_has_a_score_nothing_is_moved_and_a_grader_that_goes_on_failing_stops_the_run():
    loss = to_loss(Root())
    x = column(-1.0, -1.0)
    found = loss(x=x)
    found.value.backward()
    assert (found.value.item(), found.unscored, x.grad) == (0.0, 2, None)
    loss(x=column(1.0, 1.0))
    for _ in range(PATIENCE - 1):
        loss(x=column(-1.0, 1.0))
    with pytest.raises(GraderFailure, match=r"1 of 2 rows could not be scored, .* \(below 0\)"):
        loss(x=column(-1.0, 1.0))


def test_the_weight_follows_a_schedule_by_the_step():
    at = [gradient([0, 2.0, 0.0, 10], 1.0, step=step) for step in (0, 5, 10)]
    assert at == [[-1.0], [-0.5], [0.0]]
    assert to_loss(Root(), Schedule(((0.0, 1.0), (4.0, 5.0))))(x=column(1.0), step=2).weight == 3.0
    with pytest.raises(MissingColumn, match="'step'"):
        to_loss(Root(), [0, 2.0, 0.0, 10])(x=column(1.0))


def test_what_has_no_gradient_and_what_is_no_weight_are_refused():
    with pytest.raises(RewardError, match="'exact_match' has no gradient"):
        to_loss(ExactMatch())
    with pytest.raises(UsageError, match="weight: 'much' is no schedule"):
        to_loss(Root(), "much")
