"""The pixels of a DICOM data set, as pydicom and the packages that it uses decode them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder  # type: ignore[attr-defined]
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEG2000TransferSyntaxes

from common.dicom import windowing
from common.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decoded(dataset: Any, frame: int, frames: int, label: str) -> NDArray[Any]:
    """The stored numbers `(H, W)` of a frame, or `(H, W, 3)` uint8 RGB.

    Raises:
        DataError: nothing installed decodes them; the message names a package that does.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        what = f"its pixels are stored as {syntax.name}, which pydicom does not decode"
        raise DataError(what, path=label) from error
    if not decoder.is_available:
        known = [entry.partition(" - requires ") for entry in decoder.missing_dependencies]
        # gdcm is not what its package is called, and pylibjpeg reads all that it reads.
        needs = next((packages for plugin, _, packages in known if plugin == "pylibjpeg"), known[0][2])
        command = "pip install " + " ".join(f"'{package}'" for package in needs.split(" and "))
        raise DataError(f"its pixels are compressed as {syntax.name}; to read them: {command}", path=label)
    kind = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    dataset.PhotometricInterpretation = kind
    if syntax in JPEG2000TransferSyntaxes:
        _check_boxes(dataset, frame, frames)
    pixels: NDArray[Any] = pixel_array(dataset, index=frame)
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)[..., :3]
        bits = 8 * pixels.dtype.itemsize
    elif pixels.ndim == 2:
        return pixels
    elif pixels.ndim == 3 and pixels.shape[-1] == 3 and kind.startswith(("RGB", "YBR")):
        bits = int(dataset.BitsStored)
    else:
        raise DataError(f"pictures stored as {kind!r} of shape {pixels.shape} are not supported", path=label)
    return pixels if bits == 8 else windowing.to_bytes(windowing.between(pixels, 0, 2**bits - 1))


def _check_boxes(dataset: Any, frame: int, frames: int) -> None:
    """Refuse a JP2 header that says a box is empty: pydicom 3.0 would look for the end of it for ever."""
    table = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    offsets = table if all(table) else None
    data = get_frame(dataset.PixelData, frame, number_of_frames=frames, extended_offsets=offsets)
    if data[4:8] != b"jP  ":
        return
    at = 12
    while at < len(data) and data[at + 4 : at + 8] != b"jp2c":
        length = int.from_bytes(data[at : at + 4], "big")
        if not length:
            raise ValueError("its JPEG 2000 header ends before the picture")
        at += length
