"""What the picture rewards share: a CLIP that opens lazily, and columns of pictures and texts as vectors."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from common.errors import DataError, RewardError
from common.pictures import load_picture, why
from common.rewards.base import Reward, RewardOutput

if TYPE_CHECKING:
    from common.models.clip import Clip

log = logging.getLogger(__name__)

#: Why a row has no value.
NO_NUMBER = "CLIP returned no number"


class PictureReward(Reward):
    """A reward that compares a column of pictures with texts in a CLIP's space.

    The column holds a tensor `(B, 3, H, W)` in [0, 1], through which gradient flows; or features `(B, dim)` that were
    computed before; or a list of Pillow pictures, paths or bytes, where None or one that cannot be read is NaN with a
    reason (the data's fault). A CLIP that fails or returns NaN gives NaN (the grader's); a CLIP that cannot be opened,
    features of another width and pictures out of range raise (the caller's).
    """

    def __init__(self, clip: str | Path | Clip, pictures: str, name: str, device: str, differentiable: bool) -> None:
        self.clip = clip
        self.pictures = pictures
        self.name = name
        self.device = device
        self.differentiable = differentiable
        self._opened: Clip | None = None
        self._fixed: dict[str, Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_fixed": {}}

    def open(self) -> Clip:
        """The CLIP, opened on first use."""
        if self._opened is None:
            from common.models.clip import Clip

            self._opened = Clip(self.clip, device=self.device) if isinstance(self.clip, (str, Path)) else self.clip
        return self._opened

    def picture_vectors(self, column: Any, reasons: list[str]) -> Tensor:
        """`(B, dim)`; a row that has none is NaN and gets its reason where it has none yet."""
        if isinstance(column, Tensor) and column.ndim == 2:
            return self._check_width(column)
        if isinstance(column, Tensor):
            return self._guarded(lambda: self.open().image(column), len(column), reasons)
        pictures, rows = [], []
        for row, entry in enumerate(column):
            try:
                if entry is None:
                    raise DataError("there is no picture")
                pictures.append(load_picture(entry, self.open().background))
                rows.append(row)
            except DataError as error:
                reasons[row] = reasons[row] or f"the picture cannot be read: {why(error)}"
        found: list[str] = [""] * len(rows)
        vectors = self._guarded(lambda: self.open().image(pictures), len(rows), found)
        for row, reason in zip(rows, found, strict=True):
            reasons[row] = reasons[row] or reason
        whole = vectors.new_full((len(reasons), vectors.shape[1]), math.nan)
        whole[rows] = vectors
        return whole

    def text_vectors(self, texts: Iterable[str]) -> dict[str, Tensor]:
        """Each text's vector `(dim,)`; a text that stands several times is encoded once. NaN where CLIP failed."""
        known = list(dict.fromkeys(texts))
        vectors = self._guarded(lambda: self.open().text(known), len(known), [""] * len(known))
        return dict(zip(known, vectors, strict=True))

    def goal_vector(self, text: str) -> Tensor:
        """The vector of a text that belongs to the reward, encoded once."""
        if text not in self._fixed:
            vector = self.text_vectors([text])[text]
            if not vector.isfinite().all():
                return vector
            self._fixed[text] = vector
        return self._fixed[text]

    def judged(self, values: Tensor, reasons: Sequence[str], parts: dict[str, Tensor] | None = None) -> RewardOutput:
        """The output; what is not finite becomes NaN with a reason."""
        finite = values.isfinite()
        told = [reason or ("" if known else NO_NUMBER) for reason, known in zip(reasons, finite.tolist(), strict=True)]
        told_parts = {name: part.detach() for name, part in (parts or {}).items()}
        return RewardOutput(torch.where(finite, values, math.nan), told_parts, {"reason": told})

    def _check_width(self, features: Tensor) -> Tensor:
        if features.shape[1] != self.open().dim or not features.is_floating_point():
            raise RewardError(
                f"reward {self.name!r}: {self.pictures!r} holds {features.dtype} {tuple(features.shape)}; features of "
                f"CLIP {self.open().name} are floats (B, {self.open().dim})"
            )
        return features

    def _guarded(self, encode: Any, rows: int, reasons: list[str]) -> Tensor:
        """What `encode` returns; NaN where the model fails while it runs."""
        dim = self.open().dim
        try:
            vectors: Tensor = encode()
        except RuntimeError as error:
            # The grader's fault: out of memory, a lost device. TouchstoneError is no RuntimeError, so it passes.
            log.warning("reward %s: CLIP failed on %d rows: %s", self.name, rows, error)
            reasons[:] = [reason or f"CLIP failed: {error}" for reason in reasons]
            return torch.full((rows, dim), math.nan)
        return vectors
