r"""Elo ratings of methods from pairwise comparisons: maximum likelihood with a weak prior, and intervals.

With :math:`w_{ij}` the points that i took from j (1 for a win, ½ for a tie), Bradley and Terry's model on Elo's scale:

.. math:: \min_e -\sum_{i \ne j} w_{ij} \log \sigma\Bigl(\tfrac{\ln 10}{400} (e_i - e_j)\Bigr)
    + \sum_i \frac{(e_i - 1000)^2}{2 \cdot 400^2}

GPTEval3D (arXiv 2401.04092, after GLIDE) has no prior, so that a method that never loses has no finite rating (its
optimiser stops at 1697.6), and counts a tie as a win of both. Here every record has one, by Newton's method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UsageError
from common.stats import Interval

Floats = NDArray[np.float64]

#: The prior of a rating.
MEAN, DEVIATION = 1000.0, 400.0
SCALE = math.log(10) / 400


@dataclass(frozen=True)
class Game:
    """One pair of scenes of one prompt, judged in both orders.

    Attributes:
        prompt: what both show.
        first: a method.
        second: another one.
        score: points of the first: 1, 0, or between where the two orders differ or a judge is undecided.
    """

    prompt: str
    first: str
    second: str
    score: float


@dataclass(frozen=True)
class Rating:
    """One method.

    Attributes:
        elo: with its interval; n is the number of its games.
        wins: games with more than half the points.
        ties: with half.
        losses: with less.
    """

    elo: Interval
    wins: int
    ties: int
    losses: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"elo": self.elo.to_dict(), "wins": self.wins, "ties": self.ties, "losses": self.losses}


def ratings(wins: Floats, fixed: Mapping[int, float] | None = None) -> Floats:
    """Ratings of the most likely model; finite for every record.

    Args:
        wins: `(..., M, M)` points that the row's method took from the column's; the diagonal does not count.
        fixed: ratings of methods that stay as they are.

    Returns:
        `(..., M)`; where none is fixed their mean is 1000.

    Raises:
        UsageError: points below 0 or that are no numbers.
    """
    points = _checked(wins)
    count = points.shape[-1]
    free = np.array([at not in (fixed or {}) for at in range(count)])
    found = np.full(points.shape[:-1], MEAN)
    for at, value in (fixed or {}).items():
        found[..., at] = value
    if not free.any():
        return found
    for _ in range(100):
        slope, curve = _derivatives(points, found)
        step = np.zeros_like(found)
        # The curvature is positive definite by the prior, so the system has a solution for every record.
        step[..., free] = -np.linalg.solve(curve[..., free, :][..., free], slope[..., free, None])[..., 0]
        if float(np.abs(step).max()) < 1e-9:
            break
        loss, share = _loss(points, found), np.ones(found.shape[:-1])
        for _ in range(40):
            worse = _loss(points, found + share[..., None] * step) > loss + 1e-12 * np.abs(loss)
            if not worse.any():
                break
            share = np.where(worse, share / 2, share)
        found = found + share[..., None] * step
    return found


def deviations(wins: Floats, elo: Floats, fixed: Mapping[int, float] | None = None) -> Floats:
    """Standard deviations `(M,)` of ratings by the curvature of the likelihood, as if all games were independent.

    Where none is fixed, those of the distances to the methods' mean: the common level is the prior's alone.
    """
    points = _checked(wins)
    count = len(elo)
    free = [at for at in range(count) if at not in (fixed or {})]
    found = np.zeros(count)
    if not free:
        return found
    _, curve = _derivatives(points, elo)
    spread = np.linalg.inv(curve[np.ix_(free, free)])
    if not fixed:
        centred = np.eye(count) - 1 / count
        spread = centred @ spread @ centred
    found[free] = np.sqrt(np.diag(spread).clip(min=0))
    return found


def rate(
    games: Sequence[Game],
    methods: Sequence[str],
    fixed: Mapping[str, float] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Rating]:
    """Rate methods, each with an interval: the wider of a bootstrap over prompts and of the likelihood's curvature.

    The bootstrap knows that games of one prompt are alike; but no resample of a record without a loss has one, so by
    itself it would call that record certain.

    Args:
        games: judged in both orders.
        methods: all that are rated, in the order wanted.
        fixed: ratings of methods that stay as they are; of the same judge only.
        resamples: of the bootstrap.
        seed: same seed, same intervals.
        level: confidence level.

    Raises:
        UsageError: a game of a method that is not rated, or a score outside of [0, 1].
    """
    number = {name: at for at, name in enumerate(methods)}
    prompts = list(dict.fromkeys(game.prompt for game in games))
    tables = np.zeros((len(prompts), len(methods), len(methods)))
    for game in games:
        if game.first not in number or game.second not in number or game.first == game.second:
            raise UsageError(f"a game between {game.first!r} and {game.second!r}; rated are {', '.join(methods)}")
        if not 0 <= game.score <= 1:
            raise UsageError(f"a score of {game.score} in a game of {game.prompt!r}: use 0 to 1, and leave NaN out")
        row = tables[prompts.index(game.prompt)]
        row[number[game.first], number[game.second]] += game.score
        row[number[game.second], number[game.first]] += 1 - game.score
    held = {number[name]: value for name, value in (fixed or {}).items() if name in number}
    whole = tables.sum(0)
    elo = ratings(whole, held)
    low, high = _ends(tables, whole, elo, held, resamples, seed, level)
    return {name: _rating(games, name, elo[at], low[at], high[at], level) for name, at in number.items()}


def _ends(
    tables: Floats, whole: Floats, elo: Floats, held: Mapping[int, float], resamples: int, seed: int, level: float
) -> tuple[Floats, Floats]:
    tail = (1 - level) / 2
    spread = NormalDist().inv_cdf(1 - tail) * deviations(whole, elo, held)
    if len(tables) < 2:
        return elo - spread, elo + spread
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(tables), np.full(len(tables), 1 / len(tables)), size=resamples).astype(float)
    drawn = ratings(np.einsum("rp,pij->rij", weights, tables), held)
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return np.minimum(low, elo - spread), np.maximum(high, elo + spread)


def _rating(games: Sequence[Game], name: str, elo: float, low: float, high: float, level: float) -> Rating:
    own = [game.score if game.first == name else 1 - game.score for game in games if name in (game.first, game.second)]
    if not own:
        nothing = Interval(math.nan, math.nan, math.nan, 0, level)
        return Rating(nothing, 0, 0, 0)
    won, lost = sum(score > 0.5 for score in own), sum(score < 0.5 for score in own)
    found = Interval(float(elo), float(low), float(high), len(own), level)
    return Rating(found, won, len(own) - won - lost, lost)


def _checked(wins: Floats) -> Floats:
    points = np.array(wins, dtype=float)
    if points.ndim < 2 or points.shape[-1] != points.shape[-2] or not (points >= 0).all() or np.isinf(points).any():
        raise UsageError(f"ratings need points (..., M, M) of 0 or more; these are of shape {points.shape}")
    return np.where(np.eye(points.shape[-1], dtype=bool), 0.0, points)


def _loss(points: Floats, elo: Floats) -> Floats:
    gap = SCALE * (elo[..., :, None] - elo[..., None, :])
    total: Floats = (points * np.logaddexp(0, -gap)).sum((-2, -1)) + ((elo - MEAN) ** 2).sum(-1) / (2 * DEVIATION**2)
    return total


def _derivatives(points: Floats, elo: Floats) -> tuple[Floats, Floats]:
    """Gradient `(..., M)` and Hessian `(..., M, M)` of the loss."""
    gap = SCALE * (elo[..., :, None] - elo[..., None, :])
    beaten = np.exp(-np.logaddexp(0, gap))  # how likely the row's method loses, without overflow
    surprise = points * beaten
    slope = SCALE * (np.swapaxes(surprise, -1, -2) - surprise).sum(-1) + (elo - MEAN) / DEVIATION**2
    weight = SCALE**2 * (points + np.swapaxes(points, -1, -2)) * beaten * (1 - beaten)
    curve = -weight
    diagonal = np.arange(points.shape[-1])
    curve[..., diagonal, diagonal] = weight.sum(-1) + 1 / DEVIATION**2
    return slope, curve
