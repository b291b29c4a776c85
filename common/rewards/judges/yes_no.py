"""A vision-language model's answer to a question that is answered with yes or no."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from common.errors import DataError, RewardError
from common.pictures import load_picture, why
from common.rewards.base import Reward, RewardOutput, nan_like

if TYPE_CHECKING:
    from common.models.vlm import VisionLanguageModel

log = logging.getLogger(__name__)


class YesNo(Reward):
    r""":math:`p_{yes} / (p_{yes} + p_{no})` at the answer's place, summed over spellings; gradient flows to tensors.

    Range [0, 1], higher is better. After VQAScore and VLM3D (arXiv 2511.14271), whose app has forms for optimisation;
    see `common.models.vlm.VisionLanguageModel.yes_logit`. Part: `mass`, :math:`p_{yes} + p_{no}`; it costs a second
    forward pass, without gradient.

    An empty text scores 0 with a reason (the policy's fault). A picture that is not there or cannot be read is NaN
    (the data's); so is a model that fails, or answers neither yes nor no: a mass below `least` (the grader's).

    Args:
        vlm: folder or hub id of a Qwen-VL (opened on first use), or a `VisionLanguageModel`.
        question: with `{text}` where the row's text goes; "{text}" where the column holds questions.
        pictures: column: a tensor `(B, 3, H, W)` in [0, 1], or a list of Pillow pictures, paths or bytes.
        text: column of texts.
        opening: text that the answer has begun with, where the model was taught that.
        least: mass below which the odds mean nothing.
        differentiable: whether gradient should reach the picture column, which must then be a tensor.
        name: the part's name.

    Raises:
        RewardError: a question without `{text}`, or `least` outside [0, 1).
    """

    part_names = ("mass",)

    def __init__(
        self,
        vlm: str | Path | VisionLanguageModel,
        question: str = "Does this picture show {text}? Answer yes or no.",
        pictures: str = "images",
        text: str = "completion",
        opening: str = "",
        least: float = 1e-3,
        differentiable: bool = False,
        name: str = "yes_no",
    ) -> None:
        if "{text}" not in question or not 0 <= least < 1:
            raise RewardError(f"reward {name!r}: the question needs {{text}}, and least {least} must lie in [0, 1)")
        self.vlm = vlm
        self.question, self.pictures, self.text = question, pictures, text
        self.opening, self.least = opening, least
        self.differentiable = differentiable
        self.name = name
        self.needs = (pictures, text)
        self._opened: VisionLanguageModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def open(self) -> VisionLanguageModel:
        """The model, opened on first use."""
        if self._opened is None:
            from common.files import locate
            from common.models.vlm import VisionLanguageModel

            vlm = self.vlm
            self._opened = VisionLanguageModel(str(locate(vlm))) if isinstance(vlm, (str, Path)) else vlm
        return self._opened

    def score(self, **columns: Any) -> RewardOutput:
        """Ask about each row's picture; see `Reward.score`."""
        texts, column = columns[self.text], columns[self.pictures]
        reasons = ["" if text.strip() else "the text is empty" for text in texts]
        shown: dict[int, Any] = {}
        for row, entry in enumerate(column):
            try:
                shown[row] = self._picture(entry)
            except DataError as error:
                reasons[row] = f"the picture cannot be read: {why(error)}"
        values, mass = nan_like(len(texts)), nan_like(len(texts))
        rows = [row for row in shown if not reasons[row]]
        if rows:
            pictures = column[rows] if isinstance(column, Tensor) else [shown[row] for row in rows]
            asked = [self.question.replace("{text}", texts[row]) for row in rows]
            found, known = self._answers(pictures, asked)
            index = torch.tensor(rows, device=found.device)
            mass = mass.to(known).index_copy(0, index, known)
            sure = torch.where((known >= self.least) & found.isfinite(), found, math.nan)
            values = values.to(sure).index_copy(0, index, sure)
            for row, value in zip(rows, sure.tolist(), strict=True):
                reasons[row] = "the model answered neither yes nor no" if math.isnan(value) else ""
        blamed = [row for row in shown if not texts[row].strip()]
        values = values.index_fill(0, torch.tensor(blamed, dtype=torch.long, device=values.device), 0.0)
        return RewardOutput(values.float(), {"mass": mass.float()}, {"reason": reasons})

    def _picture(self, entry: Any) -> Any:
        if entry is None:
            raise DataError("there is no picture")
        return entry if isinstance(entry, Tensor) else load_picture(entry)

    def _answers(self, pictures: Any, asked: list[str]) -> tuple[Tensor, Tensor]:
        """Probabilities and masses; NaN where the model fails while it runs."""
        vlm = self.open()
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            try:
                found = vlm.yes_probability(pictures, asked, opening=self.opening)
                known = vlm.yes_mass(pictures, asked, opening=self.opening)
            except RuntimeError as error:
                # The grader's fault: out of memory, a lost device. TouchstoneError is no RuntimeError, so it passes.
                log.warning("reward %s: the model failed on %d rows: %s", self.name, len(asked), error)
                return nan_like(len(asked)), nan_like(len(asked))
        return found, known.to(found)
