"""Where "safe" ends and "dangerous" begins, for one CLIP and one wording.

VLM-RL maps the gap of cosines z through two thresholds, 0 and 0.03, that were found by hand for ViT-bigG and its two
texts. With another model they say "safe" always, or never. Here they are fitted to pictures whose danger is known,
kept with a digest of the model's weights and the texts, and refused where either is another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from apps.driving.calibration_rule import NARROWEST, RULE, Bin, Floats, brier, choose, curve, ramp, success_cosine
from apps.driving.goals import Goals
from apps.driving.reward_config import GoalConfig, worded
from common.errors import DataError, UsageError
from common.files import locate, read_json, write_json
from common.rewards.image import functional
from common.stats import Interval, auc, bootstrap_columns

if TYPE_CHECKING:
    from torch import Tensor

    from common.models.clip import Clip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """Thresholds and what they belong to. Every figure is of pictures that the thresholds were not fitted to.

    Attributes:
        low: z that is safe.
        high: z that is dangerous.
        success: cosine with `goals.safe` that VLM-SR asks for: the greatest difference of hit and false alarm rates.
        digest: of the CLIP's weights, the texts and their weights.
        clip: the CLIP's name, for people.
        goals: the texts.
        weights: a and b.
        auc: chance that a dangerous picture has the higher z, with interval.
        brier: balanced mean squared error of 1 − c to the known danger; 0.25 says nothing.
        fitted: pictures that the thresholds come from.
        curve: known danger by z.
        rule: how the thresholds were chosen.
    """

    low: float
    high: float
    success: float
    digest: str
    clip: str
    goals: Goals
    weights: tuple[float, float]
    auc: Interval
    brier: float
    fitted: int
    curve: tuple[Bin, ...] = ()
    rule: str = field(default=RULE)

    @property
    def informative(self) -> bool:
        """Whether z rises with danger beyond chance."""
        return self.auc.low > 0.5

    def write(self, path: Path | str) -> Path:
        """Write the calibration as JSON, atomically."""
        known = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        curve = [{"z": one.z, "said": one.said, "danger": one.danger.to_dict()} for one in self.curve]
        return write_json(
            path, {**known, "goals": asdict(self.goals), "auc": self.auc.to_dict(), "curve": curve, "format": 1}
        )


def calibrate(
    clip: Clip,
    config: GoalConfig,
    pictures: Tensor,
    danger: ArrayLike,
    groups: Sequence[Any] | None = None,
    narrowest: float = NARROWEST,
    seed: int = 0,
) -> Calibration:
    """Choose the thresholds on one half of the pictures by `RULE`, and measure them on the other.

    Args:
        clip: the CLIP that will see.
        config: goals and weights.
        pictures: `(N, 3, H, W)` RGB in [0, 1], or features `(N, dim)` of this CLIP.
        danger: `(N,)` in [0, 1], 1 dangerous.
        groups: `(N,)` scenes or episodes, which are never split between the halves; each picture by itself otherwise.
        narrowest: least distance of the thresholds.
        seed: of the split and the intervals.

    Raises:
        UsageError: too few pictures, danger out of range or all the same in a half, or a z that does not vary.
    """
    goals = worded(config)
    weights = (config.weight_positive, config.weight_negative)
    z, likeness = gaps(clip, goals, weights, pictures)
    truth = np.asarray(danger, dtype=np.float64)
    if truth.shape != z.shape or not ((truth >= 0) & (truth <= 1)).all():
        raise UsageError(f"danger must be {z.size} numbers in [0, 1]; it has shape {truth.shape}")
    if groups is not None and len(groups) != z.size:
        raise UsageError(f"there are {len(groups)} groups for {z.size} pictures")
    units = np.arange(z.size) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    known = np.isfinite(z) & np.isfinite(likeness)
    first = _half(units, seed) & known
    other = ~_half(units, seed) & known
    for half in (first, other):
        if half.sum() < 10 or not truth[half].min() < 0.5 <= truth[half].max():
            raise UsageError(
                f"a calibration needs dangerous and safe pictures in both halves; one has {int(half.sum())} pictures"
            )
    low, high = choose(z[first], truth[first], narrowest)
    said = ramp(z[other], low, high)
    found = Calibration(
        low,
        high,
        success_cosine(likeness[first], truth[first]),
        digest_of(clip, goals, weights),
        clip.name,
        goals,
        weights,
        bootstrap_columns([z[other], truth[other] >= 0.5], auc, seed=seed, groups=units[other]),
        brier(said, truth[other]),
        int(first.sum()),
        curve(z[other], said, truth[other], units[other] if groups is not None else None, seed),
    )
    if not found.informative:
        log.warning(
            "CLIP %s does not tell danger by these goals (AUC %s): c will be noise", clip.name, found.auc.text()
        )
    return found


def gaps(clip: Clip, goals: Goals, weights: tuple[float, float], pictures: Tensor) -> tuple[Floats, Floats]:
    """Z and the cosine with `goals.safe` of each picture, `(N,)`; NaN where CLIP returned no number or zeros."""
    seen = (clip.image(pictures) if pictures.ndim == 4 else pictures).detach().float().cpu()
    positive, negative, safe = (functional.cosine(seen, text) for text in clip.text(_texts(goals)).cpu())
    lost = (seen == 0).all(1)
    z = functional.contrast_gap(positive, negative, weights)
    return z.masked_fill(lost, math.nan).double().numpy(), safe.masked_fill(lost, math.nan).double().numpy()


def _texts(goals: Goals) -> list[str]:
    return [goals.positive, goals.negative, goals.safe]


def digest_of(clip: Clip, goals: Goals, weights: tuple[float, float]) -> str:
    """Digest of what decides z: the CLIP (weights, tokenizer, preprocess), the texts and their weights."""
    return _digest(clip.fingerprint, goals, weights)


def read_calibration(path: Path | str, clip: Clip, config: GoalConfig) -> Calibration:
    """A calibration for this CLIP and these goals.

    Raises:
        DataError: the file is not there or is no calibration.
        UsageError: it belongs to another CLIP or to other goals; the message says which.
    """
    path = locate(path)
    raw = read_json(path)
    try:
        found = _from_json(raw)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"this is no calibration of a driving goal: {error!r}", path=path) from error
    goals, weights = worded(config), (config.weight_positive, config.weight_negative)
    if (found.goals, found.weights) != (goals, weights):
        raise UsageError(
            f"{path} belongs to the goals {asdict(found.goals)} with weights {found.weights}, not to {asdict(goals)} "
            f"with {weights}; calibrate these goals"
        )
    if found.digest != digest_of(clip, goals, weights):
        raise UsageError(
            f"{path} belongs to other weights of CLIP {found.clip} than {clip.name}'s; calibrate this model"
        )
    if not found.informative:
        log.warning("%s: z does not tell danger (AUC %s); c will be noise", path, found.auc.text())
    return found


def _from_json(raw: Mapping[str, Any]) -> Calibration:
    if raw["format"] != 1:
        raise ValueError(f"format {raw['format']}")
    low, high, success = float(raw["low"]), float(raw["high"]), float(raw["success"])
    if not (math.isfinite(low) and math.isfinite(high) and low < high and -1 <= success < 1):
        raise ValueError(f"thresholds {low}, {high} and {success}")
    points = tuple(Bin(float(one["z"]), float(one["said"]), Interval.from_dict(one["danger"])) for one in raw["curve"])
    return Calibration(
        low,
        high,
        success,
        str(raw["digest"]),
        str(raw["clip"]),
        Goals(**raw["goals"]),
        (float(raw["weights"][0]), float(raw["weights"][1])),
        Interval.from_dict(raw["auc"]),
        float(raw["brier"]),
        int(raw["fitted"]),
        points,
        str(raw["rule"]),
    )


def _digest(fingerprint: str, goals: Goals, weights: tuple[float, float]) -> str:
    text = json.dumps([fingerprint, asdict(goals), list(weights)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _half(units: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Whether a row's unit is in the first half."""
    order = np.random.default_rng(seed).permutation(int(units.max()) + 1)
    return (order < order.size / 2)[units]
