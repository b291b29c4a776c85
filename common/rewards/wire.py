"""A batch and its scores as JSON: what a `RemoteReward` sends and a reward server answers.

A request is `{"columns": {name: COLUMN}}`, a COLUMN one of

- a list: one text, number, null, list or object a row;
- a number or a boolean: a constant of the whole batch (`step`);
- `{"kind": "png", "rows": [base64 or null, ...]}`: pictures, RGB, 8 bits;
- `{"kind": "tensor", "dtype": "float32", "shape": [B, ...], "data": base64}`: little-endian numbers, row by row;
- `{"kind": "mapping", "columns": {name: COLUMN}}`: a dictionary of columns (`state`).

An answer is `{"fingerprint": text, "values": [number or null, ...], "parts": {name: [...]}, "info": {name: [text,
...]}}`; null is NaN. Numbers are written so that the same float32 comes back. Nothing is ever unpickled.
"""

from __future__ import annotations

import base64
import math
import reprlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import DataError, RewardError
from common.pictures import load_picture
from common.rewards.base import RewardOutput, row_count

PROTOCOL = 1
#: Types of tensors on the wire, and numpy's names for their bytes.
TYPES = {
    "float32": "<f4",
    "float64": "<f8",
    "float16": "<f2",
    "int64": "<i8",
    "int32": "<i4",
    "uint8": "u1",
    "bool": "?",
}


def encode(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as JSON values.

    Raises:
        RewardError: a column holds what has no form on the wire.
    """
    return {name: _encode(name, column) for name, column in columns.items()}


def _encode(name: str, column: Any) -> Any:
    if isinstance(column, Mapping):
        return {"kind": "mapping", "columns": encode(column)}
    if isinstance(column, np.ndarray) and column.dtype != object:
        column = torch.from_numpy(np.ascontiguousarray(column))
    if isinstance(column, Tensor) and column.ndim > 0:
        tensor = column.detach().cpu().contiguous()
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in TYPES:
            raise RewardError(f"column {name!r} is a {kind} tensor; it can be sent as one of {sorted(TYPES)}")
        data = tensor.numpy().astype(TYPES[kind]).tobytes()
        return {"kind": "tensor", "dtype": kind, "shape": list(tensor.shape), "data": _base64(data)}
    if row_count(column) is None:
        return _plain(name, column)
    rows = list(column)
    if any(_is_picture(row) for row in rows):
        return {"kind": "png", "rows": [None if row is None else _png(name, row) for row in rows]}
    return [_plain(name, row) for row in rows]


def _is_picture(entry: Any) -> bool:
    if isinstance(entry, (str, int, float, list, tuple, dict, type(None))):
        return False
    from PIL.Image import Image

    return isinstance(entry, (bytes, Path, Image))


def _png(name: str, source: Any) -> str | None:
    """The picture as the reward would have read it; None where it cannot be read, which the reward says of its row."""
    if isinstance(source, str):
        source = Path(source)
    if not _is_picture(source):
        raise RewardError(f"column {name!r} mixes pictures with a {type(source).__name__}")
    try:
        picture = load_picture(source)
    except DataError:
        return None
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return _base64(buffer.getvalue())


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise RewardError(f"column {name!r} holds {value}, for which JSON has no form; send a tensor")
        return float(value)
    if isinstance(value, (np.integer, np.bool_)) or (isinstance(value, Tensor) and value.ndim == 0):
        return _plain(name, value.item())
    if isinstance(value, (Tensor, np.ndarray)):
        return _plain(name, value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(name, one) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(name, one) for key, one in value.items()}
    raise RewardError(f"column {name!r} holds a {type(value).__name__}, which cannot be sent to a server")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def to_answer(output: RewardOutput, fingerprint: str) -> dict[str, Any]:
    """An output as JSON; what is not finite is null."""
    return {
        "fingerprint": fingerprint,
        "values": _numbers(output.values),
        "parts": {name: _numbers(part) for name, part in output.parts.items()},
        "info": {name: list(texts) for name, texts in output.info.items()},
    }


def _numbers(values: Tensor) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.detach().float().tolist()]


def from_answer(answer: Any, size: int, bounds: tuple[float, float]) -> tuple[RewardOutput, dict[int, str]]:
    """The output in an answer, and why rows of it have no value: outside the bounds, or not finite.

    Raises:
        ValueError: the answer is of another form or length, so that no row of it can be trusted.
    """
    if not isinstance(answer, dict):
        raise ValueError("the answer is no object")
    values = _floats("values", answer.get("values"), size)
    low, high = bounds
    slack = 1e-5 * max(1.0, abs(low), abs(high))
    wrong: dict[int, str] = {}
    for row, value in enumerate(values):
        if math.isinf(value) or value < low - slack or value > high + slack:
            wrong[row] = f"the server answered {value:g}, outside the declared bounds [{low:g}, {high:g}]"
            values[row] = math.nan
    parts, info = answer.get("parts", {}), answer.get("info", {})
    if not isinstance(parts, dict) or not isinstance(info, dict):
        raise ValueError("the answer's parts or info are no object")
    for name, texts in info.items():
        if not isinstance(texts, list) or len(texts) != size or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"the answer's info {name!r} does not hold one text a row")
    tensors = {name: torch.tensor(_floats(name, part, size), dtype=torch.float32) for name, part in parts.items()}
    return RewardOutput(torch.tensor(values, dtype=torch.float32), tensors, info), wrong


def _floats(name: str, values: Any, size: int) -> list[float]:
    if not isinstance(values, list) or len(values) != size:
        count = len(values) if isinstance(values, list) else "no"
        raise ValueError(f"the answer's {name!r} holds {count} numbers for {size} rows")
    found = []
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"the answer's {name!r} holds {reprlib.repr(value)}, which is no number")
        try:
            found.append(math.nan if value is None else float(value))
        except OverflowError:  # JSON knows whole numbers of any length
            found.append(math.inf)
    return found
