"""Pictures as a Qwen-VL takes them, made in torch with gradient: resized, normalised and cut into patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from common.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pillow's numbers of the ways to resize, as the processors' files give them.
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}

#: Pixels; a hundred times as many as any processor of these families asks for.
MOST_ENLARGED = 2**24


@dataclass(frozen=True)
class Preprocess:
    """The stock image processor of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, on tensors, with gradient.

    What it equals: the stock processor (transformers' Qwen2VLImageProcessor, torchvision backend) given **the same
    float tensor** `(3, H, W)` in [0, 1] with `do_rescale=False`, to 1e-5 at any size. Bicubic resizing then overshoots
    [0, 1] at edges, and nobody cuts that off.

    A picture of 8 bits (Pillow's, or uint8) takes another way through the stock processor: each of the two passes of
    resizing is cut off at 0 and 255 and rounded. Without resizing that is the same to 1e-5; with it, up to a few steps
    of 255 at hard edges, and 20 of them on noise. With `eight_bits` this preprocess goes that way too: the input is
    rounded to 8 bits and resized as such, which equals the stock processor on the 8-bit picture (a Pillow picture, or
    a rendered one once it is saved) to 1e-5; the gradient passes as if nothing had been rounded.

    Attributes:
        mean: of each channel.
        deviation: of each channel.
        min_pixels: least area of a resized picture, in pixels.
        max_pixels: greatest area.
        patch: pixels a side of a patch.
        merge: patches a side of an image token.
        frames: how often a still picture is repeated to fill a patch in time.
        interpolation: "bicubic" or "bilinear", widened where the picture shrinks.
        eight_bits: see above.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    min_pixels: int
    max_pixels: int
    patch: int = 14
    merge: int = 2
    frames: int = 2
    interpolation: str = "bicubic"
    eight_bits: bool = False

    @classmethod
    def of(cls, processor: Any, min_pixels: int | None = None, max_pixels: int | None = None) -> Preprocess:
        """What a stock processor does.

        Args:
            processor: an image processor, or the processor that has one.
            min_pixels: least area, instead of the processor's.
            max_pixels: greatest area, instead of the processor's.

        Raises:
            UsageError: it is no Qwen-VL image processor, leaves a step out, or the areas do not go together.
        """
        images = getattr(processor, "image_processor", processor)
        needed = ("patch_size", "merge_size", "temporal_patch_size", "size", "image_mean", "image_std")
        if lacking := [name for name in needed if getattr(images, name, None) is None]:
            raise UsageError(f"{type(images).__name__} is no Qwen-VL image processor: it has no {', '.join(lacking)}")
        for step in ("do_resize", "do_rescale", "do_normalize"):
            if not getattr(images, step, True):
                raise UsageError(
                    f"{type(images).__name__} has {step} switched off, which Qwen-VL models do not expect"
                )
        interpolation = _INTERPOLATIONS.get(getattr(images, "resample", 3))
        if interpolation is None:
            raise UsageError(f"{type(images).__name__} resizes by {images.resample}; use bicubic or bilinear")
        # They are called edges and are areas.
        least = images.size["shortest_edge"] if min_pixels is None else min_pixels
        most = images.size["longest_edge"] if max_pixels is None else max_pixels
        try:
            made = cls(
                mean=tuple(map(float, images.image_mean)),
                deviation=tuple(map(float, images.image_std)),
                min_pixels=int(least),
                max_pixels=int(most),
                patch=int(images.patch_size),
                merge=int(images.merge_size),
                frames=int(images.temporal_patch_size),
                interpolation=interpolation,
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{type(images).__name__} has a setting of another kind: {error}") from error
        if not 0 < made.min_pixels <= made.max_pixels:
            raise UsageError(f"min_pixels {made.min_pixels} and max_pixels {made.max_pixels}: use 0 < min <= max")
        if made.min_pixels > MOST_ENLARGED:
            raise UsageError(
                f"min_pixels {made.min_pixels}: no picture is enlarged to more than {MOST_ENLARGED:,} pixels"
            )
        return made

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture is given: multiples of `patch · merge`, the area within its bounds.

        Raises:
            UsageError: the picture is empty, or one side is more than 200 times the other.
        """
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        if min(height, width) < 1:
            raise UsageError(f"a picture of {height}×{width} pixels is empty")
        if max(height, width) > 200 * min(height, width):
            raise UsageError(
                f"a picture of {height}×{width} pixels is more than 200 times as long as wide, which Qwen-VL models "
                "do not take; cut it into pieces"
            )
        factor = self.patch * self.merge
        found: tuple[int, int] = smart_resize(height, width, factor, self.min_pixels, self.max_pixels)
        return found

    def tokens(self, height: int, width: int) -> int:
        """How many image tokens a picture of this size becomes."""
        tall, wide = self.resized(height, width)
        return tall * wide // (self.patch * self.merge) ** 2

    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Make `pixel_values` and `image_grid_thw`.

        Args:
            pictures: `(B, 3, H, W)`, or `(B, V, 3, H, W)` for V views of each of B scenes, in [0, 1].

        Returns:
            `(N, D)`, the N patches of all pictures one after another (views of a scene together), each with its
            D = 3 · frames · patch² numbers, float32 (float64 for float64); and `(B, 3)` or `(B · V, 3)`, how many
            patches each picture has in time, height and width.

        Raises:
            UsageError: another shape, type or range, or see `resized`.
        """
        check_tensor(pictures)
        pictures = pictures.flatten(0, -4)
        if pictures.dtype not in (torch.float32, torch.float64):
            pictures = pictures.float()
        return self._cut(self._rounded(pictures) if self.eight_bits else self._resized(pictures))

    def of_images(self, images: Sequence[Image]) -> tuple[Tensor, Tensor]:
        """The same of Pillow RGB pictures of any sizes, by way of 8 bits, as the stock processor gives it."""
        import numpy as np

        pixels = (torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0) for image in images)
        parts = [self._cut(self._of_bytes(each.contiguous()), 255) for each in pixels]
        return torch.cat([patches for patches, _ in parts]), torch.cat([grid for _, grid in parts])

    def _resized(self, pictures: Tensor) -> Tensor:
        size = self.resized(*pictures.shape[-2:])
        if pictures.shape[-2:] == size:
            return pictures
        return torch.nn.functional.interpolate(pictures, size=size, mode=self.interpolation, antialias=True)

    def _of_bytes(self, pixels: Tensor) -> Tensor:
        """Resized as bytes, in [0, 255]."""
        from torchvision.transforms.v2 import functional

        # Which kernel resizes bytes depends on the device; torchvision chooses as it does for the processor.
        size = self.resized(*pixels.shape[-2:])
        return functional.resize(pixels, list(size), self.interpolation, antialias=True).float()

    def _rounded(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            exact = self._of_bytes((pictures * 255).round_().clamp_(0, 255).to(torch.uint8)).to(pictures.dtype) / 255
            # Bytes know no NaN: a picture that holds one stays a picture of NaN, for the grader to report.
            exact = exact + 0 * pictures.sum((1, 2, 3), keepdim=True)
        if not pictures.requires_grad:
            return exact
        smooth = self._resized(pictures)
        return smooth + (exact - smooth).detach()

    def _cut(self, pictures: Tensor, white: float = 1.0) -> tuple[Tensor, Tensor]:
        """Normalised and cut into patches in Qwen's order: token by token, and the patches of a token together."""
        merge, patch = self.merge, self.patch
        number, rows, columns = len(pictures), pictures.shape[-2] // patch, pictures.shape[-1] // patch
        mean, deviation = (pictures.new_tensor(three).view(3, 1, 1) * white for three in (self.mean, self.deviation))
        cut = ((pictures - mean) / deviation).reshape(
            number, 3, rows // merge, merge, patch, columns // merge, merge, patch
        )
        # Picture, token's row and column, patch's row and column in it, channel, time, pixel's row and column.
        cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6).expand(*[-1] * 6, self.frames, -1, -1)
        grid = torch.tensor([[1, rows, columns]], device=pictures.device).repeat(number, 1)
        return cut.reshape(number * rows * columns, 3 * self.frames * patch**2), grid


def check_tensor(pictures: Tensor) -> None:
    """Raise a `UsageError` for what is no batch of pictures in [0, 1]."""
    if pictures.ndim not in (4, 5) or pictures.shape[-3] != 3 or not pictures.is_floating_point():
        raise UsageError(
            "pictures must be floats (B, 3, H, W) or (B, views, 3, H, W) in [0, 1]; these are "
            f"{pictures.dtype} {tuple(pictures.shape)}"
        )
    if pictures.numel():
        low, high = pictures.detach().aminmax()
        # Comparisons with NaN are false: such a picture is the grader's to report.
        if low < -0.01 or high > 1.01:
            raise UsageError(f"pictures must be in [0, 1]; these reach from {low:g} to {high:g}")
