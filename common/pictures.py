"""Pictures of every kind, read so that the same picture in another file format gives the same pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from common.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

#: A picture where it lies, as the bytes of a file, or opened.
Source = Union[Path, str, bytes, "Image.Image"]
Colour = tuple[int, int, int]

#: What shows through transparent pixels, unless said otherwise.
WHITE: Colour = (255, 255, 255)

#: What Pillow's readers raise on broken files; each reader has its own habits.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def load_picture(source: Source, background: Colour = WHITE) -> Image.Image:
    """Read a picture whole, upright, as 8-bit RGB.

    The orientation that a camera noted (EXIF 1 to 8) is applied. Transparent pixels show `background`. Of an animation
    the first frame counts. Grey values of 16 bits are divided by 257, so that white stays white; those of 32-bit
    integer files count as 16-bit ones unless one is greater. Floats are taken on the scale 0 to 1, 0 to 255 or 0 to
    65535, whichever is the least that holds the greatest of them. Values below 0 are black.

    Args:
        source: path, bytes of a file, or a Pillow picture (which is left as it is).
        background: RGB, 0 to 255.

    Returns:
        A decoded picture of mode RGB.

    Raises:
        DataError: nothing is there, or it cannot be decoded to its end; the message names the file and why.
    """
    from PIL import Image, UnidentifiedImageError

    label = describe(source)
    try:
        if isinstance(source, Image.Image):
            return _to_rgb(source, background)
        with Image.open(_readable(source, label)) as image:
            return _to_rgb(image, background)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"the picture has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller first",
            path=label,
        ) from error
    except UnidentifiedImageError as error:
        raise DataError("this is no picture in a format that Pillow reads", path=label) from error
    except _BROKEN as error:
        raise DataError(f"the picture is broken or cut off: {error}", path=label) from error


@dataclass(frozen=True)
class Loaded:
    """What `load_pictures` could read.

    Attributes:
        kept: index of each picture among the sources.
        pictures: the pictures at these indices.
        bad: the other sources, described, each with its reason.
    """

    kept: list[int] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)


def load_pictures(sources: Iterable[Source], limit: int | None = None, background: Colour = WHITE) -> Loaded:
    """Read pictures and set the bad ones aside, each with its reason.

    Args:
        sources: see `load_picture`.
        limit: how many may be bad; None: any number.
        background: see `load_picture`.

    Raises:
        DataError: more than `limit` are bad; the message names the first of them.
    """
    loaded = Loaded()
    for at, source in enumerate(sources):
        try:
            loaded.pictures.append(load_picture(source, background))
            loaded.kept.append(at)
        except DataError as error:
            loaded.bad.append((describe(source), why(error)))
            check_limit(loaded.bad, limit)
    return loaded


def check_limit(bad: Sequence[tuple[str, str]], limit: int | None) -> None:
    """Raise `DataError` where more than `limit` pictures are bad."""
    if limit is not None and len(bad) > limit:
        first = "; ".join(f"{name}: {reason}" for name, reason in bad[:3])
        raise DataError(f"more than {limit} pictures cannot be read: {first}. Remove them or raise the limit")


def to_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """`(B, 3, H, W)` float32 in [0, 1] of RGB pictures of one size.

    Raises:
        UsageError: there are no pictures, or they differ in size or are not RGB.
    """
    import numpy as np
    import torch

    kinds = sorted({f"{image.mode} {image.width}×{image.height}" for image in pictures})
    if len(kinds) != 1 or not kinds[0].startswith("RGB "):
        raise UsageError(f"a tensor needs RGB pictures of one size; these are: {', '.join(kinds) or 'none'}")
    pixels = np.stack([np.asarray(image) for image in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255


def why(error: DataError) -> str:
    """The message of an error without the file's name in front."""
    return str(error).removeprefix(f"{error.path}: ")


def describe(source: Source) -> str:
    """What messages call a source."""
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, bytes):
        return f"picture of {len(source)} bytes"
    return f"picture {source.mode} {source.width}×{source.height}"


def _readable(source: Path | str | bytes, label: str) -> Path | BytesIO:
    if isinstance(source, bytes):
        if not source:
            raise DataError("there are no bytes", path=label)
        return BytesIO(source)
    path = Path(source)
    if path.is_dir():
        raise DataError("this is a folder; a picture is needed", path=label)
    if not path.exists():
        raise DataError("no such file", path=label)
    if path.is_file() and not path.stat().st_size:
        raise DataError("the file is empty", path=label)
    return path


def _to_rgb(image: Image.Image, background: Colour) -> Image.Image:
    from PIL import Image

    # Decode first: a TIFF is turned by its own reader at that point, and then forgets its orientation.
    image.load()
    image = _upright(image)
    if image.mode.startswith("I;16"):
        return _from_numbers(image, 65535)
    if image.mode in ("I", "F"):
        return _from_numbers(image, None)
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    below = Image.new("RGB", image.size, background)
    below.paste(image, mask=image.getchannel("A"))
    return below


def _upright(image: Image.Image) -> Image.Image:
    """A new picture, turned as its orientation says."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        # The note beside the pixels is broken, not the pixels.
        return image.copy()


def _from_numbers(image: Image.Image, white: int | None) -> Image.Image:
    """Grey of more than 8 bits; `white` None: found from the numbers."""
    import numpy as np
    from PIL import Image

    numbers: Any = np.asarray(image)
    if not np.isfinite(numbers).all():
        raise ValueError("it holds numbers that are not finite")
    if white is None:
        scales = (1, 255, 65535) if image.mode == "F" else (65535, 2**31 - 1)
        # The largest float below 1 + 1e-6: what an exporter's rounding leaves above white.
        greatest = float(numbers.max()) / (1 + 1e-6)
        white = next((scale for scale in scales if greatest <= scale), None)
        if white is None:
            raise ValueError(f"its greatest value, {greatest:g}, is on no known scale")
    grey = np.rint(np.clip(numbers.astype(np.float64) / white, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
