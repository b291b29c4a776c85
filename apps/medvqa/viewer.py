"""A picture opened to be looked at: what of its values is shown, and what the model then sees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from common.dicom.windowing import HOUNSFIELD, limits
from common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

    from common.dicom.reader import Dicom
    from common.dicom.windowing import Window

#: The choice that leaves a picture as its file says.
AS_STORED = "as stored"
#: Positions of a slider, at least: a narrower range of values is split finer than by ones.
_POSITIONS = 200
#: What Pillow may open from an upload: of the formats it knows, some start other programs.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")


@dataclass(frozen=True, eq=False)
class View:
    """A picture, one frame of it, and the range of its values.

    Attributes:
        name: what a visitor calls it.
        source: a Pillow picture, or the bytes of a file.
        size: width and height in pixels.
        low: least value.
        high: greatest value.
        start: centre and width of what is shown of the picture as stored, as near as these two can say it.
        hounsfield: whether the values are Hounsfield units.
        about: the values in words; "" for a picture of 8 bits, where they say nothing.
        frames: how many the file has.
        frame: which one this is, from 0.
    """

    name: str
    source: Image | bytes = field(repr=False)
    size: tuple[int, int] = (0, 0)
    low: float = 0.0
    high: float = 255.0
    start: tuple[float, float] = (127.5, 255.0)
    hounsfield: bool = False
    about: str = ""
    frames: int = 1
    frame: int = 0
    dicom: Dicom | None = field(default=None, repr=False)

    @property
    def presets(self) -> tuple[str, ...]:
        """Names of the windows that mean something for this picture."""
        if self.hounsfield:
            return (AS_STORED, *HOUNSFIELD)
        return (AS_STORED, "auto", "full") if self.about else (AS_STORED,)

    @property
    def step(self) -> float:
        """The least by which a slider moves."""
        return 1.0 if self.high - self.low >= _POSITIONS else (self.high - self.low or 1.0) / _POSITIONS

    @property
    def centres(self) -> tuple[float, float]:
        """Least and greatest centre; for Hounsfield units all those of the named windows are among them."""
        named = [centre for centre, _ in HOUNSFIELD.values()] if self.hounsfield else []
        return min([self.low, self.start[0], *named]), max([self.high, self.start[0], *named])

    @property
    def widths(self) -> tuple[float, float]:
        """Least and greatest width."""
        named = [width for _, width in HOUNSFIELD.values()] if self.hounsfield else []
        return self.step, max([self.high - self.low, self.step, self.start[1], *named])

    def window_of(self, name: str) -> tuple[float, float]:
        """Centre and width of a preset, near enough to move the sliders to."""
        if name in ("auto", "full"):
            low, high = limits(self._values(), name)
            return (low + high) / 2, max(high - low, self.step)
        return HOUNSFIELD.get(name, self.start)

    def seen(self, window: Window | None = None) -> Image:
        """What the model sees, RGB of 8 bits.

        Args:
            window: centre and width or a name; None for the picture as stored.

        Raises:
            UsageError: the window does not fit the picture.
        """
        from common.pictures import load_any

        if self.dicom is not None:
            return self.dicom.picture(window).convert("RGB")
        return load_any(self.source, window, self.frame)

    def at(self, frame: int) -> View:
        """Another frame of the same file."""
        return open_view(self.source, self.name, frame)

    def _values(self) -> Any:
        return self.dicom.pixels if self.dicom is not None else _grey(self.source, self.frame)[0]


def open_view(source: Image | bytes, name: str, frame: int = 0) -> View:
    """Open a picture of 8 or more bits, or a DICOM file.

    Args:
        source: a Pillow picture, or the bytes of a file.
        name: what messages call it.
        frame: which frame, from 0.

    Raises:
        DataError: it cannot be read; the message names it by `name`.
        MissingDependency: this is DICOM and pydicom is not installed.
    """
    from common.dicom.reader import is_dicom, open_dicom
    from common.pictures import BROKEN, why

    try:
        if isinstance(source, bytes) and is_dicom(source):
            return _of_dicom(open_dicom(source, frame), source, name, frame)
        return _of_picture(source, name, frame)
    except DataError as error:
        raise DataError(why(error), path=name) from error
    except BROKEN as error:
        # Pillow counts the frames of a file that is broken behind the first one.
        raise DataError(f"the picture is broken or cut off: {error}", path=name) from error


def _of_dicom(dicom: Dicom, source: bytes, name: str, frame: int) -> View:
    # What it calls itself stands in the messages about windows.
    dicom = replace(dicom, label=name)
    height, width = dicom.pixels.shape[:2]
    opened = View(name, source, (width, height), frames=dicom.frames, frame=frame, dicom=dicom)
    if dicom.colour:
        return opened
    low, high = (float(value) for value in limits(dicom.pixels, "full"))
    start = dicom.windows[0] if dicom.windows else _middle(*(dicom.scale or limits(dicom.pixels, "auto")))
    told = [dicom.modality, f"{'Hounsfield units' if dicom.hounsfield else 'values'} {low:g} to {high:g}"]
    if dicom.spacing is not None:
        where = "" if dicom.spacing_at == "patient" else f" at the {dicom.spacing_at}"
        told.append(f"pixels of {dicom.spacing[0]:.3g} mm{where}")
    about = " · ".join(part for part in told if part)
    return replace(opened, low=low, high=high, start=start, hounsfield=dicom.hounsfield, about=about)


def _of_picture(source: Image | bytes, name: str, frame: int) -> View:
    from common.pictures import load_any

    # Whole, so that a broken file is refused now and not when it is first shown.
    size = load_any(source, None, frame).size
    values, frames = _grey(source, frame)
    if values is None:
        return View(name, source, size, frames=frames, frame=frame)
    low, high = (float(value) for value in limits(values, "full"))
    start = _middle(*limits(values, "auto"))
    return View(name, source, size, low, high, start, False, f"values {low:g} to {high:g}", frames, frame)


def _grey(source: Image | bytes, frame: int) -> tuple[Any, int]:
    """The values of a grey picture of more than 8 bits, else None; and how many frames the file has."""
    import numpy as np
    from PIL import Image

    opened = Image.open(BytesIO(source)) if isinstance(source, bytes) else source
    frames = int(getattr(opened, "n_frames", 1))
    if not (opened.mode.startswith("I;16") or opened.mode in ("I", "F")):
        return None, frames
    if frame:
        opened.seek(frame)
    return np.asarray(opened), frames


def _middle(low: float, high: float) -> tuple[float, float]:
    """Centre and width of what lies between two values."""
    return (low + high) / 2, max(high - low, 1e-6)


def check_format(source: bytes, name: str, most_pixels: int) -> None:
    """Refuse what is neither DICOM nor one of `FORMATS`, or has more pixels than allowed, before it is decoded.

    Raises:
        DataError: names the file.
    """
    from common.dicom.reader import is_dicom
    from common.pictures import pixels_of, why

    if not source:
        raise DataError("the file is empty", path=name)
    try:
        pixels = _dicom_pixels(source, most_pixels) if is_dicom(source) else pixels_of(source, FORMATS)
    except DataError as error:
        raise DataError(why(error), path=name) from error
    if pixels > most_pixels:
        raise DataError(f"more than {most_pixels // 1_000_000} million pixels", path=name)


def _dicom_pixels(source: bytes, most: int) -> int:
    """Pixels of a frame, from the header; 0 where it does not say so or would first have to be unpacked.

    Raises:
        DataError: it would unpack to more than eight bytes for each of the most pixels.
    """
    try:
        from pydicom import dcmread

        from common.dicom.fields import UNREADABLE
        from common.dicom.reader import check_size
    except ImportError:
        return 0  # open_dicom says what is missing
    check_size(BytesIO(source), "", 8 * most)
    if b"1.2.840.10008.1.2.1.99" in source[:4096]:
        return 0
    try:
        header = dcmread(BytesIO(source), force=True, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
    except UNREADABLE:
        return 0
