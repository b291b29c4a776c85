"""Cell values of every engine in the few Python types that comparisons know."""

from __future__ import annotations

import decimal
import math
from typing import Any

Row = tuple[Any, ...]


def plain(value: Any) -> Any:
    """`value` as None, bool, int, float, str, bytes, a date type, or a tuple of these.

    Decimals become exact integers where they are whole and floats otherwise; every NaN becomes the same object, so
    that NaN equals NaN in tuples and sets.
    """
    if value is None or isinstance(value, str | int | bytes):
        return value
    if isinstance(value, float):
        return math.nan if value != value else value
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return plain(float(value))
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, plain(item)) for key, item in value.items())
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value
