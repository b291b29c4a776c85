"""What makes a picture recognisable: its bytes, its pixels, and a thumbnail that survives being saved anew."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.medvqa.data import Example
from common import ui
from common.errors import DataError
from common.pictures import Source, load_any, why

#: Side of the thumbnail, pixels.
SIDE = 16


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One picture.

    Attributes:
        content: digest of the file's bytes; of the pixels for a picture that is no file.
        pixels: digest of the decoded picture: equal for the same picture in another lossless format.
        thumbnail: `(SIDE²,)` float32: grey means of a grid of 16 × 16 cells, less their mean, of length 1 (all 0 for a
            picture of one shade). The cosine of two of them is their likeness, whatever size, brightness and contrast.
        study: digest of a DICOM file's StudyInstanceUID; empty for other pictures.
    """

    content: str
    pixels: str
    thumbnail: NDArray[np.float32]
    study: str = ""


def fingerprint(source: Source) -> Fingerprint:
    """The fingerprint of a picture, which is read whole.

    Raises:
        DataError: the picture cannot be read; names it.
    """
    from PIL import Image

    picture = load_any(source)
    pixels = _digest(f"{picture.size}".encode() + picture.tobytes())
    if isinstance(source, Image.Image):
        content, study = pixels, ""
    else:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        content, study = _digest(data), _study(source)
    grey = np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32).ravel()
    grey = grey - grey.mean()
    length = float(np.linalg.norm(grey))
    # Differences below a grey level are rounding, not a picture.
    return Fingerprint(content, pixels, grey / length if length > 1 else np.zeros_like(grey), study)


def key_of(source: Source) -> Hashable:
    """By what a source is known among others: a path or bytes by value, a picture in memory by itself."""
    return source if isinstance(source, (str, Path, bytes)) else id(source)


def take_fingerprints(
    examples: Iterable[Example], quiet: bool = False
) -> tuple[dict[Hashable, Fingerprint], dict[Hashable, str]]:
    """Open every picture once.

    Args:
        examples: questions with their pictures.
        quiet: no progress bar.

    Returns:
        Fingerprints, and of the pictures that cannot be read the reasons, both by `key_of`.
    """
    sources = {key_of(source): source for example in examples for source in example.pictures}
    prints: dict[Hashable, Fingerprint] = {}
    unreadable: dict[Hashable, str] = {}
    with ui.progress("opening pictures", total=len(sources), quiet=quiet) as bar:
        for key, source in sources.items():
            try:
                prints[key] = fingerprint(source)
            except DataError as error:
                unreadable[key] = why(error)
            bar.advance()
    return prints, unreadable


def alike(prints: Sequence[Fingerprint], others: Sequence[Fingerprint], least: float) -> list[tuple[int, int, float]]:
    """Pairs of pictures whose thumbnails have a cosine of at least `least`: `(index, index among others, cosine)`.

    All pairs are compared, 1e9 in about 16 s on one core (measured on 1e8), a thousand rows at a time.
    """
    if not prints or not others:
        return []
    second = np.stack([one.thumbnail for one in others])
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(prints), 1024):
        first = np.stack([one.thumbnail for one in prints[start : start + 1024]])
        likeness: NDArray[Any] = first @ second.T
        rows, columns = np.nonzero(likeness >= least)
        found += [
            (start + int(row), int(column), float(likeness[row, column]))
            for row, column in zip(rows, columns, strict=True)
        ]
    return found


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _study(source: Path | str | bytes) -> str:
    from common.dicom.reader import is_dicom

    if not is_dicom(source):
        return ""
    from io import BytesIO

    from pydicom import dcmread

    name = BytesIO(source) if isinstance(source, bytes) else source
    dataset = dcmread(name, stop_before_pixels=True, force=True, specific_tags=["StudyInstanceUID"])
    return _digest(str(dataset.StudyInstanceUID).encode()) if dataset.get("StudyInstanceUID") else ""
