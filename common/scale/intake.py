"""Reads a request's columns under limits of rows, characters and pixels; opens no file and unpickles nothing."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from common.errors import DataError, UsageError
from common.pictures import load_picture
from common.rewards.wire import TYPES
from common.scale.config import Limits as Limits

if TYPE_CHECKING:
    from PIL.Image import Image

#: Dictionaries of columns within each other.
DEEPEST = 4


class TooLarge(UsageError):
    """A request exceeds a limit of the server. HTTP 413."""


def decode(columns: Any, limits: Limits) -> tuple[dict[str, Any], int]:
    """Columns from JSON values, and the rows of the batch.

    Raises:
        UsageError: not columns, or columns of different lengths.
        TooLarge: more rows, longer texts or larger pictures than the limits allow.
    """
    if not isinstance(columns, dict) or not columns:
        raise UsageError('the body must be {"columns": {name: [one entry a row, ...]}}')
    decoder = _Decoder(limits)
    found = {name: decoder.column(name, column, 0) for name, column in columns.items()}
    if len(set(decoder.lengths.values())) > 1:
        raise UsageError(f"columns differ in length: {decoder.lengths}")
    return found, next(iter(decoder.lengths.values()), 0)


class _Decoder:
    """Reads the columns of one request and counts what they take."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.lengths: dict[str, int] = {}
        self.pixels = 0

    def column(self, name: str, column: Any, depth: int) -> Any:
        if isinstance(column, list):
            self._count(name, len(column))
            for row, entry in enumerate(column):
                self._check_entry(name, row, entry)
            return column
        if isinstance(column, (bool, int, float)):
            return column
        kind = column.get("kind") if isinstance(column, dict) else None
        if kind == "png":
            return self._pictures(name, column.get("rows"))
        if kind == "tensor":
            return self._tensor(name, column)
        if kind == "mapping" and depth < DEEPEST and isinstance(column.get("columns"), dict):
            return {one: self.column(f"{name}.{one}", value, depth + 1) for one, value in column["columns"].items()}
        raise UsageError(f"column {name!r} is no list, number, png, tensor or mapping; see common/rewards/wire.py")

    def _count(self, name: str, rows: int) -> None:
        if rows > self.limits.rows:
            raise TooLarge(f"column {name!r} has {rows} rows; this server takes {self.limits.rows} in one request")
        self.lengths[name] = rows

    def _check_entry(self, name: str, row: int, entry: Any) -> None:
        total, waiting = 0, [entry]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                total += len(value)
            elif isinstance(value, list):
                waiting.extend(value)
            elif isinstance(value, dict):
                waiting.extend([*value.keys(), *value.values()])
        if total > self.limits.characters:
            raise TooLarge(
                f"column {name!r}, row {row}: {total} characters; this server takes {self.limits.characters} a row"
            )

    def _pictures(self, name: str, rows: Any) -> list[Image | None]:
        if not isinstance(rows, list):
            raise UsageError(f"column {name!r}: rows must be a list of base64 texts")
        self._count(name, len(rows))
        return [
            None if entry is None else self._picture(f"column {name!r}, row {row}", entry)
            for row, entry in enumerate(rows)
        ]

    def _picture(self, where: str, entry: Any) -> Image | None:
        from PIL import Image, UnidentifiedImageError

        data = _bytes(where, entry)
        try:
            # Only the header is read here, so that a picture of many pixels in few bytes is never unpacked.
            with Image.open(BytesIO(data), formats=["PNG"]) as opened:
                pixels = opened.width * opened.height
                self.pixels += pixels
                if pixels > self.limits.picture_pixels or self.pixels > self.limits.pixels:
                    raise TooLarge(
                        f"{where}: {opened.width}×{opened.height} pixels; this server takes "
                        f"{self.limits.picture_pixels} a picture and {self.limits.pixels} a request"
                    )
                return load_picture(opened)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise TooLarge(f"{where}: {error}") from error
        except (DataError, UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise UsageError(f"{where}: no PNG that can be read: {error}") from error

    def _tensor(self, name: str, column: Mapping[str, Any]) -> Tensor:
        kind, shape = column.get("dtype"), column.get("shape")
        if not isinstance(kind, str) or kind not in TYPES or not isinstance(shape, list) or not 1 <= len(shape) <= 8:
            raise UsageError(f"column {name!r}: a tensor has a dtype of {sorted(TYPES)} and a shape [B, ...]")
        if not all(type(size) is int and 0 <= size <= self.limits.bytes for size in shape):
            raise UsageError(f"column {name!r}: {shape} is no shape")
        self._count(name, shape[0])
        if len(shape) == 4:  # pictures
            pixels = math.prod(shape[2:])
            self.pixels += shape[0] * pixels
            if pixels > self.limits.picture_pixels or self.pixels > self.limits.pixels:
                raise TooLarge(f"column {name!r}: {shape} exceeds {self.limits.picture_pixels} pixels a picture")
        data = _bytes(f"column {name!r}", column.get("data"))
        expected = math.prod(shape) * np.dtype(TYPES[kind]).itemsize
        if len(data) != expected:
            raise UsageError(f"column {name!r}: {len(data)} bytes for {kind} {shape}, which takes {expected}")
        # A copy of our own: torch wants memory that can be written.
        try:
            return torch.from_numpy(np.frombuffer(data, TYPES[kind]).reshape(shape).astype(TYPES[kind].lstrip("<")))
        except (ValueError, OverflowError, RuntimeError) as error:  # no bytes, and sizes that no array can have
            raise UsageError(f"column {name!r}: {shape} is no shape: {error}") from error


def _bytes(where: str, text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise UsageError(f"{where}: not base64: {error}") from error
