"""Window and level: which of a picture's values are shown, from black to white."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Union

from common.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: DICOM's VOI LUT functions (PS3.3 C.11.2.1).
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
#: Centre and width in the picture's values; a name from `HOUNSFIELD`; "auto"; or "full".
Window = Union[str, "tuple[float, float]"]

#: Centre and width in Hounsfield units: what radiologists look at CT with (Radiopaedia, "Windowing (CT)").
HOUNSFIELD: dict[str, tuple[float, float]] = {
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "soft tissue": (50, 400),
    "brain": (40, 80),
    "bone": (400, 1800),
}

#: Shares of the pixels, in per cent, that "auto" shows as black and, from the other end, as white.
_PERCENTILES = (0.5, 99.5)


def window(pixels: Any, centre: float, width: float, function: Function = "LINEAR") -> NDArray[np.float32]:
    """What a window shows of a picture.

    The formulas are those of DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3: LINEAR is made for whole numbers, and shows its
    lowest as black and its highest as white; LINEAR_EXACT is black at centre − width / 2 and white at centre +
    width / 2; SIGMOID is 1 / (1 + exp(−4 (x − centre) / width)).

    Args:
        pixels: an array of any shape, in the values that centre and width are in (Hounsfield units for CT).
        centre: value shown as middle grey.
        width: how many values lie between black and white.
        function: one of the three.

    Returns:
        float32 of the same shape, from 0 (black) to 1 (white).

    Raises:
        UsageError: the width is below 1 (LINEAR) or not above 0 (the others), a number is not finite, or there is no
            such function.
    """
    import numpy as np

    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UsageError(f"there is no window function {function!r}; use LINEAR, LINEAR_EXACT or SIGMOID")
    if not (np.isfinite(centre) and np.isfinite(width)):
        raise UsageError(f"a window needs numbers; this is centre {centre}, width {width}")
    if width < 1 if function == "LINEAR" else width <= 0:
        least = "at least 1 (for less use LINEAR_EXACT)" if function == "LINEAR" else "above 0"
        raise UsageError(f"a window's width must be {least}; this is {width:g}")
    away = np.asarray(pixels, dtype=np.float64) - centre
    shown: NDArray[Any]
    if function == "SIGMOID":
        # An exponential of more than 700 overflows, and 50 are as black as 700.
        shown = 1 / (1 + np.exp(np.clip(-4 * away / width, -50, 50)))
    elif function == "LINEAR_EXACT":
        shown = away / width + 0.5
    elif width == 1:
        shown = away > -0.5
    else:
        shown = (away + 0.5) / (width - 1) + 0.5
    return np.clip(shown, 0, 1).astype(np.float32)


def limits(pixels: Any, kind: str) -> tuple[float, float]:
    """What is black and what is white of a picture without a window of its own.

    Args:
        pixels: an array with at least one value.
        kind: "full": the least and the greatest value. "auto": the 0.5th and the 99.5th percentile, so that a metal
            clip does not darken all else; where these are the same, as where nearly all is background, as "full".
    """
    import numpy as np

    if kind == "auto":
        # In floats: numpy interpolates between whole numbers in their own type, which may be too small for their gap.
        low, high = np.percentile(np.asarray(pixels, np.float64), _PERCENTILES)
        if high > low:
            return float(low), float(high)
    return float(np.min(pixels)), float(np.max(pixels))


def counted_limits(counts: NDArray[np.int64], kind: str) -> tuple[float, float]:
    """`limits` of whole numbers from 0, of which `counts` says how often each stands in the picture."""
    import numpy as np

    known = np.flatnonzero(counts)
    if kind == "auto":
        until, last = np.cumsum(counts), int(counts.sum()) - 1
        ends = []
        for percent in _PERCENTILES:
            at = last * percent / 100
            below, above = np.searchsorted(until, [math.floor(at), math.ceil(at)], "right")
            ends.append(float(below + (above - below) * (at - math.floor(at))))
        if ends[1] > ends[0]:
            return ends[0], ends[1]
    return float(known[0]), float(known[-1])


def between_limits(ends: tuple[float, float]) -> tuple[float, float]:
    """The window, centre and width, from black to white; see `between`."""
    low, high = ends
    if not high > low:
        high = low + 1
    return (low + high) / 2, high - low


def between(pixels: Any, low: float, high: float) -> NDArray[np.float32]:
    """A picture from `low` (black) to `high` (white), cut off beyond them; all black where these are the same."""
    return window(pixels, *between_limits((low, high)), "LINEAR_EXACT")


def apply(pixels: Any, chosen: Window, hounsfield: bool, function: Function = "LINEAR_EXACT") -> NDArray[np.float32]:
    """Show a picture by any kind of window.

    Args:
        pixels: see `window`.
        chosen: see `Window`.
        hounsfield: whether the values are Hounsfield units; a named window means nothing on others.
        function: what centre and width are taken by; a width below 1 by LINEAR_EXACT instead of LINEAR.

    Returns:
        float32 of the same shape, in [0, 1].

    Raises:
        UsageError: an unknown name, or a named window on other values than Hounsfield units; and see `window`.
    """
    if isinstance(chosen, str):
        if chosen in ("auto", "full"):
            return between(pixels, *limits(pixels, chosen))
        if chosen not in HOUNSFIELD:
            raise UsageError(
                f"there is no window {chosen!r}; use auto, full, {', '.join(HOUNSFIELD)}, or centre and width"
            )
        if not hounsfield:
            raise UsageError(
                f"the window {chosen!r} is in Hounsfield units, and this is no CT picture with its original values; "
                "use auto, full, or centre and width"
            )
        chosen = HOUNSFIELD[chosen]
    try:
        centre, width = map(float, chosen)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a window is a name or (centre, width); this is {chosen!r}") from error
    return window(pixels, centre, width, "LINEAR_EXACT" if function == "LINEAR" and width < 1 else function)


def to_bytes(shown: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] to 0 … 255, rounded."""
    import numpy as np

    return np.rint(np.asarray(shown, dtype=np.float64) * 255).astype(np.uint8)
