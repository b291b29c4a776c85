"""Rewards that look at pictures through CLIP.

Failure policy of all of them: an empty caption scores the lower bound with a reason (the policy's fault); a picture
that is not there or cannot be read, an absent reference, and a CLIP that returns no number are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from common.errors import RewardError
from common.rewards.base import RewardOutput, nan_like
from common.rewards.image import functional
from common.rewards.image.boxes import BoxIou
from common.rewards.image.pictures import PictureReward

if TYPE_CHECKING:
    from common.models.clip import Clip

__all__ = ["BoxIou", "ClipScore", "ContrastiveGoal", "GoalBaseline", "RefClipScore"]

EMPTY = "the caption is empty"
NO_REFERENCE = "there is no reference"


class ClipScore(PictureReward):
    r"""CLIPScore :math:`w \max(\cos(I, c), 0)` (arXiv 2104.08718); higher is better.

    Range [0, w]. The defaults are the paper's: w = 2.5 and captions that begin "A photo depicts " — a pocket CLIP has
    never seen that phrase, so give it `prefix=""`. With `scale=1` it is the plain cosine, cut at 0.

    Args:
        clip: name or folder of a CLIP (opened on first use), or a `Clip`.
        pictures: column of pictures or their features; see `PictureReward`.
        text: column of captions.
        scale: w.
        prefix: put before every caption.
        differentiable: whether gradient should reach the picture column, which must then be a tensor.
        device: torch device of a CLIP given by name.
        name: the part's name.
    """

    def __init__(
        self,
        clip: str | Path | Clip,
        pictures: str = "images",
        text: str = "completion",
        scale: float = 2.5,
        prefix: str = "A photo depicts ",
        differentiable: bool = True,
        device: str = "cpu",
        name: str = "clip_score",
    ) -> None:
        super().__init__(clip, pictures, name, device, differentiable)
        if not scale > 0:
            raise RewardError(f"reward {name!r}: scale must be above 0, not {scale}")
        self.text = text
        self.scale = scale
        self.prefix = prefix
        self.needs = (pictures, text)
        self.bounds = (0.0, scale)

    def score(self, **columns: Any) -> RewardOutput:
        """Encode pictures and captions in one batch; see `Reward.score`."""
        captions = columns[self.text]
        for row, caption in enumerate(captions):
            if not isinstance(caption, str):
                raise RewardError(f"reward {self.name!r}: {self.text!r} of row {row} is a {type(caption).__name__}")
        reasons = ["" if caption.strip() else EMPTY for caption in captions]
        # Vectors of all texts at once: references, where there are any, are often captions too.
        vectors = self.text_vectors(self.prefix + text for text in self._texts(columns))
        captioned = torch.stack([vectors[self.prefix + caption] for caption in captions]) if captions else None
        seen = self.picture_vectors(columns[self.pictures], reasons)
        if captioned is None:
            return self.judged(nan_like(0), [], dict.fromkeys(self.part_names, nan_like(0)))
        scores = functional.clip_score(functional.cosine(seen, captioned.to(seen.device)), self.scale)
        return self._finish(scores, captioned, vectors, reasons, columns)

    def _texts(self, columns: dict[str, Any]) -> list[str]:
        return list(columns[self.text])

    def _finish(
        self,
        scores: Tensor,
        captioned: Tensor,
        vectors: dict[str, Tensor],
        reasons: list[str],
        columns: dict[str, Any],
    ) -> RewardOutput:
        return self.judged(_blame(scores, columns[self.text], self.worst), reasons)


class RefClipScore(ClipScore):
    r"""RefCLIPScore: harmonic mean of CLIPScore and the nearest reference (arXiv 2104.08718); higher is better.

    .. math:: H\bigl(w \max(\cos(I, c), 0),\; \max_r \max(\cos(c, r), 0)\bigr), \qquad H(0, 0) = 0

    The text side has no *w*. Range [0, 2w / (w + 1)]. Parts: `image` (CLIPScore) and `reference`.

    Args:
        clip: see `ClipScore`.
        pictures: see `ClipScore`.
        text: column of captions.
        reference: column of references; an entry is a text or a list of texts. A row without one is NaN.
        scale: w.
        prefix: put before captions and references.
        differentiable: see `ClipScore`.
        device: see `ClipScore`.
        name: the part's name.
    """

    part_names = ("image", "reference")

    def __init__(
        self,
        clip: str | Path | Clip,
        pictures: str = "images",
        text: str = "completion",
        reference: str = "reference",
        scale: float = 2.5,
        prefix: str = "A photo depicts ",
        differentiable: bool = True,
        device: str = "cpu",
        name: str = "ref_clip_score",
    ) -> None:
        super().__init__(clip, pictures, text, scale, prefix, differentiable, device, name)
        self.reference = reference
        self.needs = (pictures, text, reference)
        self.bounds = (0.0, 2 * scale / (scale + 1))

    def _texts(self, columns: dict[str, Any]) -> list[str]:
        return [*columns[self.text], *(text for entry in columns[self.reference] for text in _references(entry))]

    def _finish(
        self,
        scores: Tensor,
        captioned: Tensor,
        vectors: dict[str, Tensor],
        reasons: list[str],
        columns: dict[str, Any],
    ) -> RewardOutput:
        nearest = []
        for row, entry in enumerate(columns[self.reference]):
            references = [vectors[self.prefix + text] for text in _references(entry)]
            if not references:
                # A missing reference outweighs an empty caption: without it nothing can be said about the row.
                reasons[row] = NO_REFERENCE
                nearest.append(scores.new_tensor(math.nan))
                continue
            cosines = functional.cosine(torch.stack(references), captioned[row])
            nearest.append(cosines.amax().clamp(min=0).to(scores.device))
        parts = {"image": scores, "reference": torch.stack(nearest)}
        mean = functional.harmonic_mean(parts["image"], parts["reference"])
        known = [reason != NO_REFERENCE for reason in reasons]
        values = _blame(mean, columns[self.text], self.worst, known)
        return self.judged(values, reasons, parts)


class ContrastiveGoal(PictureReward):
    r"""How much a picture shows what should be rather than what must not be: contrasting language goals (VLM-RL).

    With :math:`c^\pm` the cosines of picture and goals and :math:`z = b c^- - a c^+`, by `form`:

    - "clipped": :math:`1 - (\mathrm{clip}(z, low, high) - low) / (high - low)`, in [0, 1]; the form of VLM-RL's code,
      with its thresholds as defaults. They belong to its CLIP and its prompts: calibrate them on the part `z`.
    - "softmax": :math:`\sigma(-z / T)`, in [0, 1]; never flat.
    - "difference": :math:`-z`, in [−(a + b), a + b]; the form of the paper (arXiv 2412.15544).

    Higher is better. Parts: `positive`, `negative` (the cosines) and `z`. A picture whose vector is zeros (a broken
    encoder, black features) points nowhere: NaN, for z = 0 would be a full mark.

    Args:
        clip: name or folder of a CLIP (opened on first use), or a `Clip`.
        positive: the goal.
        negative: its contrary.
        form: see above.
        low: z that scores 1.
        high: z that scores 0.
        temperature: T.
        weights: a and b, 1 and 1 in VLM-RL's code ("softmax" takes no others).
        pictures: column of pictures or their features; see `PictureReward`.
        differentiable: whether gradient should reach the picture column, which must then be a tensor. The "clipped"
            form has none beyond its thresholds.
        device: torch device of a CLIP given by name.
        name: the part's name.
    """

    part_names = ("positive", "negative", "z")

    def __init__(
        self,
        clip: str | Path | Clip,
        positive: str,
        negative: str,
        form: Literal["clipped", "softmax", "difference"] = "clipped",
        low: float = 0.0,
        high: float = 0.03,
        temperature: float = 0.01,
        weights: tuple[float, float] = (1.0, 1.0),
        pictures: str = "images",
        differentiable: bool = True,
        device: str = "cpu",
        name: str = "goal",
    ) -> None:
        super().__init__(clip, pictures, name, device, differentiable)
        if form not in ("clipped", "softmax", "difference"):
            raise RewardError(f"reward {name!r}: form is clipped, softmax or difference, not {form!r}")
        if not low < high or not temperature > 0 or min(weights) < 0 or not sum(weights) > 0:
            raise RewardError(
                f"reward {name!r}: low {low} must be below high {high}, temperature {temperature} above 0 and weights "
                f"{weights} not negative"
            )
        if form == "softmax" and weights != (1.0, 1.0):
            raise RewardError(f"reward {name!r}: the softmax has no weights; leave them at 1 and 1, not {weights}")
        _check_goals(name, positive, negative)
        self.positive = positive
        self.negative = negative
        self.form = form
        self.low = low
        self.high = high
        self.temperature = temperature
        self.weights = weights
        self.needs = (pictures,)
        self.bounds = (-sum(weights), sum(weights)) if form == "difference" else (0.0, 1.0)

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each picture with both goals; see `Reward.score`."""
        reasons = [""] * len(columns[self.pictures])
        seen = _pointing(self.picture_vectors(columns[self.pictures], reasons))
        positive, negative = (
            functional.cosine(seen, self.goal_vector(goal).to(seen.device)) for goal in (self.positive, self.negative)
        )
        z = functional.contrast_gap(positive, negative, self.weights)
        if self.form == "clipped":
            values = functional.contrast(positive, negative, self.low, self.high, self.weights)
        elif self.form == "softmax":
            values = functional.goal_share(positive, negative, self.temperature)
        else:
            values = -z
        return self.judged(values, reasons, {"positive": positive, "negative": negative, "z": z})


class GoalBaseline(PictureReward):
    r"""VLM-RM's goal with baseline regularisation (arXiv 2310.12921); see `functional.goal_baseline`.

    Range [−1, 1], higher is better; 1 where a picture's vector is the goal's, for `alpha` = 1 where it differs from it
    only across the line from baseline to goal.

    Args:
        clip: name or folder of a CLIP (opened on first use), or a `Clip`.
        goal: what the picture should show.
        baseline: what it shows in any case, such as "a car".
        alpha: strength of the regularisation in [0, 1]; 0 is the plain cosine.
        pictures: column of pictures or their features; see `PictureReward`.
        differentiable: whether gradient should reach the picture column, which must then be a tensor.
        device: torch device of a CLIP given by name.
        name: the part's name.
    """

    bounds = (-1.0, 1.0)

    def __init__(
        self,
        clip: str | Path | Clip,
        goal: str,
        baseline: str,
        alpha: float = 0.5,
        pictures: str = "images",
        differentiable: bool = True,
        device: str = "cpu",
        name: str = "goal_baseline",
    ) -> None:
        super().__init__(clip, pictures, name, device, differentiable)
        if not 0 <= alpha <= 1:
            raise RewardError(f"reward {name!r}: alpha must be in [0, 1], not {alpha}")
        _check_goals(name, goal, baseline)
        self.goal = goal
        self.baseline = baseline
        self.alpha = alpha
        self.needs = (pictures,)

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each picture with the goal; see `Reward.score`."""
        reasons = [""] * len(columns[self.pictures])
        seen = _pointing(self.picture_vectors(columns[self.pictures], reasons).float())
        seen = torch.nn.functional.normalize(seen, dim=-1)
        goal, baseline = (self.goal_vector(text).to(seen.device) for text in (self.goal, self.baseline))
        return self.judged(functional.goal_baseline(seen, goal, baseline, self.alpha), reasons)


def _pointing(vectors: Tensor) -> Tensor:
    """Vectors with NaN for those of zeros, which point nowhere."""
    return torch.where((vectors == 0).all(1, keepdim=True), math.nan, vectors)


def _blame(values: Tensor, captions: Sequence[str], worst: float, known: Sequence[bool] | None = None) -> Tensor:
    """The lower bound where a caption is empty and the row can be scored at all."""
    empty = [not caption.strip() for caption in captions]
    if known is not None:
        empty = [blank and sure for blank, sure in zip(empty, known, strict=True)]
    return torch.where(torch.tensor(empty, device=values.device), worst, values)


def _references(entry: str | Sequence[str] | None) -> list[str]:
    """The references of one row that hold text."""
    several = [entry] if isinstance(entry, str) else entry or []
    return [text for text in several if text is not None and text.strip()]


def _check_goals(name: str, first: str, second: str) -> None:
    if not first.strip() or not second.strip() or first == second:
        raise RewardError(f"reward {name!r}: it needs two different texts, not {first!r} and {second!r}")
