"""What the pocket CLIP sees of danger on scenes that it never saw, with 95 % intervals over episodes."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apps.driving.calibration_rule import brier, curve, ramp
from apps.driving.pocket.captions import truths, write
from apps.driving.pocket.scenes import Scenes
from apps.driving.pocket.wordings import PAIRS, UNHEARD, Pair
from apps.driving.pretrain_config import AMONG
from common.ranks import auc, spearman
from common.stats import Interval, bootstrap, bootstrap_columns, wilson
from common.ui import progress

if TYPE_CHECKING:
    from apps.driving.calibration import Calibration
    from common.models.clip import Clip

Floats = NDArray[np.float64]

#: Danger from which on a scene counts as dangerous, and up to which as safe.
DANGEROUS, SAFE = 0.5, 0.1
#: Which labels are told from "clear" by which pair.
TOLD = {
    "collision": ("collision", "near miss", "pedestrian", "crossing", "stopped", "car close"),
    "lane": ("off the lane", "off the road"),
    "direction": ("wrong way",),
}
RESAMPLES = 500
#: Fewer dangerous scenes give no figure.
FEW = 10


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """`(B, 3, H, W)` in [0, 1] from `(B, H, W, 3)` uint8."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255


def features(clip: Clip, pictures: NDArray[np.uint8], what: str = "looking at scenes") -> Tensor:
    """`(B, dim)` of `(B, H, W, 3)` uint8 pictures; a progress bar says `what` takes its time."""
    parts = []
    with progress(what, len(pictures)) as bar:
        for start in range(0, len(pictures), 500):
            parts.append(clip.image(to_tensor(pictures[start : start + 500])))
            bar(start + len(parts[-1]))
    return torch.cat(parts)


def clip_figures(clip: Clip, scenes: Scenes, known: Mapping[str, Calibration], seed: int = 0) -> dict[str, Any]:
    """All figures of a CLIP.

    Args:
        clip: the CLIP, as it was written.
        scenes: that it never saw, drawn a second time without the others.
        known: thresholds by wording, fitted to other scenes.
        seed: of resampling and captions.
    """
    seen, empty = features(clip, scenes.pictures()), features(clip, scenes.emptied())
    counts = {name: int(scenes.labelled(name).sum()) for names in TOLD.values() for name in names}
    return {
        "scenes": len(scenes),
        "driven": int((~scenes.placed).sum()),
        "episodes": len(np.unique(scenes.episodes)),
        "labels": {"clear": int(scenes.labelled("clear").sum()), **counts},
        "ranking": {pair.name: ranking(clip, pair, seen, scenes, seed) for pair in PAIRS},
        "ranking of unheard wordings": {pair.name: ranking(clip, pair, seen, scenes, seed) for pair in UNHEARD},
        "labels against clear": {
            pair.name: by_label(gap(clip, pair, seen), scenes, TOLD[pair.name], seed)
            for pair in PAIRS
            if pair.name in TOLD
        },
        "retrieval": retrieval(clip, seen, scenes, seed),
        "calibration": {name: calibrated(clip, one, seen, empty, scenes, seed) for name, one in known.items()},
        "pictures a second": speed(clip),
    }


def gap(clip: Clip, pair: Pair, seen: Tensor) -> Floats:
    """`(N,)` z = cos(negative) − cos(positive), of the pair's first wordings."""
    positive, negative = clip.text([pair.positive[0], pair.negative[0]])
    z: Floats = (seen @ (negative - positive)).double().cpu().numpy()
    return z


def ranking(clip: Clip, pair: Pair, seen: Tensor, scenes: Scenes, seed: int) -> dict[str, Any]:
    """How well z orders scenes by danger.

    Returns:
        `right`: the chance that z of a dangerous scene is above z of a safe one, of all scenes; `driven`: of those
        that nothing was staged in, None for too few; `rank`: Spearman's correlation of z with danger; and the texts.
    """
    z, danger = gap(clip, pair, seen), scenes.danger(pair.aspect).astype(float)
    sure = (danger >= DANGEROUS) | (danger <= SAFE)
    driven = sure & ~scenes.placed
    count = int((danger[driven] >= DANGEROUS).sum())
    return {
        "danger": pair.aspect,
        "positive": pair.positive[0],
        "negative": pair.negative[0],
        "right": told(z[sure], danger[sure] >= DANGEROUS, scenes.episodes[sure], seed),
        "driven": told(z[driven], danger[driven] >= DANGEROUS, scenes.episodes[driven], seed)
        if count >= FEW
        else None,
        "dangerous, driven": count,
        "rank": bootstrap_columns([z, danger], spearman, RESAMPLES, seed, groups=scenes.episodes),
    }


def by_label(z: Floats, scenes: Scenes, labels: Sequence[str], seed: int) -> dict[str, Interval]:
    """The chance that z of a scene with a label is above z of a clear one."""
    found = {}
    for label in labels:
        rows = scenes.labelled(label) | scenes.labelled("clear")
        found[label] = told(z[rows], scenes.labelled(label)[rows], scenes.episodes[rows], seed)
    return found


def told(z: Floats, positive: NDArray[np.bool_], episodes: NDArray[np.int32], seed: int) -> Interval:
    """The area under the curve, resampled by episode."""
    return bootstrap_columns([z, positive.astype(float)], auc, RESAMPLES, seed, groups=episodes)


def retrieval(clip: Clip, seen: Tensor, scenes: Scenes, seed: int) -> dict[str, Interval]:
    """How often the caption that a picture likes best of `AMONG` is true of it, the other way round, and chance."""
    rng = random.Random(f"driving/retrieval/{seed}")
    order = np.random.default_rng(seed).permutation(len(scenes))
    texts, pictures, chance, groups = [], [], [], []
    for start in range(0, len(order) - AMONG + 1, AMONG):
        rows = order[start : start + AMONG]
        captions = [write(scenes.facts_at(int(row)), rng) for row in rows]
        true = truths(scenes.facts[rows], captions)
        table = (seen[torch.from_numpy(rows)] @ clip.text([caption.text for caption in captions]).T).cpu().numpy()
        texts.append(true[np.arange(AMONG), table.argmax(1)])
        pictures.append(true[table.argmax(0), np.arange(AMONG)])
        chance.append(true.mean(1))
        groups.append(scenes.episodes[rows])
    episodes = np.concatenate(groups)
    return {
        name: bootstrap(np.concatenate(values).astype(float), n=RESAMPLES, seed=seed, groups=episodes)
        for name, values in (("picture to caption", texts), ("caption to picture", pictures), ("chance", chance))
    }


def calibrated(
    clip: Clip, known: Calibration, seen: Tensor, empty: Tensor, scenes: Scenes, seed: int
) -> dict[str, Any]:
    """What thresholds from the training maps say on the held-out one, and what they say once the others are gone."""
    pair = Pair("", "traffic", (known.goals.positive,), (known.goals.negative,))
    z, z_empty = gap(clip, pair, seen), gap(clip, pair, empty)
    danger = scenes.danger("traffic").astype(float)
    said, said_empty = ramp(z, known.low, known.high), ramp(z_empty, known.low, known.high)
    bad, safe = danger >= DANGEROUS, danger <= SAFE
    driven = safe & ~scenes.placed

    def mean(values: Floats, rows: NDArray[np.bool_]) -> Interval:
        return share(values[rows], scenes.episodes[rows], seed)

    alarm, alarm_empty = (said >= DANGEROUS).astype(float), (said_empty >= DANGEROUS).astype(float)

    return {
        "low": known.low,
        "high": known.high,
        "success": known.success,
        "brier": brier(said, danger),
        "error": bootstrap(np.abs(said - danger), n=RESAMPLES, seed=seed, groups=scenes.episodes),
        "curve": [
            {"z": one.z, "said": one.said, "danger": one.danger}
            for one in curve(z, said, danger, scenes.episodes, seed, 10)
        ],
        "called dangerous": mean(alarm, bad),
        "called dangerous, others gone": mean(alarm_empty, bad),
        "safe called dangerous": mean(alarm, safe),
        "safe called dangerous, driven": mean(alarm, driven),
        "said": mean(said, bad),
        "said, others gone": mean(said_empty, bad),
    }


def share(values: Floats, episodes: NDArray[np.int32], seed: int) -> Interval:
    """A mean, with episodes resampled; where all values are 0 or all are 1, Wilson's interval for so many episodes."""
    found = bootstrap(values, n=RESAMPLES, seed=seed, groups=episodes)
    if found.mean in (0.0, 1.0):
        units = len(np.unique(episodes))
        bounds = wilson(round(found.mean * units), units)
        return Interval(found.mean, bounds.low, bounds.high, found.n)
    return found


def speed(clip: Clip, batch: int = 32, seconds: float = 2.0) -> float:
    """Pictures that one core encodes in a second of its time, resizing and normalising included."""
    pictures = torch.rand(batch, 3, 64, 64)
    with torch.inference_mode():
        clip.image(pictures)
        began, done = time.process_time(), 0
        while time.process_time() - began < seconds:
            clip.image(pictures)
            done += batch
        return done / (time.process_time() - began)


def plain(value: Any) -> Any:
    """Figures as JSON holds them."""
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value.to_dict() if hasattr(value, "to_dict") else value
