"""DICOM files made for tests: no patient is in any of them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage


def data_set(pixels: Any, photometric: str = "MONOCHROME2", bits: int | None = None, **fields: Any) -> Dataset:
    """A data set of `(H, W)`, `(F, H, W)`, `(H, W, 3)` or `(F, H, W, 3)` integers."""
    pixels = np.asarray(pixels)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID
    made.set_pixel_data(pixels, photometric, bits or 8 * pixels.dtype.itemsize)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def saved(made: Dataset, preamble: bool = True) -> bytes:
    """A file's bytes; without preamble also without file meta information."""
    file = BytesIO()
    if preamble:
        made.save_as(file, enforce_file_format=True)
        return file.getvalue()
    del made.file_meta
    made.save_as(file, implicit_vr=True, little_endian=True)
    return file.getvalue()


def dicom(pixels: Any, photometric: str = "MONOCHROME2", bits: int | None = None, **fields: Any) -> bytes:
    """The bytes of a file; see `data_set`."""
    return saved(data_set(pixels, photometric, bits, **fields))


def compressed(pixels: Any, syntax: str, kind: str, photometric: str = "MONOCHROME2", **options: Any) -> bytes:
    """A file of one frame that Pillow compressed as `kind`."""
    made = data_set(pixels, "RGB" if np.ndim(pixels) == 3 else photometric)
    file = BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, kind, **options)
    made.PixelData = encapsulate([file.getvalue()])
    made["PixelData"].is_undefined_length = True
    made.PhotometricInterpretation = photometric
    made.file_meta.TransferSyntaxUID = syntax
    return saved(made)
