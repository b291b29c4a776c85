"""Targets that read pictures: everything that Pillow opens, and DICOM."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.harness import Target
from tests.fuzz.mutations import HOSTILE, damaged, edits, files, scalars

MODES = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), "JPEG": ("RGB", "L", "CMYK"), "GIF": ("P", "RGB"),
    "TIFF": ("RGB", "I;16", "F", "I", "1", "CMYK", "LAB"), "BMP": ("RGB", "L", "1"), "WEBP": ("RGB", "RGBA"),
    "PPM": ("RGB", "L"), "TGA": ("RGB", "RGBA"), "ICO": ("RGBA",), "JPEG2000": ("RGB", "L"), "PCX": ("RGB", "P"),
    "SGI": ("RGB",), "DDS": ("RGBA",),
}  # fmt: skip


def pictures() -> Target:
    from common.pictures import load_any, load_picture, pixels_of

    def parse(value: tuple[bytes, Any, int]) -> None:
        source, window, frame = value
        assert pixels_of(source) > 0
        for picture in (load_picture(source, frame=frame), load_any(source, window, frame)):
            assert picture.mode == "RGB"
            assert len(picture.tobytes()) == 3 * picture.width * picture.height

    source = st.one_of(files(*_pictures()), st.sampled_from(_bombs()), files(*_bombs()))
    # Frame 0 nearly always: what is behind the first frame is mostly absent.
    return Target(st.tuples(source, _windows(), st.sampled_from([0, 0, 0, 1, -1, 2**31])), parse, examples=100)


def dicom() -> Target:
    from common.dicom.reader import is_dicom, open_dicom, read_dicom

    def parse(value: tuple[bytes, Any, int]) -> None:
        source, window, frame = value
        is_dicom(source)
        opened = open_dicom(source, frame)
        assert opened.frames >= 1
        assert np.isfinite(opened.pixels).all()
        assert opened.spacing is None or all(np.isfinite(opened.spacing))
        shown = opened.shown()
        assert np.isfinite(shown).all()
        assert shown.min() >= 0
        assert shown.max() <= 1
        assert read_dicom(source, window, frame).size == shown.shape[1::-1]

    made = _dicoms()
    fields = st.builds(_with_fields, st.sampled_from(range(4)), st.lists(_field(), min_size=1, max_size=3))
    source = st.one_of(files(*made), fields, st.builds(damaged, fields, edits))
    return Target(st.tuples(source, _windows(), st.sampled_from([0, 0, 0, 1, -1, 2**31])), parse, examples=60)


def _windows() -> st.SearchStrategy[Any]:
    number = st.floats() | st.sampled_from([0.0, 1.0, 40.0, -1.0])
    return st.sampled_from([None, "auto", "full", "lung", "nothing"]) | st.tuples(number, number)


def _pictures() -> list[bytes]:
    from PIL import Image

    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    made = []
    for kind, modes in MODES.items():
        for mode in modes:
            grey = mode in ("I;16", "F", "I")
            picture = Image.fromarray(np.asarray(noise.convert("I")).astype("u2")) if mode == "I;16" else noise
            picture = picture if mode == "I;16" else noise.convert("L").convert(mode) if grey else _as(noise, mode)
            file = BytesIO()
            more = {"exif": _turned()} if kind in ("JPEG", "WEBP") else {}
            picture.save(file, kind, **more)
            made.append(file.getvalue())
    file = BytesIO()
    noise.save(file, "GIF", save_all=True, append_images=[noise.rotate(90)])
    return [*made, file.getvalue()]


def _as(picture: Any, mode: str) -> Any:
    from PIL import Image

    # Pillow turns RGB into LAB through a colour profile alone.
    return Image.new("LAB", picture.size) if mode == "LAB" else picture.convert(mode)


def _turned() -> Any:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _bombs() -> list[bytes]:
    """Small files that say they are large."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    found = []
    for width, height in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (100_000, 1), (0, 0), (9_000, 9_000)):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
        text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 50_000_000, 9))
        found += [b"\x89PNG\r\n\x1a\n" + head + more + body + chunk(b"IEND", b"") for more in (b"", text)]
    found.append(
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0)
        + b"\0" * 6
        + b",\0\0\0\0\xff\xff\xff\xff\0\x08\xff" * 2
    )
    found.append(b"P6\n99999999 99999999\n255\n" + b"\0" * 100)
    found.append(b"BM" + struct.pack("<IHHIIIIHHIIIIII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0))
    return found


def _dicoms() -> list[bytes]:
    from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

    from tests.common.dicom.dicoms import compressed, data_set, dicom, saved

    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 4096, (8, 9), np.uint16), rng.integers(0, 256, (8, 9, 3), np.uint8)
    deflated = data_set(grey)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    rle = data_set(grey)
    rle.compress(RLELossless)
    return [
        dicom(
            grey, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 50], WindowWidth=[400, 9]
        ),
        saved(data_set(grey, PixelPaddingValue=0, PixelSpacing=[0.5, 0.5]), preamble=False),
        dicom(np.stack([grey] * 3), "MONOCHROME1"),
        dicom(colour, "RGB"),
        dicom(colour, "YBR_FULL"),
        saved(deflated),
        saved(rle),
        compressed(colour, JPEGBaseline8Bit, "JPEG", "YBR_FULL_422"),
        compressed(colour[..., 0], JPEG2000Lossless, "JPEG2000", irreversible=False),
    ]


#: Elements that the reader looks at, with the kinds of value that each may hold.
_FIELDS = {
    "Rows": "US", "Columns": "US", "BitsAllocated": "US", "BitsStored": "US", "HighBit": "US", "SamplesPerPixel": "US",
    "PixelRepresentation": "US", "PlanarConfiguration": "US", "NumberOfFrames": "IS", "PhotometricInterpretation": "CS",
    "RescaleSlope": "DS", "RescaleIntercept": "DS", "RescaleType": "LO", "WindowCenter": "DS", "WindowWidth": "DS",
    "VOILUTFunction": "CS", "PixelSpacing": "DS", "ImagerPixelSpacing": "DS", "PixelPaddingValue": "US", "Modality": "CS",
    "PixelPaddingRangeLimit": "US", "SmallestImagePixelValue": "US", "PresentationLUTShape": "CS", "PixelAspectRatio": "IS",
}  # fmt: skip
_NUMBERS = [
    "0",
    "-1",
    "1",
    "2",
    "8",
    "12",
    "16",
    "32",
    "64",
    "1e308",
    "-1e308",
    "nan",
    "inf",
    "",
    " ",
    "65535",
    "0.5",
    "1e-320",
]


def _field() -> st.SearchStrategy[tuple[str, Any]]:
    words = st.sampled_from(
        [
            "MONOCHROME1",
            "MONOCHROME2",
            "RGB",
            "YBR_FULL",
            "PALETTE COLOR",
            "SIGMOID",
            "CT",
            "LINEAR_EXACT",
            *HOSTILE[:8],
        ]
    )
    number = st.sampled_from(_NUMBERS)
    value = st.one_of(number, st.lists(number, max_size=3).map("\\".join), words, scalars.map(str))
    return st.tuples(st.sampled_from(sorted(_FIELDS)), value)


def _with_fields(which: int, changes: list[tuple[str, str]]) -> bytes:
    """One of the files with some elements written as bytes that nobody checked."""
    import struct

    from pydicom.datadict import tag_for_keyword

    source = _DICOMS[which] if _DICOMS else _DICOMS.extend(_dicoms()) or _DICOMS[which]
    for name, text in changes:
        tag, kind = tag_for_keyword(name) or 0, _FIELDS[name]
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode()
        if kind == "US":
            number = int(float(text)) if text.strip().isdigit() else 65535
            content = struct.pack("<H", min(number, 65535)) * (1 + text.count("\\"))
        else:
            content = text.encode("utf-8", "replace")[:400]
            content += b" " * (len(content) % 2)
        element = head + struct.pack("<H", len(content)) + content
        at = source.find(head, 132)
        if at >= 0:
            length = int.from_bytes(source[at + 6 : at + 8], "little")
            source = source[:at] + element + source[at + 8 + length :]
        else:
            # Before the pixels; pydicom does not mind the order.
            end = source.find(b"\xe0\x7f\x10\x00", 132)
            source = source[:end] + element + source[end:]
    return source


_DICOMS: list[bytes] = []
