"""What the audit of a driving reward measures; `audit` puts it together."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.driving.auditing.acts import GOOD, STANDING
from apps.driving.auditing.play import LENGTH
from apps.driving.auditing.result import Cell, Ranking
from common.rewards.audit import measures as measure
from common.rewards.base import Reward, take_rows
from common.stats import Interval, auc, bootstrap, bootstrap_columns, spearman, wilson

if TYPE_CHECKING:
    from torch import Tensor

    from apps.driving.auditing.drives import Drives
    from apps.driving.auditing.play import Played, Steps

Floats = NDArray[np.float64]
#: A wrong way to drive must cost this share of what good driving earns beyond standing still, or it is no deterrent.
MARGIN = 0.2
#: Where good driving earns nothing beyond standing, a loss must be above this share of the reward's own span.
TIE = 1e-4
#: Rows in one call; as in a rollout, so that the cost is that of training.
BATCH = 256
RESAMPLES = 500
#: Step rewards that lie within this share of all of a drive's range of each other count as the same.
SAME = 1e-3


@dataclass(frozen=True)
class Columns:
    """What a reward reads, of all steps.

    Attributes:
        state: `(N,)` float32 each.
        group: `(N,)` number of the drive or act.
        images: `(N, D)` features of the view, held between two pictures; None where nobody looks.
    """

    state: Mapping[str, Tensor]
    group: Tensor
    images: Tensor | None = None

    def __len__(self) -> int:
        """Steps."""
        return len(self.group)


def columns_of(steps: Steps, images: Tensor | None = None) -> Columns:
    """Steps as columns; the last of every drive or act is marked as cut off where it did not end."""
    import torch

    names = list(steps.states[0])
    table = torch.tensor([[state[name] for name in names] for state in steps.states], dtype=torch.float32)
    state = {name: table[:, place].clone() for place, name in enumerate(names)}
    group = torch.tensor(steps.episodes)
    last = torch.ones(len(group), dtype=torch.bool)
    last[:-1] = group[1:] != group[:-1]
    # RoboCLIP pays where an episode is over; an act is over where it is no longer played.
    state["truncated"] = torch.where(last & (state["terminated"] == 0), 1.0, state["truncated"])
    return Columns(state, group, images)


def score(reward: Reward, columns: Columns) -> tuple[Floats, float]:
    """Values `(N,)` of all steps, and the seconds that they took."""
    whole: dict[str, Any] = {"state": dict(columns.state), "group": columns.group}
    if columns.images is not None:
        whole["images"] = columns.images
    values: list[float] = []
    began = time.perf_counter()
    for start in range(0, len(columns), BATCH):
        rows = range(start, min(start + BATCH, len(columns)))
        values += reward(**take_rows(whole, rows, len(columns))).values.tolist()
    return np.array(values), time.perf_counter() - began


def sums(values: Floats, groups: Sequence[int]) -> Floats:
    """Undiscounted return of each drive or act; NaN where a step could not be scored."""
    found: Floats = np.asarray(np.bincount(np.asarray(groups), values), np.float64)
    return found


def worth(returns: Floats, played: Played) -> float:
    """What good driving earns a step beyond standing still: the unit that losses are measured in."""
    return float(np.nanmean(_of(returns, played, GOOD)) - np.nanmean(_of(returns, played, STANDING))) / LENGTH


def act_cells(returns: Floats, played: Played, unit: float) -> dict[str, Cell]:
    """Each wrong act against good driving in the same scene, over the same three seconds.

    An act that ends the episode earns nothing more: a reward under which an early end pays is found out.
    """
    own = dict(zip(_scenes(played, GOOD), _of(returns, played, GOOD), strict=True))
    found = {}
    for name in dict.fromkeys(played.acts):
        if name != GOOD:
            pairs = zip(_scenes(played, name), _of(returns, played, name), strict=True)
            found[name] = cell([own[scene] - value for scene, value in pairs], unit * LENGTH, _scale(returns))
    return found


def edit_cells(
    reference: Floats, values: Floats, names: Sequence[str], rows: Sequence[int], unit: float
) -> dict[str, Cell]:
    """Each edited transition against the one that it was made from, `rows` of the reference."""
    found: dict[str, list[float]] = {}
    for name, row, value in zip(names, rows, values, strict=True):
        found.setdefault(name, []).append(reference[row] - value)
    scale = _scale(np.concatenate([reference, values]))
    return {name: cell(drops, unit, scale) for name, drops in found.items()}


def cell(drops: Sequence[float], unit: float, scale: float) -> Cell:
    """One wrong behaviour under one reward.

    Args:
        drops: losses against good driving; NaN where one could not be scored.
        unit: what good driving earns beyond standing still over the same time.
        scale: of the reward's values, so that rounding is no loss.
    """
    known = np.array([drop for drop in drops if not math.isnan(drop)])
    least = max(MARGIN * unit, TIE * scale)
    return Cell(
        wilson(int((known >= least).sum()), known.size) if scale > 0 else wilson(0, known.size),
        wilson(int((known > TIE * scale).sum()), known.size),
        bootstrap(known / unit) if unit > TIE * scale else _none(known.size),
        len(drops) - known.size,
    )


def together(cells: Mapping[str, Cell]) -> Interval:
    """All kills of several behaviours, each counted as often as it was tried."""
    n = sum(one.killed.n for one in cells.values())
    return wilson(sum(round(one.killed.mean * one.killed.n) for one in cells.values() if one.killed.n), n)


def ordering(returns: Floats, played: Played) -> Interval:
    """Chance that good driving in any scene earns more than a wrong act in any; scenes are resampled whole."""
    labels = np.array([float(name == GOOD) for name in played.acts])
    return bootstrap_columns([returns, labels], auc, n=RESAMPLES, groups=played.scenes)


def collapse(returns: Floats, played: Played) -> Interval:
    """Share of scenes in which good and wrong driving earn within 5 % of the reward's whole range of each other."""
    scale = _scale(returns)
    return measure.spread(returns.tolist(), played.scenes, scale).collapse if scale > 0 else wilson(1, 1)


def flatness(values: Floats) -> float:
    """Share of steps that get the most frequent value: what is flat there teaches nothing."""
    known = values[~np.isnan(values)]
    if not known.size:
        return math.nan
    low, high = np.quantile(known, [0.01, 0.99])
    step = SAME * (high - low) or 1.0
    counts = np.unique(np.round(known / step), return_counts=True)[1]
    return float(counts.max() / known.size)


def ranking(returns: Floats, drives: Drives) -> Ranking:
    """Returns of drives against their driving scores; drives of one route are resampled together."""
    columns = [returns, np.asarray(drives.scores)]
    scale = _scale(returns)
    return Ranking(
        bootstrap_columns(columns, spearman, n=RESAMPLES, groups=drives.routes),
        measure.pairwise_accuracy(returns.tolist(), drives.scores, drives.routes, scale or 1.0),
        returns.tolist(),
    )


def _of(returns: Floats, played: Played, name: str) -> Floats:
    return returns[[place for place, act in enumerate(played.acts) if act == name]]


def _scenes(played: Played, name: str) -> list[int]:
    return [scene for scene, act in zip(played.scenes, played.acts, strict=True) if act == name]


def _scale(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.ptp(known)) if known.size else 0.0


def _none(n: int) -> Interval:
    return Interval(math.nan, math.nan, math.nan, n)
