"""What a DICOM data set says of its numbers: rescaling, windows, shades and millimetres.

Fields are read forgivingly: pydicom converts a value when it is asked for, and one that it cannot convert, or that is
empty or not finite, counts as absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pydicom.errors import BytesLengthException, InvalidDicomError

from common.dicom import windowing
from common.pictures import BROKEN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from common.dicom.windowing import Function

#: In which group of an enhanced multi-frame picture each frame has its own numbers (PS3.3 C.7.6.16.2).
_FRAME_GROUPS = ("PixelMeasuresSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence")
#: What pydicom raises on a file or a field that it cannot read.
UNREADABLE = (*BROKEN, NotImplementedError, BytesLengthException, InvalidDicomError)


def places(dataset: Any, frame: int) -> list[Any]:
    """Where a frame's fields may stand: its own groups, the groups of all frames, the data set itself."""
    found = []
    for name, at in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = first([dataset], name) or []
        if at < len(groups):
            found += [item for kind in _FRAME_GROUPS for item in (first([groups[at]], kind) or [])[:1]]
    return [*found, dataset]


def first(where: list[Any], name: str) -> Any:
    """The first value of that name that can be read and is not empty; None where there is none."""
    for place in where:
        try:
            value = place.get(name)
        except UNREADABLE:
            continue
        if value is not None and value != "":
            return value
    return None


def numbers(where: list[Any], name: str) -> list[float]:
    """The numbers of that name; none where one of them is not finite."""
    value = first(where, name)
    if value is None:
        return []
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        read = [float(entry) for entry in listed]
    except (TypeError, ValueError):
        return []
    return read if all(map(math.isfinite, read)) else []


def number(where: list[Any], name: str, otherwise: float) -> float:
    """The first number of that name."""
    return next(iter(numbers(where, name)), otherwise)


def physical(
    dataset: Any, where: list[Any], stored: NDArray[Any]
) -> tuple[NDArray[Any], tuple[float, float] | None, float | None]:
    """Values after the modality's table or rescaling; black and white of 8-bit pictures; value of padding."""
    import numpy as np
    from pydicom.pixels.processing import apply_modality_lut

    padding = next(iter(numbers([dataset], "PixelPaddingValue")), None)
    if dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, dataset), None, None
    # A slope of 0 would make one grey of the whole picture; it stands where a device had nothing to say.
    slope = number(where, "RescaleSlope", 1.0) or 1.0
    intercept = number(where, "RescaleIntercept", 0.0)
    values = stored.astype(np.float64) * slope + intercept
    scale = None
    bits = int(dataset.get("BitsStored") or 8 * stored.dtype.itemsize)
    if bits <= 8:
        low = -(2 ** (bits - 1)) if dataset.get("PixelRepresentation") == 1 else 0
        ends = sorted(end * slope + intercept for end in (low, low + 2**bits - 1))
        scale = (ends[0], ends[1])
    return values, scale, None if padding is None else float(np.float32(padding * slope + intercept))


def is_hounsfield(where: list[Any], modality: str) -> bool:
    """Whether a picture's values are Hounsfield units: a CT's own, not those of a screenshot of it."""
    unit = str(first(where, "RescaleType") or "HU").upper()
    return modality == "CT" and bool(numbers(where, "RescaleIntercept")) and unit == "HU"


def shades(dataset: Any, values: NDArray[Any]) -> NDArray[np.float32] | None:
    """The file's own table of shades applied to the modality's values, in [0, 1]."""
    import numpy as np
    from pydicom.pixels.processing import apply_voi

    if not dataset.get("VOILUTSequence"):
        return None
    try:
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi(np.rint(values).astype(np.int64), dataset)
        return windowing.between(looked_up, 0, 2**bits - 1)
    except UNREADABLE:
        # A table that cannot be read counts as absent: the picture can be looked at without it.
        return None


def windows(where: list[Any]) -> tuple[tuple[float, float], ...]:
    """(centre, width) of each window of the file's own that has a width."""
    pairs = zip(numbers(where, "WindowCenter"), numbers(where, "WindowWidth"), strict=False)
    return tuple(pair for pair in pairs if pair[1] > 0)


def window_function(where: list[Any]) -> Function:
    """What the windows are taken by; an unknown name counts as LINEAR."""
    name = str(first(where, "VOILUTFunction") or "").upper()
    return cast("Function", name) if name in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"


def pixel_spacing(where: list[Any]) -> tuple[tuple[float, float] | None, str]:
    """Millimetres between rows and columns, and what they are measured at."""
    found = numbers(where, "PixelSpacing")
    if len(found) == 2 and min(found) > 0:
        return (found[0], found[1]), "patient"
    found = numbers(where, "ImagerPixelSpacing")
    if len(found) == 2 and min(found) > 0:
        magnification = number(where, "EstimatedRadiographicMagnificationFactor", 0.0)
        if magnification >= 1:
            return (found[0] / magnification, found[1] / magnification), "patient"
        return (found[0], found[1]), "detector"
    region = first(where, "SequenceOfUltrasoundRegions")
    if region and {region[0].get("PhysicalUnitsXDirection"), region[0].get("PhysicalUnitsYDirection")} == {3}:
        # 3: centimetres.
        found = [abs(10 * step) for axis in "YX" for step in numbers([region[0]], f"PhysicalDelta{axis}")]
        if len(found) == 2 and min(found) > 0:
            return (found[0], found[1]), "patient"
    return None, ""
