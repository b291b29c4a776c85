"""What is measured on held-out preference pairs: accuracy beside baselines, length bias, probes of the features."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.rewards.functional import token_f1
from common.rewards.trained.preferences import Preference
from common.stats import Interval, PairedTest, auc, bootstrap, bootstrap_columns, paired_bootstrap, spearman

#: `(N, 2)`: what a scorer gives the chosen and the rejected completion of each pair; NaN where it cannot tell.
Scores = np.ndarray
LEARNED, LONGER, RANDOM, F1 = "learned", "longer wins", "random", "token F1"
RESAMPLES = 1000
#: Inverse of the variance that a probe's weights are expected to have: it keeps few rows from being learnt by heart.
RIDGE = 1e-2


@dataclass(frozen=True)
class Accuracy:
    """How one scorer orders held-out pairs.

    Attributes:
        name: of the scorer.
        all: share of pairs in which the chosen completion scores higher; a tie counts half (RAG-RewardBench's figure).
        shorter: the same where the chosen one is the shorter, which no length bias can get right.
        longer: the same where it is the longer.
        length: Spearman's correlation of score and length in characters, over all completions.
    """

    name: str
    all: Interval
    shorter: Interval
    longer: Interval
    length: Interval


@dataclass(frozen=True)
class Probe:
    """How well one dimension can be read from the features by a linear model (MRMBench, November 2025).

    Attributes:
        name: of the dimension.
        accuracy: share of held-out completions whose label is right.
        majority: share that the more frequent label of the training completions gets right.
        auc: chance that a completion with the label is placed above one without it.
        trained: completions that the probe was fitted on.
    """

    name: str
    accuracy: Interval
    majority: float
    auc: float
    trained: int


@dataclass(frozen=True)
class Figures:
    """Everything that `train` measures.

    Attributes:
        accuracies: of the learned reward, then of the baselines.
        over_length: learned reward minus "longer wins", on the same pairs.
        probes: a dimension each.
        pairs: held-out pairs.
        prompts: held-out prompts, which intervals resample.
    """

    accuracies: tuple[Accuracy, ...]
    over_length: PairedTest
    probes: tuple[Probe, ...]
    pairs: int
    prompts: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        return {
            "pairs": self.pairs,
            "prompts": self.prompts,
            "accuracy": {one.name: _plain(one) for one in self.accuracies},
            "over_length": self.over_length.to_dict(),
            "probes": {one.name: _plain(one) for one in self.probes},
        }


def accuracy(name: str, scores: Scores, pairs: Sequence[Preference]) -> Accuracy:
    """How `scores` order the pairs; whole prompts are resampled."""
    lengths = np.array([[len(pair.chosen), len(pair.rejected)] for pair in pairs], float)
    groups = [pair.group for pair in pairs]
    right, gap = in_order(scores), lengths[:, 0] - lengths[:, 1]
    return Accuracy(
        name,
        bootstrap(right, groups=groups),
        bootstrap(np.where(gap < 0, right, np.nan), groups=groups),
        bootstrap(np.where(gap > 0, right, np.nan), groups=groups),
        bootstrap_columns(
            [scores.ravel(), lengths.ravel()],
            spearman,
            n=RESAMPLES,
            groups=[group for group in groups for _ in range(2)],
        ),
    )


def in_order(scores: Scores) -> np.ndarray:
    """`(N,)`: 1 where the chosen one scores higher, 1/2 for a tie, 0 where lower, NaN where a score is missing."""
    right: np.ndarray = (np.sign(scores[:, 0] - scores[:, 1]) + 1) / 2
    return right


def baselines(pairs: Sequence[Preference], seed: int) -> dict[str, Scores]:
    """What a learned reward must beat: length, chance, and overlap with a reference where there is one."""
    rng = random.Random(seed)
    found = {
        LONGER: np.array([[len(pair.chosen), len(pair.rejected)] for pair in pairs], float),
        RANDOM: np.array([[rng.random(), rng.random()] for _ in pairs]),
    }
    if any(pair.references for pair in pairs):
        found[F1] = np.array([[_f1(text, pair.references) for text in (pair.chosen, pair.rejected)] for pair in pairs])
    return found


def over_length(scores: Scores, pairs: Sequence[Preference], seed: int) -> PairedTest:
    """The learned reward against "longer wins" on the same pairs."""
    lengths = baselines(pairs, seed)[LONGER]
    return paired_bootstrap(in_order(lengths), in_order(scores), groups=[pair.group for pair in pairs])


def probes(
    features: Tensor, pairs: Sequence[Preference], train: Sequence[int], test: Sequence[int], names: Sequence[str]
) -> tuple[Probe, ...]:
    """A linear probe for each dimension, and for "length": whether a completion is longer than the median one.

    Args:
        features: `(N, 2, width)` of the chosen and the rejected completions.
        pairs: `(N,)` with their labels.
        train: indices of the pairs that probes are fitted on.
        test: indices of those they are measured on.
        names: of the labels.
    """
    middle = float(np.median([len(text) for at in train for text in (pairs[at].chosen, pairs[at].rejected)]))
    labels = {name: [pair.labels.get(name, (None, None)) for pair in pairs] for name in names} | {
        "length": [(len(pair.chosen) > middle, len(pair.rejected) > middle) for pair in pairs]
    }
    found = []
    for name, several in labels.items():
        both = [(at, side) for at in (*train, *test) for side in (0, 1)]
        # A completion that stands in several pairs is one completion.
        rows = {
            (pairs[at].group, _text(pairs[at], side)): (at, side) for at, side in both if several[at][side] is not None
        }
        tested = set(test)
        fitted = [place for place in rows.values() if place[0] not in tested]
        measured = [place for place in rows.values() if place[0] in tested]
        found.append(_probe(name, features, pairs, several, fitted, measured))
    return tuple(found)


def _probe(
    name: str,
    features: Tensor,
    pairs: Sequence[Preference],
    labels: Sequence[tuple[bool | None, bool | None]],
    fitted: Sequence[tuple[int, int]],
    measured: Sequence[tuple[int, int]],
) -> Probe:
    def taken(places: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        if not places:
            return features.new_zeros(0, features.shape[-1]).double(), torch.zeros(0, dtype=torch.float64)
        rows = torch.stack([features[at, side] for at, side in places]).double()
        return rows, torch.tensor([float(bool(labels[at][side])) for at, side in places], dtype=torch.float64)

    rows, truth = taken(fitted)
    asked, answers = taken(measured)
    if not len(answers) or truth.unique().numel() < 2:
        nothing = Interval(math.nan, math.nan, math.nan, len(answers))
        return Probe(name, nothing, math.nan, math.nan, len(truth))
    logits = LinearProbe(rows, truth)(asked)
    right = ((logits > 0).double() == answers).double().numpy()
    often = float(truth.mean() > 0.5)
    groups = [pairs[at].group for at, _ in measured]
    placed = auc(logits.numpy(), answers.numpy()) if answers.unique().numel() == 2 else math.nan
    return Probe(name, bootstrap(right, groups=groups), float((answers == often).double().mean()), placed, len(truth))


class LinearProbe:
    """Logistic regression with a ridge on standardised features, fitted by L-BFGS in double precision.

    Args:
        rows: `(N, width)` features.
        truth: `(N,)` labels, 0 or 1.
    """

    def __init__(self, rows: Tensor, truth: Tensor) -> None:
        self.centre, spread = rows.mean(0), rows.std(0)
        self.scale = torch.where(spread > 1e-9, spread, 1.0)
        self.weights = torch.zeros(rows.shape[1] + 1, dtype=rows.dtype, requires_grad=True)
        optimizer = torch.optim.LBFGS([self.weights], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            fit = torch.nn.functional.binary_cross_entropy_with_logits(self(rows), truth)
            loss: Tensor = fit + RIDGE * self.weights[:-1].square().sum() / 2
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)
        self.weights = self.weights.detach()

    def __call__(self, rows: Tensor) -> Tensor:
        """`(N,)` log-odds of label 1."""
        return (rows - self.centre) / self.scale @ self.weights[:-1] + self.weights[-1]


def _text(pair: Preference, side: int) -> str:
    return pair.rejected if side else pair.chosen


def _f1(text: str, references: Sequence[str]) -> float:
    return max((token_f1(text, one) for one in references), default=math.nan)


def _plain(one: Any) -> Mapping[str, Any]:
    told: dict[str, Any] = {}
    for name, value in asdict(one).items():
        if isinstance(value, dict):
            told[name] = {key: None if number != number else number for key, number in value.items()}
        elif name != "name":
            told[name] = None if value != value else value
    return told
