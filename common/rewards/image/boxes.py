"""Overlap of boxes as a reward."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from common.rewards.base import Reward, RewardOutput
from common.rewards.image import functional


class BoxIou(Reward):
    r"""IoU of predicted and right boxes, matched one to one: :math:`\sum IoU / \max(N, M)`.

    Range [0, 1], higher is better; after Mixed-R1 (arXiv 2505.24164) and GoT-R1. A box is left, top, right, bottom. A
    missing box and one too many each count as 0, so that boxes sown over the picture do not pay. Where the reference
    is an empty list, no box is right. A predicted box without area overlaps nothing.

    A text in which no box is found, where one is expected, scores 0 with a reason (the policy's fault); a reference
    that is None or holds a degenerate box is NaN (the data's).

    Args:
        predicted: column of `(N, 4)` tensors, lists of boxes, or texts that hold them: four numbers in square or round
            brackets, such as `[10, 20, 30.5, 40]`.
        reference: column of the right boxes, in the same forms and the same unit.
        name: the part's name.
    """

    def __init__(self, predicted: str = "completion", reference: str = "reference", name: str = "box_iou") -> None:
        self.predicted = predicted
        self.reference = reference
        self.name = name
        self.needs = (predicted, reference)

    def score(self, **columns: Any) -> RewardOutput:
        """Match each row's boxes; see `Reward.score`."""
        values, reasons = [], []
        for said, right in zip(columns[self.predicted], columns[self.reference], strict=True):
            value, reason = self._row(said, right)
            values.append(value)
            reasons.append(reason)
        return RewardOutput(torch.tensor(values, dtype=torch.float32), info={"reason": reasons})

    def _row(self, said: Any, right: Any) -> tuple[float, str]:
        expected = None if right is None else read_boxes(right)
        if expected is None:
            return math.nan, "the reference holds no boxes"
        if not (expected[:, 2:] > expected[:, :2]).all():
            return math.nan, "a reference box has no area"
        predicted = None if said is None else read_boxes(said)
        if predicted is None:
            return 0.0, "the boxes cannot be read"
        if len(expected) and not len(predicted):
            return 0.0, "no box is given"
        return functional.matched_iou(predicted, expected), ""


#: Four numbers in brackets.
_BOX = re.compile(r"[\[(]\s*" + r"\s*,\s*".join([r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"] * 4) + r"\s*[\])]")


def read_boxes(entry: Any) -> Tensor | None:
    """Boxes `(N, 4)` of a tensor, a list or a text; one box alone counts as a list. None where these are no boxes."""
    if isinstance(entry, str):
        entry = [[float(number) for number in found] for found in _BOX.findall(entry)]
    try:
        boxes = torch.as_tensor(entry, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    if not boxes.numel():
        return torch.zeros(0, 4, dtype=torch.float64)
    boxes = boxes[None] if boxes.ndim == 1 else boxes
    return boxes if boxes.ndim == 2 and boxes.shape[1] == 4 and boxes.isfinite().all() else None
