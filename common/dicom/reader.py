"""DICOM pictures: decoded, in their physical values, shown through a window as a workstation would.

Overlays, annotations and presentation states are not drawn.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from dataclasses import dataclass, field
from io import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from common.dicom import windowing
from common.errors import DataError, MissingDependency, UsageError
from common.pictures import describe, readable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from common.dicom.windowing import Function, Window

#: Larger files are refused, and deflated ones that would unpack to more.
MAX_BYTES = 2**31
#: Endings that mean DICOM.
SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")

_DEFLATED = b"1.2.840.10008.1.2.1.99"
#: (group, element) that a data set without preamble may begin with: no other picture format begins so.
_FIRST_TAGS = {(2, 0), (2, 1), (2, 2), (2, 0x10), (8, 0), (8, 5), (8, 8), (8, 0x16), (8, 0x18)}


@dataclass(frozen=True, eq=False)
class Dicom:
    """One frame of a DICOM file.

    Attributes:
        pixels: grey `(H, W)` float32 in the modality's values (Hounsfield units for CT), or `(H, W, 3)` uint8 RGB.
        windows: (centre, width) of each of the file's own windows, in the order of the file.
        function: what these are taken by.
        inverted: whether the least value is white (MONOCHROME1).
        scale: what is black and white where the file stores 8 bits or fewer and has no window of its own.
        table: what the file's own table of shades makes of the pixels, `(H, W)` in [0, 1], not yet inverted.
        padding: value that fills what was not measured; "auto" leaves it out.
        spacing: millimetres between the centres of two rows and of two columns; None where the file does not say.
        spacing_at: what that is measured at: "patient", or "detector" for a projection that was not calibrated (what
            lies in the patient is smaller).
        frames: how many frames the file has.
        modality: DICOM's code: "CT", "MR", "CR", "DX", "US", …; "" where absent.
        hounsfield: whether the pixels are Hounsfield units.
        label: what messages call the file.
    """

    pixels: NDArray[Any] = field(repr=False)
    windows: tuple[tuple[float, float], ...] = ()
    function: Function = "LINEAR"
    inverted: bool = False
    scale: tuple[float, float] | None = None
    table: NDArray[np.float32] | None = field(default=None, repr=False)
    padding: float | None = None
    spacing: tuple[float, float] | None = None
    spacing_at: str = ""
    frames: int = 1
    modality: str = ""
    hounsfield: bool = False
    label: str = ""

    @property
    def colour(self) -> bool:
        """Whether the picture is RGB."""
        return self.pixels.ndim == 3

    def shown(self, window: Window | None = None) -> NDArray[np.float32]:
        """The picture as seen through a window.

        Args:
            window: (centre, width) in the picture's values, a name from `windowing.HOUNSFIELD` (CT only), "auto"
                (from the 0.5th to the 99.5th percentile) or "full". None: the file's own table of shades, its first
                window, its full scale where it stores 8 bits or fewer, or "auto", whichever it has first. A window on
                a colour picture applies to each channel, 0 to 255.

        Returns:
            `(H, W)` or `(H, W, 3)` float32 from 0 (black) to 1.

        Raises:
            UsageError: the window does not fit; the message names the file.
        """
        try:
            shown = self._shown(window)
        except UsageError as error:
            raise UsageError(f"{self.label}: {error}") from error
        return 1 - shown if self.inverted else shown

    def _shown(self, window: Window | None) -> NDArray[np.float32]:
        if self.colour:
            return windowing.between(self.pixels, 0, 255) if window is None else self._through(window)
        if window is not None:
            return self._through(window)
        if self.table is not None:
            return self.table
        if self.windows:
            return self._through(self.windows[0])
        return windowing.between(self.pixels, *self.scale) if self.scale is not None else self._through("auto")

    def _through(self, window: Window) -> NDArray[np.float32]:
        if isinstance(window, str) and window in ("auto", "full") and self.padding is not None:
            measured = self.pixels[self.pixels != self.padding]
            if measured.size:
                return windowing.between(self.pixels, *windowing.limits(measured, window))
        return windowing.apply(self.pixels, window, self.hounsfield, self.function)

    def picture(self, window: Window | None = None) -> Image.Image:
        """The same as an 8-bit picture of mode L or RGB; see `shown`."""
        from PIL import Image

        return Image.fromarray(windowing.to_bytes(self.shown(window)))


def read_dicom(source: Path | str | bytes, window: Window | None = None, frame: int = 0) -> Image.Image:
    """Read a DICOM picture as it is to be looked at.

    Args:
        source: path, or the bytes of a file.
        window: see `Dicom.shown`.
        frame: which frame, from 0.

    Returns:
        An 8-bit picture of mode L or RGB.

    Raises:
        DataError: see `open_dicom`.
        UsageError: the window does not fit the picture.
        MissingDependency: pydicom is not installed.
    """
    return open_dicom(source, frame).picture(window)


def open_dicom(source: Path | str | bytes, frame: int = 0) -> Dicom:
    """Decode one frame of a DICOM file, to look at it through several windows.

    Files without preamble or file meta information are read as well, and fields that are malformed count as absent.

    Args:
        source: path, or the bytes of a file.
        frame: which frame, from 0.

    Raises:
        DataError: there is no such file or frame, it holds no picture, it is broken or too large, or its compression
            needs a package that is not installed; the message names the file and the package.
        MissingDependency: pydicom is not installed.
    """
    try:
        from pydicom import dcmread

        from common.dicom.fields import UNREADABLE
    except ImportError as error:
        raise MissingDependency("pydicom", "medvqa") from error

    label = describe(source)
    try:
        file = readable(source, label)
        with file.open("rb") if isinstance(file, Path) else file as stream:
            check_size(stream, label, MAX_BYTES)
            dataset = dcmread(stream, force=True)
            _check_picture(dataset, label)
            return _frame(dataset, frame, label)
    except DataError:
        raise
    except (*UNREADABLE, MemoryError) as error:
        raise DataError(f"the DICOM file is broken or cut off: {error or type(error).__name__}", path=label) from error


def is_dicom(source: Path | str | bytes) -> bool:
    """Whether this is a DICOM file: by its preamble, its first tag, or its ending."""
    if isinstance(source, bytes):
        return _begins_as_dicom(source[:132])
    path = Path(source)
    # What cannot be opened is for the reader to report.
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        if _begins_as_dicom(file.read(132)):
            return True
    return path.suffix.lower() in SUFFIXES


def _begins_as_dicom(head: bytes) -> bool:
    if head[128:132] == b"DICM":
        return True
    return len(head) >= 8 and struct.unpack("<HH", head[:4]) in _FIRST_TAGS


def check_size(stream: BinaryIO, label: str, most: int) -> None:
    """Refuse what would not fit into memory: pydicom reads and unpacks a file whole.

    Raises:
        DataError: the file has more than `most` bytes, or unpacks to more.
    """
    size = stream.seek(0, SEEK_END)
    if size > most:
        raise DataError(f"the file has {size:,} bytes, more than {most:,}; split its frames first", path=label)
    stream.seek(0)
    head = stream.read(4096)
    if head[128:132] == b"DICM" and _DEFLATED in head:
        # The file meta information, whose length stands at its beginning, is not deflated.
        stream.seek(144 + int.from_bytes(head[140:144], "little"))
        unpacker, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while packed := unpacker.unconsumed_tail or stream.read(2**16):
            total += len(unpacker.decompress(packed, 2**20))
            if total > most:
                raise DataError(f"it unpacks to more than {most:,} bytes", path=label)
    stream.seek(0)


def _check_picture(dataset: Any, label: str) -> None:
    """Say what is missing where there are no pixels to decode, and complete what pydicom cannot do without."""
    from PIL import Image
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if dataset.preamble is None and "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise DataError("this is no DICOM file", path=label)
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        kind = getattr(dataset.get("SOPClassUID"), "name", "") or dataset.get("Modality") or "no kind given"
        raise DataError(f"this DICOM file holds no picture ({kind})", path=label)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if limit and rows * columns > limit:
        raise DataError(f"the picture has more than {limit:,} pixels; make it smaller first", path=label)
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if not dataset.file_meta.get("TransferSyntaxUID"):
        if dataset["PixelData"].is_undefined_length:
            raise DataError("it does not say how its pixels are compressed (no TransferSyntaxUID)", path=label)
        implicit, little = dataset.original_encoding
        plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian


def _frame(dataset: Any, frame: int, label: str) -> Dicom:
    import numpy as np

    from common.dicom import fields
    from common.dicom.pixels import decoded

    frames = max(int(fields.number([dataset], "NumberOfFrames", 1)), 1)
    if not 0 <= frame < frames:
        raise DataError(f"there is no frame {frame}; it has {frames}, counted from 0", path=label)
    stored = decoded(dataset, frame, frames, label)
    modality = str(dataset.get("Modality") or "")
    where = fields.places(dataset, frame)
    spacing, spacing_at = fields.pixel_spacing(where)
    about: dict[str, Any] = {"frames": frames, "modality": modality, "label": label}
    about |= {"spacing": spacing, "spacing_at": spacing_at}
    if stored.ndim == 3:
        return Dicom(stored, **about)
    values, scale, padding = fields.physical(dataset, where, stored)
    with np.errstate(over="ignore"):
        pixels = values.astype(np.float32)
    # What float64 holds may be too large for float32.
    if not np.isfinite(pixels).all():
        raise DataError("it holds numbers that are not finite, or too large", path=label)
    return Dicom(
        pixels,
        windows=fields.windows(where),
        function=fields.window_function(where),
        inverted=dataset.PhotometricInterpretation == "MONOCHROME1",
        scale=scale,
        table=fields.shades(dataset, values),
        padding=padding,
        hounsfield=fields.is_hounsfield(where, modality),
        **about,
    )
