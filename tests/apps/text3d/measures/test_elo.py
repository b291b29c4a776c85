"""Elo ratings against closed forms, against scipy, and under the records that break an optimiser without prior."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.text3d.measures.elo import DEVIATION, MEAN, SCALE, Game, deviations, rate, ratings
from common.errors import UsageError


def loss(elo, wins):
    gap = SCALE * (elo[:, None] - elo[None, :])
    return (wins * np.logaddexp(0, -gap)).sum() + ((elo - MEAN) ** 2).sum() / (2 * DEVIATION**2)


def test_it_is_the_most_likely_model():
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    for count in (2, 5, 9):
        wins = rng.integers(0, 30, (count, count)).astype(float)
        np.fill_diagonal(wins, 0)
        wins[0] = 0  # one that never wins
        found = ratings(wins)
        best = minimize(loss, np.full(count, MEAN), args=(wins,), method="BFGS", options={"gtol": 1e-9})
        # scipy's differences of the loss stop it a little before the optimum, by how much depends on its version.
        assert found == pytest.approx(best.x, abs=0.5)
        assert loss(found, wins) <= best.fun + 1e-12
        assert found.mean() == pytest.approx(MEAN)


def test_a_record_without_a_loss_is_finite_and_more_of_it_counts_more():
    found = [ratings(np.array([[0.0, wins], [0.0, 0.0]])) for wins in (1, 10, 1000, 1e6)]
    gaps = [one[0] - one[1] for one in found]
    assert all(math.isfinite(gap) for gap in gaps)
    assert 0 < gaps[0] < gaps[1] < gaps[2] < gaps[3] < 5000
    # At the optimum the prior's pull equals the points that were not expected.
    for wins, one in zip((1, 10, 1000), found, strict=False):
        missed = wins / (1 + math.exp(SCALE * (one[0] - one[1])))
        assert SCALE * missed == pytest.approx((one[0] - MEAN) / DEVIATION**2, rel=1e-6)


def test_three_wins_of_four_are_191_points_where_there_are_many():
    wins = np.array([[0.0, 7500.0], [2500.0, 0.0]])
    high, low = ratings(wins)
    assert high - low == pytest.approx(400 * math.log10(3), abs=0.5)
    assert ratings(wins, {1: 1000.0}) == pytest.approx([1000 + 400 * math.log10(3), 1000], abs=0.5)
    # The published noise: a standard deviation of some 25 to 35 points for 200 games at level.
    even = np.array([[0.0, 100.0], [100.0, 0.0]])
    assert 20 < deviations(even, ratings(even), {1: 1000.0})[0] < 35
    assert deviations(even, ratings(even), {0: 1000.0, 1: 1000.0}).tolist() == [0, 0]


def test_many_records_at_once_are_each_as_alone():
    rng = np.random.default_rng(1)
    wins = rng.integers(0, 9, (20, 4, 4)).astype(float) * (rng.random((20, 4, 4)) < 0.5)
    together = ratings(wins)
    assert together == pytest.approx(np.stack([ratings(one) for one in wins]), abs=1e-4)


def test_intervals_hold_what_they_should():
    """Of methods of known strength the 95 % intervals of the difference hold the truth about as often."""
    rng = np.random.default_rng(2)
    truth, held = 120.0, 0
    chance = 1 / (1 + 10 ** (-truth / 400))
    for _ in range(100):
        games = [Game(str(prompt), "a", "b", float(rng.random() < chance)) for prompt in range(150)]
        found = rate(games, ["a", "b"], fixed={"b": 1000.0}, resamples=200)["a"].elo
        held += found.low <= 1000 + truth <= found.high
    assert held >= 88


def test_a_table_with_ties_and_a_method_that_never_played():
    games = [Game("x", "a", "b", 1.0), Game("y", "a", "b", 0.5), Game("y", "b", "c", 0.0), Game("z", "c", "a", 0.25)]
    found = rate(games, ["a", "b", "c", "idle"])
    assert [(one.wins, one.ties, one.losses) for one in found.values()] == [(2, 1, 0), (0, 1, 2), (1, 0, 1), (0, 0, 0)]
    assert found["a"].elo.mean > found["c"].elo.mean > found["b"].elo.mean
    assert found["a"].elo.low < found["a"].elo.mean < found["a"].elo.high
    assert found["a"].elo.n == 3
    assert math.isnan(found["idle"].elo.mean)


def test_all_wins_are_not_called_certain():
    games = [Game(str(prompt), "a", "b", 1.0) for prompt in range(12)]
    found = rate(games, ["a", "b"])
    assert found["a"].elo.low < found["a"].elo.mean - 50
    assert found["a"].elo.low > found["b"].elo.high - 600
    assert found["a"].losses == 0


@pytest.mark.parametrize("score", [math.nan, 1.2, -0.1])
def test_an_outage_never_gets_in_as_a_score(score):
    with pytest.raises(UsageError, match="leave NaN out"):
        rate([Game("x", "a", "b", score)], ["a", "b"])
    with pytest.raises(UsageError, match="rated are a"):
        rate([Game("x", "a", "b", 1.0)], ["a"])
    with pytest.raises(UsageError, match="points"):
        ratings(np.array([[0.0, -1.0], [0.0, 0.0]]))
