"""Re-scalers: transforms that spread a score which lies in a narrow band, such as an encoder's cosine.

What they can and cannot do. Under trl's group z-score a lone affine map changes nothing, and no monotone map repairs a
wrong order. A re-scaler restores the weight of a narrow score *beside others*, in a sum or a product, and decides how
large a difference must be to count. ARMed (arXiv 2508.12957) re-scales adaptively but publishes no formula; these are
ours, inspired by it.

All of them are monotone (a higher inner score never scores lower, in the same step and group), give equal inputs equal
outputs, and pass NaN on. `noise` is the difference of inner scores that means nothing: it is never blown up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from common.config import nearest
from common.errors import DataError, RewardError, UsageError
from common.files import locate
from common.rewards import functional
from common.rewards.base import Reward
from common.rewards.text import EncoderSimilarity
from common.rewards.transforms.basic import Rescale, ValueTransform
from common.rewards.transforms.grouped import Placed
from common.rewards.transforms.history import HistoryQuantile, HistorySigmoid

if TYPE_CHECKING:
    from common.models.text import Encoder

RESCALERS = ("none", "affine", "history_quantile", "history_sigmoid", "group_minmax")


class Threshold(ValueTransform):
    r""":math:`1[r \ge \tau]`. Range {0, 1}, higher is better, NaN stays NaN.

    MediX-R1 (arXiv 2602.23363) takes 1[cos ≥ 0.8] of its own encoder. A threshold holds for one encoder only: with
    another most groups are flat.

    Args:
        inner: the reward.
        threshold: τ.
        name: own name; the inner reward's by default.
    """

    bounds = (0.0, 1.0)

    def __init__(self, inner: Reward, threshold: float, name: str | None = None) -> None:
        super().__init__(inner, name)
        self.differentiable = False
        self.threshold = threshold

    def change(self, values: Tensor) -> Tensor:
        """One where the threshold is reached."""
        return torch.where(values.isnan(), values, (values >= self.threshold).float())


class AffineBaseline(ValueTransform):
    r""":math:`(c - b) / (1 - b)`, clipped to [0, 1]: 0 for what unrelated texts score, 1 for equal ones.

    Range [0, 1], higher is better, NaN stays NaN. b is the encoder's baseline: the mean cosine of unrelated texts,
    from 0 for a hashing encoder to 0.8 for an E5. It is fixed, so that the map never changes during a run.

    Args:
        inner: a similarity that is not re-scaled yet.
        texts: unrelated texts whose mean cosine is b, measured when the first batch comes; see `baseline`.
        low: b, where it is known already.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: b is not below 1, or the inner reward is re-scaled or no similarity where b must be measured.
    """

    bounds = (0.0, 1.0)

    def __init__(
        self, inner: Reward, texts: Sequence[str] = (), low: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(inner, name)
        if low is not None and not low < 1.0:
            raise RewardError(
                f"reward {self.name!r}: a baseline of {low} leaves nothing to rescale to; give one below 1"
            )
        if low is None and (not isinstance(inner, EncoderSimilarity) or (inner.low, inner.high) != (0.0, 1.0)):
            raise RewardError(
                f"reward {self.name!r}: only a plain EncoderSimilarity has a baseline to measure; give low"
            )
        if low is None and len(set(texts)) < 2:
            raise RewardError(f"reward {self.name!r}: give low, or two unrelated texts or more")
        self.texts = tuple(texts)
        self.low = low

    def change(self, values: Tensor) -> Tensor:
        """See `functional.rescale`."""
        if self.low is None:
            assert isinstance(self.inner, EncoderSimilarity)
            # Below 1 even for an encoder to which all texts are the same.
            self.low = min(baseline(self.inner.opened(), self.texts), 1.0 - 1e-6)
        return functional.rescale(values, self.low, 1.0)


def baseline(encoder: Encoder, texts: Sequence[str]) -> float:
    """Mean cosine of all pairs of different texts, at least 0."""
    vectors = encoder.encode(list(dict.fromkeys(texts))).double()
    size = len(vectors)
    cosines = vectors @ vectors.T
    return max(0.0, float((cosines.sum() - cosines.diagonal().sum()) / (size * (size - 1))))


class GroupMinMax(Placed):
    r"""Place between the least and the greatest score of the row's group, with a dead band.

    .. math:: \frac12 \pm \frac{\max(|r - m| - d/2,\, 0)}{r_{max} - r_{min}}, \quad m = (r_{min} + r_{max})/2

    Range [0, 1], higher is better. With d = `noise` = 0 this is :math:`(r - r_{min}) / (r_{max} - r_{min})`. A group
    that spreads no wider than d is flat (all 1/2), and the spread grows from there without a jump. Rows without a
    score stay NaN and do not count. Needs the `group` column: a value depends on the group's other rows, by design.

    Args:
        inner: the reward.
        noise: d, the spread that means nothing.
        size: see `Grouped`.
        name: own name; the inner reward's by default.

    Raises:
        RewardError: `noise` is below 0.
    """

    bounds = (0.0, 1.0)

    def __init__(self, inner: Reward, noise: float = 0.0, size: int | None = None, name: str | None = None) -> None:
        super().__init__(inner, size, name)
        if not 0.0 <= noise < math.inf:
            raise RewardError(f"reward {self.name!r}: noise {noise} must be 0 or more")
        self.noise = noise

    def place(self, values: Tensor) -> Tensor:
        """See the class."""
        low, high = values.min(), values.max()
        if not float(high - low) > self.noise:
            return torch.full_like(values, 0.5)
        return (0.5 + functional.shrink(values - (low + high) / 2, self.noise / 2) / (high - low)).clamp(0.0, 1.0)


class PercentileRescale(Rescale):
    """`Rescale` with the percentiles that an audit measured: 5 % of mismatched and 95 % of matched pairs.

    Range [0, 1], higher is better, NaN stays NaN. The numbers are read once, when the reward is built, and travel with
    it: it pickles without the file. `audit` writes them as `band`.

    Args:
        inner: the reward that was audited.
        audit: `audit.json` of its audit.
        of: which reward of the file, where it holds several.
        name: own name; the inner reward's by default.

    Raises:
        DataError: the file is none, or its band belongs to a reward of other bounds, or is empty.
    """

    def __init__(self, inner: Reward, audit: Path | str, of: str = "", name: str | None = None) -> None:
        low, high = audited_band(Path(audit), inner.bounds, of)
        super().__init__(inner, low, high, name)
        self.audit = str(audit)


def audited_band(path: Path, bounds: tuple[float, float], of: str = "") -> tuple[float, float]:
    """`band` of an audit's file; see `PercentileRescale`."""
    try:
        report = json.loads(locate(path).read_text(encoding="utf-8"))
        if of:
            report = report["rewards"][of]
        report = report.get("general", report)
        band = [float(end) for end in report["band"]]
        audited = report.get("bounds", bounds)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"holds no `band`{f' of {of!r}' if of else ''} ({type(error).__name__}: {error}); write it with the app's "
            "`audit`, and name the reward with `of` where it holds several",
            path=path,
        ) from error
    if list(audited) != list(bounds):
        raise DataError(
            f"the band is of a reward within {audited}, this one lies within {list(bounds)}; audit this one", path=path
        )
    if len(band) != 2 or not band[0] < band[1]:
        raise DataError(
            f"the band of mismatched and matched pairs is {band}: the reward does not tell them apart, and no "
            "rescaling repairs that",
            path=path,
        )
    return band[0], band[1]


def rescaler(
    name: str,
    inner: EncoderSimilarity,
    texts: Sequence[str],
    noise: float = 0.0,
    window: int = 4096,
    warmup: int = 64,
) -> Reward:
    """A similarity through a re-scaler.

    Args:
        name: one of `RESCALERS`; "none" clips the cosine to [0, 1].
        inner: a plain similarity.
        texts: unrelated texts that give the encoder's baseline ("affine").
        noise: difference of cosines that means nothing (not for "none" and "affine").
        window: cosines that a history remembers.
        warmup: cosines that a history needs before it is used.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "none":
        return Rescale(inner, 0.0, 1.0)
    if name == "affine":
        return AffineBaseline(inner, texts)
    if name == "history_quantile":
        return HistoryQuantile(inner, noise=noise, window=window, warmup=warmup)
    if name == "history_sigmoid":
        return HistorySigmoid(inner, noise=noise, window=window, warmup=warmup)
    if name == "group_minmax":
        return GroupMinMax(inner, noise)
    raise UsageError(f"unknown rescaler {name!r}{nearest(name, RESCALERS)}")
