"""The pictures of many examples, each kept as bytes and cut into patches when it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import DataError, UsageError
from common.models.vlm_input import Preprocess

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


class Pictures:
    """Grey square pictures of one size, cut as a Qwen-VL's processor cuts them; 12 kB each instead of 300.

    Args:
        pictures: of mode L, as large as the model sees them.
        processor: the model's processor.

    Raises:
        DataError: a picture is not grey, or the processor would resize it.
        UsageError: the processor has not one mean and one deviation for all channels.
    """

    def __init__(self, pictures: Iterable[Image], processor: Any) -> None:
        import numpy as np
        import torch

        self.preprocess = Preprocess.of(processor)
        if len({*self.preprocess.mean}) > 1 or len({*self.preprocess.deviation}) > 1:
            raise UsageError("the processor's channels have means and deviations of their own; grey needs one of each")
        rows: list[np.ndarray] = []
        for number, picture in enumerate(pictures):
            if picture.mode != "L" or self.preprocess.resized(picture.height, picture.width) != picture.size:
                raise DataError(f"{picture.mode} {picture.size} is no grey picture of the model's size", line=number)
            rows.append(np.asarray(picture))
        #: `(N, side, side)` uint8
        self.pixels = torch.from_numpy(np.stack(rows))
        patches = self.pixels.shape[-1] // self.preprocess.patch
        #: Time, height and width of each picture, in patches.
        self.grid = (1, patches, patches)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def tokens(self) -> int:
        """Image tokens of one picture."""
        return self.grid[1] * self.grid[2] // self.preprocess.merge**2

    def patches(self, rows: Sequence[int]) -> Tensor:
        """`(B, patches, patch²)` normalised grey of some pictures, in the order of Qwen's patches."""
        merge, patch = self.preprocess.merge, self.preprocess.patch
        grey = self.pixels[list(rows)].float() / 255
        across = self.grid[1] // merge
        cut = grey.view(-1, across, merge, patch, across, merge, patch).permute(0, 1, 4, 2, 5, 3, 6)
        return (cut.reshape(len(grey), -1, patch**2) - self.preprocess.mean[0]) / self.preprocess.deviation[0]
