"""Pictures of every kind, read so that the same picture in another file format gives the same pixels."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Union

from common.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from common.dicom.windowing import Window

#: A picture where it lies, as the bytes of a file, or opened.
Source = Union[Path, str, bytes, "Image.Image"]
Colour = tuple[int, int, int]

#: What shows through transparent pixels, unless said otherwise.
WHITE: Colour = (255, 255, 255)

#: Pillow hands these to Ghostscript: whatever PostScript a file brings would run.
STARTING = ("EPS",)

#: What readers raise on broken files; Pillow's and pydicom's each have their own habits.
BROKEN = (
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


def load_picture(source: Source, background: Colour = WHITE, frame: int = 0) -> Image.Image:
    """Read a picture whole, upright, as 8-bit RGB.

    The orientation that a camera noted (EXIF 1 to 8) is applied. Transparent pixels show `background`. Grey values of
    16 bits are divided by 257, so that white stays white; those of 32-bit integer files count as 16-bit ones unless
    one is greater. Floats are taken on the scale 0 to 1, 0 to 255 or 0 to 65535, whichever is the least that holds
    the greatest of them. Values below 0 are black. `load_any` shows such pictures through a window, and reads DICOM.

    Args:
        source: path, bytes of a file, or a Pillow picture (which is left as it is).
        background: RGB, 0 to 255.
        frame: which frame of an animation or of a file of several pages, from 0.

    Returns:
        A decoded picture of mode RGB.

    Raises:
        DataError: nothing is there, there is no such frame, or it cannot be decoded to its end; names file and reason.
    """
    return _read(source, background, frame, None, None)


def load_any(source: Source, window: Window | None = None, frame: int = 0, background: Colour = WHITE) -> Image.Image:
    """Read a picture or a DICOM file, as 8-bit RGB.

    DICOM is told by its preamble, its first tag or its ending. Other grey of more than 8 bits is shown through a
    window, because 12 bits stored as 16 would be next to black; all else is as `load_picture` reads it.

    Args:
        source: path, bytes of a file, or a Pillow picture (which is left as it is).
        window: (centre, width) in the picture's values (0 to 255 for a colour picture), "auto" (from the 0.5th to the
            99.5th percentile), "full" (from the least to the greatest value) or, of a CT as DICOM, a name from
            `windowing.HOUNSFIELD`. None: DICOM's own; "auto" for other grey of more than 8 bits; else as it is.
        frame: which frame, from 0.
        background: RGB, 0 to 255, what transparent pixels show.

    Returns:
        A decoded picture of mode RGB.

    Raises:
        DataError: see `load_picture` and `common.dicom.reader.open_dicom`.
        UsageError: the window does not fit the picture.
        MissingDependency: this is DICOM and pydicom is not installed.
    """
    from PIL import Image

    if not isinstance(source, Image.Image):
        from common.dicom.reader import is_dicom, read_dicom

        if is_dicom(source):
            return read_dicom(source, window, frame).convert("RGB")
    return _read(source, background, frame, window, "auto")


def _read(
    source: Source, background: Colour, frame: int, window: Window | None, otherwise: Window | None
) -> Image.Image:
    """A picture as RGB, through `window` where given; grey of more than 8 bits through `otherwise` where not."""
    from PIL import Image, UnidentifiedImageError

    label = describe(source)

    def read(image: Image.Image) -> Image.Image:
        with _at_frame(image, frame, label):
            return _to_rgb(image, background, window, otherwise)

    try:
        if isinstance(source, Image.Image):
            return read(source)
        with Image.open(readable(source, label), formats=formats()) as image:
            return read(image)
    except DataError:
        raise
    except UsageError as error:
        raise UsageError(f"{label}: {error}") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"the picture has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller first",
            path=label,
        ) from error
    except UnidentifiedImageError as error:
        raise DataError("this is no picture in a format that Pillow reads", path=label) from error
    except BROKEN as error:
        raise DataError(f"the picture is broken or cut off: {error}", path=label) from error


def formats() -> list[str]:
    """What Pillow may open, in its order: all that it knows but those whose readers start another program."""
    from PIL import Image

    Image.init()
    return [name for name in Image.ID if name not in STARTING]


def pixels_of(source: bytes, names: Sequence[str] | None = None) -> int:
    """Pixels of a picture by its header, nothing of it decoded.

    Args:
        source: bytes of a file.
        names: Pillow's formats that may be opened; None for `formats`.

    Returns:
        The product of both sides; what is too large for Pillow counts as 2⁶².

    Raises:
        DataError: no picture in one of these formats, or a broken one.
    """
    from PIL import Image, UnidentifiedImageError

    label = describe(source)
    try:
        with Image.open(readable(source, label), formats=list(names or formats())) as opened:
            return opened.width * opened.height
    except Image.DecompressionBombError:
        return 2**62
    except UnidentifiedImageError as error:
        read = ", ".join(names or ("what Pillow reads",))
        raise DataError(f"this is no picture in a format that is read here: {read}", path=label) from error
    except BROKEN as error:
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


def readable(source: Path | str | bytes, label: str) -> Path | BytesIO:
    """What a reader can open; raises a `DataError` where there is nothing to read."""
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


@contextlib.contextmanager
def _at_frame(image: Image.Image, frame: int, label: str) -> Iterator[None]:
    """The picture at one of its frames; it is given back at the one it was at."""
    if not frame:
        yield
        return
    frames = getattr(image, "n_frames", 1)
    if not 0 <= frame < frames:
        raise DataError(f"there is no frame {frame}; it has {frames}, counted from 0", path=label)
    before = image.tell()
    image.seek(frame)
    try:
        yield
    finally:
        image.seek(before)


def _to_rgb(image: Image.Image, background: Colour, window: Window | None, otherwise: Window | None) -> Image.Image:
    from PIL import Image

    # Decode first: a TIFF is turned by its own reader at that point, and then forgets its orientation.
    image.load()
    image = _upright(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _through(image, window or otherwise)
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        below = Image.new("RGB", image.size, background)
        below.paste(image, mask=image.getchannel("A"))
        image = below
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return image if window is None else _through(image, window)


def _upright(image: Image.Image) -> Image.Image:
    """A new picture, turned as its orientation says."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except BROKEN:
        # The note beside the pixels is broken, not the pixels.
        return image.copy()


def _through(image: Image.Image, window: Window | None) -> Image.Image:
    """A picture's values through a window, each channel by itself, or on their own scale."""
    import numpy as np
    from PIL import Image

    from common.dicom import windowing

    if image.mode == "RGB" and window is not None:
        return image.point(_shades(image.histogram(), window) * 3)
    numbers = np.asarray(image)
    if not np.isfinite(numbers).all():
        raise ValueError("it holds numbers that are not finite")
    if window is None:
        shown = windowing.between(numbers, 0, _white(image.mode, float(numbers.max())))
    else:
        shown = windowing.apply(numbers, window, hounsfield=False)
    return Image.fromarray(windowing.to_bytes(shown)).convert("RGB")


def _shades(counts: list[int], window: Window) -> list[int]:
    """What each of 256 values becomes; `counts` are those of three channels. As floats a picture is far larger."""
    import numpy as np

    from common.dicom import windowing

    if window in ("auto", "full"):
        window = windowing.between_limits(windowing.counted_limits(np.reshape(counts, (3, 256)).sum(0), str(window)))
    shades: list[int] = windowing.to_bytes(windowing.apply(np.arange(256), window, hounsfield=False)).tolist()
    return shades


def _white(mode: str, greatest: float) -> int:
    """What is white in a picture of more than 8 bits; modes other than 16 bits tell it by their greatest value."""
    if mode.startswith("I;16"):
        return 65535
    # What an exporter's rounding leaves above white.
    greatest /= 1 + 1e-6
    for scale in (1, 255, 65535) if mode == "F" else (65535, 2**31 - 1):
        if greatest <= scale:
            return scale
    raise ValueError(f"its greatest value, {greatest:g}, is on no known scale")
